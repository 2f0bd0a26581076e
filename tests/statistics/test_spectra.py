import warnings

import numpy as np
import pytest
from coca.kernels.statistics import binned_multipoles

from coca.parallel.domain import Domain, Grid
from coca.statistics.spectra import density_modes, particle_spectra, spectra
from tests.statistics.made import L


@pytest.fixture(scope="module")
def particles(domain, conditions):
    return domain.add_lattice(conditions.psi1)


@pytest.mark.slow
def test_spectra_agree_with_abacusutils(domain, conditions, particles):
    """Auto and cross power of the same particles, window sinc^2, same shells."""
    abacus = pytest.importorskip("abacusnbody.analysis.power_spectrum")
    mesh, L = 64, domain.box_size
    other = domain.add_lattice(conditions.psi1 * np.float32(0.8))
    ours = particle_spectra(domain, mesh, particles, other)
    # just below the integers: our shells are [i, i + 1) kf, and modes lie on their edges
    edges = (np.arange(1, mesh // 2 + 1) - 1e-3) * domain.kf
    # abacusutils' own compensation without interlacing is of first order only, so we hand it
    # the exact window
    window = (np.sinc(np.fft.fftfreq(mesh)) ** 2).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fields = [
            abacus.get_field_fft(
                np.mod(x.T, np.float32(L)).copy(), L, mesh, "CIC", None, window, True, False, 1
            )
            for x in (particles, other)
        ]
    poles = np.array([0.0, 1.0])
    auto = abacus.calc_pk_from_deltak(fields[0], L, edges, poles, nthread=1)
    cross = abacus.calc_pk_from_deltak(fields[0], L, edges, poles, field2_fft=fields[1], nthread=1)
    # the last shell reaches the Nyquist plane, whose modes they count twice
    np.testing.assert_allclose(ours.P_a[:-1], auto["power"][:-1], rtol=1e-4)
    np.testing.assert_allclose(ours.P_ab[:-1], cross["power"][:-1], rtol=1e-4)
    np.testing.assert_array_equal(ours.modes[:-1], auto["N_mode"][:-1])


@pytest.mark.slow
def test_multipoles_agree_with_abacusutils(domain, conditions):
    """Along z, without velocities; from the code that the test above has compiled."""
    abacus = pytest.importorskip("abacusnbody.analysis.power_spectrum")
    one = Grid(L, 32)
    delta_k = density_modes(one, domain.add_lattice(conditions.psi1), one.cells, ordered=False)
    edges = (np.arange(1, 17) - 1e-3) * one.kf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = abacus.calc_pk_from_deltak(
            delta_k, L, edges, np.array([0.0, 1.0]), poles=np.array([0, 2, 4]), nthread=1
        )
    modes, _, *powers = binned_multipoles(delta_k, one.kf, 2, 0)[:, 1:-1]
    poles = np.asarray(found["binned_poles"])
    for row, l, power in zip(poles, (0, 2, 4), powers, strict=True):
        ours = (2 * l + 1) * L**3 * power / modes
        np.testing.assert_allclose(ours[:-1], row[:-1], rtol=1e-4, atol=1e-4 * poles[0].max())


def test_linear_power_comes_back(power):
    """Small displacements of a lattice have the linear power they were drawn from."""
    from coca.initial_conditions.linear_fields import from_seed

    domain = Domain(400.0, 64)
    conditions = from_seed(domain, power, 1, fixed_amplitude=True)
    x = domain.add_lattice(conditions.psi1 * np.float32(0.02))
    measured = particle_spectra(domain, 64, x)
    few = measured.k < 0.15
    np.testing.assert_allclose(
        measured.P_a[few] / (0.02**2 * power(measured.k[few])), 1.0, atol=0.06
    )


def test_correlation_with_itself_is_one(domain, particles):
    a_k = density_modes(domain, particles, 32)
    np.testing.assert_allclose(spectra(domain, a_k).r, 1.0, rtol=1e-6)
    np.testing.assert_allclose(spectra(domain, a_k, -a_k).r, -1.0, rtol=1e-6)


def test_random_particles_have_shot_noise():
    domain = Domain(100.0, 32)
    x = np.random.default_rng(1).uniform(0, 100, (3, 32**3)).astype(np.float32)
    measured = particle_spectra(domain, 64, x)
    large = measured.k < 0.5 * np.pi * 64 / 100
    mean = np.average(measured.P_a[large], weights=measured.modes[large])
    scatter = 1 / np.sqrt(measured.modes[large].sum() / 2)
    # above half the mesh's Nyquist wavenumber aliasing adds a few per cent
    assert mean == pytest.approx(100.0**3 / 32**3, rel=5 * scatter + 0.03)


def test_interpolation_in_k(domain, particles):
    measured = particle_spectra(domain, 64, particles)
    middle = measured.at(0.5 * (measured.k[3] + measured.k[4]))
    assert middle.P_a == pytest.approx(0.5 * (measured.P_a[3] + measured.P_a[4]))


def test_density_is_that_of_particles_in_any_order(domain, conditions):
    positions = np.mod(domain.add_lattice(conditions.psi1), np.float32(domain.box_size))
    order = np.random.default_rng(1).permutation(positions.shape[1])
    grid = Grid(domain.box_size, 32)
    found = density_modes(grid, np.ascontiguousarray(positions[:, order]), 32, ordered=False)
    wanted = density_modes(domain, positions, 32)
    np.testing.assert_allclose(found, wanted, atol=1e-7)  # float32 sums in another order
