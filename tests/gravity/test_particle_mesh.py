import numba
import numpy as np
import pytest

from benchmarks.ewald import pair_forces
from coca.gravity.particle_mesh import CLOUDS, ParticleMesh
from coca.initial_conditions.linear_fields import from_seed
from coca.parallel.domain import Domain
from tests.plain import plain_difference, plain_paint, plain_read


@pytest.fixture(scope="module")
def evolved(domain, conditions):
    """Positions after shell crossing in many places."""
    return domain.add_lattice(conditions.psi1)


GRADIENTS = pytest.mark.parametrize("gradient", [4, "spectral"])


ASSIGNMENTS = pytest.mark.parametrize("assignment", ["cic", "tsc"])


def plain_force(domain, x, m, assignment, gradient, deconvolve):
    """The same operator with full complex transforms in float64, and the density it goes with."""
    cloud, h = CLOUDS[assignment], domain.box_size / m
    delta = plain_paint(x, cloud, m, h) * m**3 / domain.particles - 1
    k = np.stack(np.meshgrid(*[2 * np.pi * np.fft.fftfreq(m, h)] * 3, indexing="ij"))
    k2 = np.sum(k**2, axis=0)
    k2[0, 0, 0] = np.inf
    phi_k = -np.fft.fftn(delta) / k2
    if deconvolve:
        phi_k /= np.prod(np.sinc(k * h / (2 * np.pi)), axis=0) ** (2 * len(cloud))
    if gradient == "spectral":
        k[np.isclose(np.abs(k), np.pi / h)] = 0
        field, density = np.fft.ifftn(1j * k * phi_k, axes=(1, 2, 3)).real, delta
    else:
        phi = np.fft.ifftn(phi_k).real
        field = [plain_difference(phi, axis, gradient) / h for axis in range(3)]
        density = sum(np.roll(phi, s, a) for a in range(3) for s in (-1, 1)) - 6 * phi
        density /= h**2
    return np.stack([plain_read(x, g, cloud, h) for g in field]), plain_read(x, density, cloud, h)


@GRADIENTS
@ASSIGNMENTS
@pytest.mark.parametrize("deconvolve", [False, True])
def test_force_equals_its_plain_twin(cosmology, power, gradient, assignment, deconvolve):
    domain = Domain(32.0, 16)
    x = domain.add_lattice(from_seed(domain, power, 3).psi1)
    solver = ParticleMesh(domain, 32, assignment, gradient, deconvolve)
    g, delta, _ = solver(x, density=True)
    expected, density = plain_force(domain, x, 32, assignment, gradient, deconvolve)
    # float32 round-off of a mesh and of its transforms
    np.testing.assert_allclose(g, expected, atol=5e-6 * np.abs(expected).max())
    np.testing.assert_allclose(delta, density, atol=5e-6 * np.abs(density).max())


@GRADIENTS
def test_the_force_can_take_the_positions_memory(domain, evolved, gradient):
    force = ParticleMesh(domain, 64, gradient=gradient)
    x = evolved.copy()
    g = force(x, False, x).g
    assert g is x
    np.testing.assert_array_equal(g, force(evolved).g)


@GRADIENTS
@ASSIGNMENTS
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_total_momentum_is_conserved(domain, evolved, factor, assignment, gradient):
    g = ParticleMesh(domain, factor * domain.n_side, assignment, gradient)(evolved).g
    total = g.sum(axis=1, dtype=np.float64)
    # float32 round-off of N forces that add up like a random walk
    assert np.abs(total).max() < 1e-6 * np.abs(g).sum(dtype=np.float64)


# On a mesh twice as fine as the lattice, the lattice's own harmonics lie at the Nyquist
# wavenumber of the mesh and add a force of a few per cent as long as the lattice is intact;
# central differences take no notice of them.
@pytest.mark.parametrize(
    ("factor", "gradient", "tolerance"),
    [(1, 4, 0.01), (2, 4, 0.01), (3, 4, 0.01), (1, "spectral", 0.01), (2, "spectral", 0.08)],
)
def test_plane_wave_has_the_linear_force(domain, factor, gradient, tolerance):
    """A long wave of small amplitude: g = -D Psi1."""
    disp = plane_wave(domain, 1, 0.3)
    force = ParticleMesh(domain, factor * domain.n_side, gradient=gradient)
    g = force(domain.add_lattice(disp)).g
    amplitude = np.sum(g * disp) / np.sum(disp**2)
    assert amplitude == pytest.approx(-1.0, abs=tolerance)
    assert np.abs(g[1:]).max() < 1e-3 * np.abs(g[0]).max()


def plane_wave(domain, mode, amplitude):
    """Displacement (3, N) along x, as a wave of `mode` periods in the box."""
    n = domain.n_side
    disp = np.zeros((3, n, n, n), np.float32)
    disp[0] = amplitude * np.sin(mode * domain.kf * domain.cell * np.arange(n))[:, None, None]
    return disp.reshape(3, -1)


def test_deconvolution_restores_the_amplitude(domain):
    """The CIC windows of assignment and interpolation lower the force by (k h)^2 / 6."""
    disp = plane_wave(domain, 4, 0.02)
    x = domain.add_lattice(disp)

    def amplitude(deconvolve):
        force = ParticleMesh(domain, domain.n_side, gradient="spectral", deconvolve=deconvolve)
        return -np.sum(force(x).g * disp) / np.sum(disp**2)

    window = np.sinc(4 * domain.kf * domain.cell / (2 * np.pi)) ** 4
    assert amplitude(False) / amplitude(True) == pytest.approx(window, rel=1e-3)


@pytest.mark.parametrize("gradient", [4, "spectral"])
def test_density_at_the_particles(domain, gradient):
    n, disp = domain.n_side, plane_wave(domain, 1, 0.2)
    delta = ParticleMesh(domain, n, gradient=gradient)(domain.add_lattice(disp), True).delta
    phase = domain.kf * domain.cell * np.arange(n)
    expected = np.broadcast_to((-0.2 * domain.kf * np.cos(phase))[:, None, None], (n, n, n))
    # CIC takes one-sided differences at the nodes of the wave, second differences look beside them
    moved = np.sin(phase) ** 2 > 0.05
    np.testing.assert_allclose(delta.reshape(n, n, n)[moved], expected[moved], atol=2e-3)


# The spectral gradient passes on what CIC aliases at the Nyquist wavenumber to any distance.
@pytest.mark.parametrize(
    ("gradient", "tolerance", "noise"), [(4, 0.01, 0.02), ("spectral", 0.04, 0.15)]
)
def test_distant_pairs_attract_as_in_ewalds_sum(gradient, tolerance, noise):
    domain = Domain(32.0, 2)
    force = ParticleMesh(domain, 32, gradient=gradient)
    radial, scatter = pair_forces(domain, force, 6.0, pairs=20)
    assert radial == pytest.approx(1.0, abs=tolerance)
    assert scatter < noise


@GRADIENTS
def test_result_does_not_depend_on_threads(domain, evolved, gradient):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here")
    one = ParticleMesh(domain, 64, gradient=gradient)(evolved, True)
    try:
        two = ParticleMesh(Domain(domain.box_size, domain.n_side, 2), 64, gradient=gradient)
        g, delta, _ = two(evolved, True)
    finally:
        numba.set_num_threads(domain.threads)
    np.testing.assert_array_equal(g, one.g)
    np.testing.assert_array_equal(delta, one.delta)


def test_particles_that_are_not_finite_are_an_error(domain, evolved):
    x = evolved.copy()
    x[0, 5] = np.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        ParticleMesh(domain, 32)(x)
