"""P3M against Ewald's sum of softened particles."""

import numba
import numpy as np
import pytest

from benchmarks.ewald import ewald, softened_forces
from coca.errors import ConfigError
from coca.gravity.p3m import CUT, EXPONENT, P3M, cloud_polynomial, cloud_transform
from coca.parallel.domain import Domain

SOFTENING = 2.0 / 40


@pytest.fixture(scope="module")
def force(domain):
    return P3M(domain, 64, SOFTENING)


@pytest.fixture(scope="module")
def clumps(domain):
    """A tenth of the particles in each of five haloes, isothermal spheres; the others anywhere."""
    rng = np.random.default_rng(8)
    x = rng.uniform(0, domain.box_size, (3, domain.particles))
    each = domain.particles // 10
    for halo in range(5):
        mine = slice(halo * each, (halo + 1) * each)
        x[:, mine] = rng.uniform(0, domain.box_size, (3, 1)) + sphere(rng, each, 3.0)
    return x.astype(np.float32)


def sphere(rng, n, radius):
    """Offsets (3, n) in a sphere of density 1 / r^2."""
    direction = rng.normal(size=(3, n))
    return radius * rng.uniform(0, 1, n) * direction / np.linalg.norm(direction, axis=0)


def error(force, x, softening=SOFTENING, targets=200):
    """Rms error over the rms force, of some particles."""
    which = np.random.default_rng(1).choice(x.shape[1], targets, replace=False)
    box_size = force.domain.box_size
    exact = softened_forces(np.mod(x.T.astype(float), box_size), which, box_size, softening)
    found = force(x).g[:, which].T
    return np.sqrt(np.sum((found - exact) ** 2) / np.sum(exact**2))


def test_small_waves_on_a_lattice(domain, conditions, cosmology, force):
    """Particles at z = 19, whose forces are small beside those that cancel."""
    frame = conditions.lpt_frame(cosmology)
    x = domain.add_lattice(frame.displacement(float(cosmology.D1(0.05))))
    assert error(force, x) < 0.003  # the accuracy that docs/force.md states


def test_clustered_particles(force, clumps):
    assert error(force, clumps) < 0.003


def test_a_single_halo(domain, force):
    rng = np.random.default_rng(3)
    halo = 31.7 + sphere(rng, domain.particles, 4.0)
    assert error(force, halo.astype(np.float32)) < 0.003


def test_all_particles_in_one_cell(domain, force):
    rng = np.random.default_rng(4)
    x = 10.0 + rng.uniform(0, 1.0, (3, domain.particles))
    assert error(force, x.astype(np.float32), targets=50) < 0.003


@pytest.mark.parametrize("distance", [0.1, 0.5, 1.0, 2.9, 3.1, 10.0, 40.0, 100.0, 180.0, 320.0])
def test_a_pair_at_every_distance(distance):
    """In softening lengths; half the box is 320. Four particles stand at either place."""
    domain = Domain(32.0, 2)
    force, rng = P3M(domain, 32, SOFTENING), np.random.default_rng(2)
    direction = rng.normal(size=(40, 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    errors, size = [], 0.0
    for way in direction:
        a = rng.uniform(0, 32, 3)
        x = np.repeat([a, a + distance * SOFTENING * way], 4, axis=0).T.astype(np.float32)
        exact = softened_forces(x.T.astype(float), np.array([4]), 32.0, SOFTENING)[0]
        errors.append(force(x).g[:, 4] - exact)
        size += np.sum(exact**2) / 40
    # of the force between two points without softening at that distance, or a softening's; on the
    # box's scale the images' forces nearly cancel
    scale = (
        0.5
        * 32.0**3
        * np.linalg.norm(ewald(np.array([max(distance, 1.0) * SOFTENING, 0, 0]), 32.0 * 8))
    )
    assert np.sqrt(np.mean(np.sum(np.square(errors), axis=1))) < 0.01 * scale


def test_two_particles_in_one_place(domain, force, clumps):
    x = clumps.copy()
    x[:, 1] = x[:, 0]
    g = force(x).g
    assert np.isfinite(g).all()
    np.testing.assert_allclose(g[:, 0], g[:, 1], atol=1e-6 * np.abs(g).max())


def test_total_momentum_is_conserved(force, clumps):
    g = force(clumps).g
    # float32 round-off of N forces that add up like a random walk
    assert np.abs(g.sum(axis=1, dtype=np.float64)).max() < 1e-6 * np.abs(g).sum(dtype=np.float64)


def test_parts_add_up(domain, force, clumps):
    particles = force.gather(clumps)
    short = particles.bring_home(force.short_range(particles))[:3]
    g = force(clumps).g
    np.testing.assert_allclose(short + force.long_range(clumps), g, atol=1e-6 * np.abs(g).max())


def test_the_force_can_take_the_positions_memory(force, clumps):
    x = clumps.copy()
    expected = force(clumps).g
    assert force(x, False, x).g is x
    np.testing.assert_array_equal(x, expected)


def test_result_does_not_depend_on_threads(domain, force, clumps):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here")
    one = force(clumps, True)
    try:
        two = P3M(Domain(domain.box_size, domain.n_side, 2), 64, SOFTENING)(clumps, True)
    finally:
        numba.set_num_threads(domain.threads)
    np.testing.assert_array_equal(two.g, one.g)
    np.testing.assert_array_equal(two.delta, one.delta)


def test_clouds_have_the_transform_and_the_mass_that_they_say():
    r = (np.arange(20000) + 0.5) / 20000
    shell = (1 - r**2) ** EXPONENT * r**2
    for kR in (1e-3, 0.5, 3.0, 10.0):
        expected = np.sum(shell * np.sinc(kR * r / np.pi)) / np.sum(shell)
        assert cloud_transform(EXPONENT, np.array([kR]))[0] == pytest.approx(expected, abs=1e-7)
    inside = np.sum(shell[r < 0.4]) / np.sum(shell)
    polynomial = np.polyval(cloud_polynomial(EXPONENT)[::-1], 0.4**2) * 0.4**3
    assert polynomial == pytest.approx(inside, rel=1e-4)
    assert sum(cloud_polynomial(EXPONENT)) == pytest.approx(1.0)


@pytest.mark.parametrize("softening", [0.0, -1.0, 1.01, np.nan])
def test_a_softening_that_is_none_is_one_error(domain, softening):
    with pytest.raises(ConfigError, match=r"force.softening: found .*wanted more than 0 and at"):
        P3M(domain, 64, softening)


def test_a_cut_beyond_half_the_box_is_one_error():
    mesh = int(2 * CUT) - 1
    with pytest.raises(ConfigError, match=rf"mesh: found {mesh}, wanted at least {mesh + 1}"):
        P3M(Domain(8.0, 4), mesh, SOFTENING)


def test_the_smallest_box_works(clumps):
    domain = Domain(9.0, 9)
    rng = np.random.default_rng(6)
    x = rng.uniform(0, 9, (3, 729)).astype(np.float32)
    assert error(P3M(domain, 9, SOFTENING), x, targets=100) < 0.01  # modes of the box are coarse


def test_positions_that_are_not_finite_are_an_error(force, clumps):
    x = clumps.copy()
    x[1, 7] = np.inf
    with pytest.raises(FloatingPointError, match="not finite"):
        force(x)
