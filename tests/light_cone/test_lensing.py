"""Convergence against closed forms and the Limber integral's ingredients."""

import numpy as np
import pytest

from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.distance import HUBBLE_DISTANCE, comoving_distance, scale_factor_at
from coca.errors import ConfigError
from coca.light_cone.footprint import FULL
from coca.light_cone.lensing import convergence, lensing_weight
from coca.light_cone.shells import Shell
from coca.light_cone.sources import Sources


def shells_of(cosmology, far, counts):
    """Equal shells from here to `far` Mpc/h."""
    chi = np.linspace(0.0, far, len(counts) + 1)
    z = [0.0, *(1.0 / scale_factor_at(cosmology, chi[1:]) - 1.0)]
    return [
        Shell(
            i, len(counts), (z[i], z[i + 1]), (chi[i], chi[i + 1]), cosmology, 100.0, 64**3, FULL,
            c,
        )
        for i, c in enumerate(counts)
    ]  # fmt: skip


def test_the_weight_in_closed_form():
    """Einstein-de Sitter, with a = (1 - chi / (2 d))^2: int chi (chi_s - chi) / (chi_s a)."""
    cosmology = Cosmology(1.0, 0.05, 0.7, 0.96, 0.8)
    sources = Sources.at(1.0)
    chi_s = float(comoving_distance(cosmology, scale_factor(1.0)))
    x = np.linspace(0.0, chi_s, 200_001)
    kernel = x * (chi_s - x) / chi_s / (1.0 - x / (2.0 * HUBBLE_DISTANCE)) ** 2
    wanted = 1.5 / HUBBLE_DISTANCE**2 * np.trapezoid(kernel, x)
    for far in (chi_s, 2.0 * chi_s):
        found = lensing_weight(cosmology, (0.0, far), sources)
        assert found == pytest.approx(wanted, rel=1e-6)
    assert lensing_weight(cosmology, (chi_s, 2.0 * chi_s), sources) == 0.0


def test_a_shell_of_twice_the_density(cosmology):
    """kappa is the weight; a homogeneous universe does not lens."""
    even = [np.full(48, 1000, np.int32) for _ in range(4)]
    shells = shells_of(cosmology, 2600.0, even)
    for shell in shells:
        object.__setattr__(shell, "counts", np.full(48, round(shell.mean), np.int32))
    sources = Sources(np.array([0.5, 1.0]), np.array([0.25, 0.75]))
    np.testing.assert_allclose(convergence(shells, sources).kappa, 0.0, atol=1e-6)
    shells[1].counts[7] *= 2
    found = convergence(shells, sources)
    weights = [lensing_weight(cosmology, shells[1].chi, Sources.at(z)) for z in sources.z]
    assert found.kappa[7] == pytest.approx(np.dot(sources.share, weights), rel=1e-3)
    assert found.chi == pytest.approx((0.0, 2600.0)) and found.footprint == FULL


def test_shot_noise_is_that_of_poisson_particles(cosmology):
    """The variance of maps of particles thrown at random, over the pixels' area."""
    shells = shells_of(cosmology, 300.0, [np.zeros(12 * 64**2, np.int32)] * 2)
    rng = np.random.default_rng(1)
    for shell in shells:
        object.__setattr__(shell, "counts", rng.poisson(shell.mean, 12 * 64**2).astype(np.int32))
    found = convergence(shells, Sources.at(0.1))
    variance = np.var(found.kappa) * 4.0 * np.pi / (12 * 64**2)
    # 49152 pixels: the variance is known to 0.6 %
    assert variance == pytest.approx(found.shot_noise, rel=0.03)


def test_sources_that_the_shells_do_not_reach(cosmology):
    """What lies between the last shell and a source would be missing without a word."""
    shells = shells_of(cosmology, 2600.0, [np.zeros(48, np.int32)] * 4)
    with pytest.raises(ConfigError, match=r"found 100 % of the sources beyond z = 1\.[12]\d*,"):
        convergence(shells, Sources.at(1.3))
    with pytest.raises(ConfigError, match=r"beyond z = 0\.[45]"):
        convergence(shells[:2], Sources.at(1.0))
    with pytest.raises(ConfigError, match="wanted all of a light cone from the nearest on"):
        convergence(shells[::2], Sources.at(0.1))
    with pytest.raises(ConfigError, match="shells: found none"):
        convergence([], Sources.at(0.1))
