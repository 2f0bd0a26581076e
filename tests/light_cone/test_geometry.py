"""Shells, and the times at which particles are asked for."""

import numpy as np
import pytest

from coca.configuration.sections import LightConeConfig
from coca.cosmology.background import scale_factor
from coca.cosmology.distance import comoving_distance
from coca.light_cone.geometry import MOST_DEPTH, REDSHIFT_REACH, build_cone, merged


def test_shells_are_of_equal_thickness(cosmology):
    cone = build_cone(LightConeConfig(z_max=0.8, n_side=4, shells=7), cosmology, 100.0)
    far = comoving_distance(cosmology, scale_factor(0.8))
    np.testing.assert_allclose(cone.chi, np.linspace(0.0, far, 8), rtol=1e-8)
    assert cone.shells == 7 and cone.z[0] == 0.0 and cone.z[-1] == 0.8
    assert cone.observer.tolist() == [50.0, 50.0, 50.0]


def test_shells_of_a_thickness_end_at_z_max(cosmology):
    far = float(comoving_distance(cosmology, scale_factor(0.8)))
    for every in (300.0, 0.25 * far, 1.1 * far):
        cone = build_cone(LightConeConfig(z_max=0.8, every=every), cosmology, 100.0)
        wanted = [*(x for x in every * np.arange(8) if x < (1.0 - 1e-9) * far), far]
        np.testing.assert_allclose(cone.chi, wanted, rtol=1e-6)
        assert cone.z[-1] == 0.8


def test_edges_are_those_asked_for(cosmology):
    options = LightConeConfig(z_max=0.5, redshifts=(0.1, 0.2, 0.5), observer=(1.0, 2.0, 3.0))
    cone = build_cone(options, cosmology, 100.0)
    assert cone.z.tolist() == [0.1, 0.2, 0.5] and cone.observer.tolist() == [1.0, 2.0, 3.0]


def test_times_have_the_edges_and_are_never_far_apart(cosmology):
    cone = build_cone(LightConeConfig(z_max=1.0, shells=5), cosmology, 100.0)
    times = cone.times()
    assert times == sorted(set(times)) and set(cone.edges()) <= set(times) and times[-1] == 1.0
    chi = comoving_distance(cosmology, cosmology.a_of_D(np.array(times)))
    assert 0.5 * MOST_DEPTH < np.diff(-chi).min() <= np.diff(-chi).max() < MOST_DEPTH * (1 + 1e-6)


def test_redshift_space_is_passed_beyond_both_ends(cosmology):
    """As far as there is anything nearer; and the shells are the same."""
    for redshifts, near in (((0.1, 0.2), REDSHIFT_REACH), ((0.01, 0.2), None), ((0.0, 0.2), 0.0)):
        options = {"z_max": 0.2, "redshifts": redshifts}
        plain = build_cone(LightConeConfig(**options), cosmology, 100.0)
        cone = build_cone(LightConeConfig(**options, redshift_space=True), cosmology, 100.0)
        assert plain.z.tolist() == cone.z.tolist() and plain.z_passed == redshifts
        chi = comoving_distance(cosmology, scale_factor(np.array(cone.z_passed)))
        wanted = 0.0 if near is None else max(cone.chi[0] - near, 0.0)
        np.testing.assert_allclose(chi, [wanted, cone.chi[-1] + REDSHIFT_REACH], atol=1e-3)
        assert set(plain.times()) <= set(cone.times()) and cone.times() == sorted(cone.times())


def test_shells_are_filled_while_particles_may_come_into_them(cosmology):
    """One after the other where particles are; in redshift space all within its reach."""
    options = {"z_max": 0.2, "shells": 30}
    cone = build_cone(LightConeConfig(**options), cosmology, 100.0)
    assert cone.filling() == [[i] for i in range(29, -1, -1)]
    cone = build_cone(LightConeConfig(**options, redshift_space=True), cosmology, 100.0)
    chi = cone.chi
    for (far, _), (near, _), numbers in zip(
        cone.passed[:-1], cone.passed[1:], cone.filling(), strict=True
    ):
        low, high = near - REDSHIFT_REACH, far + REDSHIFT_REACH
        wanted = [i for i in range(30) if chi[i] < high - 1e-3 and chi[i + 1] > low + 1e-3]
        assert numbers == wanted and len(numbers) > 1


def test_times_close_to_outputs_are_theirs():
    assert merged([0.5, 1.0], [0.4, 0.5 + 1e-12, 0.7, 1.0]) == [0.4, 0.5, 0.7, 1.0]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_side": 48}, "n_side: found 48, wanted a power of two"),
        ({"redshifts": (0.0, 0.3)}, "redshifts: found .* wanted increasing ones, the last z_max"),
        ({"replica_seed": 3}, "replica_seed: found 3, wanted none with light_cone.replicas: per"),
        ({"redshifts": (0.2, 0.1, 1.0)}, "wanted increasing ones"),
    ],
)
def test_what_cannot_be(values, message):
    with pytest.raises(ValueError, match=message):
        LightConeConfig(z_max=1.0, **values)
