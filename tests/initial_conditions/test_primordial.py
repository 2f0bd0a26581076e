"""Local non-Gaussianity against its definition, without aliasing, and its skewness."""

import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.cosmology.linear_power import A_s_of
from coca.errors import ConfigError
from coca.initial_conditions.gaussian_modes import possible_wavenumbers
from coca.initial_conditions.linear_fields import from_seed
from coca.initial_conditions.primordial import LocalType, square
from coca.parallel.domain import Domain
from tests.configuration.changes import set_

F_NL = 500.0


def test_the_square_of_waves_is_exact_and_none_comes_back():
    """cos a cos b = [cos(a + b) + cos(a - b)] / 2; what is beyond the lattice is left out."""
    domain = Domain(100.0, 16)
    phi_k = np.zeros((16, 16, 9), np.complex64)
    a, b = np.array([3, -2, 1]), np.array([6, 5, 2])  # a + b has 9 along x: -7 by aliasing
    for wave in (a, b):
        phi_k[tuple(wave)] += 0.5  # cosines; the other half of Fourier space is implied
    found = square(domain, phi_k)
    wanted = np.zeros_like(phi_k)
    wanted[tuple(b - a)] = 0.5
    wanted[tuple(2 * a)] = 0.25
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_the_square_is_that_of_a_padded_lattice(domain, conditions):
    n = domain.n_side
    phi_k = conditions.delta_k
    padded = np.zeros((2 * n, 2 * n, n + 1), complex)
    i = np.r_[0 : n // 2, -n // 2 + 1 : 0]
    padded[np.ix_(i, i, range(n // 2))] = phi_k[np.ix_(i, i, range(n // 2))]
    field = np.fft.irfftn(padded) * (2 * n) ** 3
    wanted = np.fft.rfftn(field**2)[np.ix_(i, i, range(n // 2))] / (2 * n) ** 3
    wanted[0, 0, 0] = 0
    found = square(domain, phi_k)[np.ix_(i, i, range(n // 2))]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_transfer_turns_primordial_power_into_linear_power(cosmology, power):
    """P = M^2 P_Phi, P_Phi = (3/5)^2 2 pi^2 A_s (k / 0.05 Mpc^-1)^(n_s - 1) / k^3."""
    k = np.geomspace(1e-3, 3, 20)
    tilt = (k * cosmology.h / 0.05) ** (cosmology.n_s - 1)
    A_s = A_s_of(cosmology, "eisenstein_hu")
    phi = 9 / 25 * 2 * np.pi**2 * A_s * tilt / k**3
    M = LocalType(1.0, cosmology).transfer(power, k)
    np.testing.assert_allclose(M**2 * phi, power(k), rtol=2e-3)  # T(1e-4) is 1 to 1e-3


def test_skewness_is_that_of_the_model(cosmology, power):
    """<delta^3> = 6 f_NL sum of M1 M2 M12 P1 P2 / V^2 over modes of the lattice, to first order."""
    domain, n = Domain(2000.0, 32), 32
    plain = LocalType(F_NL, cosmology)
    found = np.mean([_odd_skewness(domain, power, plain, seed) for seed in range(16)])
    k = possible_wavenumbers(domain)
    M, P = plain.transfer(power, k), power(k) / domain.box_size**3
    i = np.fft.fftfreq(2 * n, 1 / (2 * n))
    squares = i[:, None, None] ** 2 + i[:, None] ** 2 + i**2
    inside = np.abs(i) < n // 2
    inside = inside[:, None, None] & inside[:, None] & inside & (squares > 0)
    index = np.where(inside, squares, 0).astype(int)
    weight = np.where(inside, np.divide(P, M, out=np.zeros_like(P), where=M > 0)[index], 0)
    pairs = np.fft.fftn(np.fft.ifftn(weight) ** 2).real * (2 * n) ** 3
    wanted = 6 * F_NL * (pairs * np.where(inside, M[index], 0)).sum()
    assert found == pytest.approx(wanted, rel=0.03)  # the mean of 16 scatters by 0.8 %


def _odd_skewness(domain, power, local, seed):
    """Half of <delta^3> with f_NL minus that with -f_NL."""
    n, skewness = domain.n_side, []
    for sign in (1, -1):
        some = LocalType(sign * local.f_NL, local.cosmology)
        delta_k = from_seed(domain, power, seed, local=some).delta_k
        padded = np.zeros((2 * n, 2 * n, n + 1), complex)
        i = np.r_[0 : n // 2, -n // 2 + 1 : 0]
        padded[np.ix_(i, i, range(n // 2))] = delta_k[np.ix_(i, i, range(n // 2))]
        skewness.append(np.mean((np.fft.irfftn(padded) * (2 * n) ** 3) ** 3))
    return 0.5 * (skewness[0] - skewness[1])


def test_without_it_nothing_is_added(domain, power, conditions, cosmology):
    found = from_seed(domain, power, 3, local=LocalType(0.0, cosmology)).delta_k
    np.testing.assert_array_equal(found, conditions.delta_k)


def test_its_key(config_values):
    assert "f_NL" not in make_config(config_values).model_dump()["initial_conditions"]
    set_(config_values, "initial_conditions.f_NL", 30.0)
    assert make_config(config_values).model_dump()["initial_conditions"]["f_NL"] == 30.0
    set_(config_values, "initial_conditions.snapshot", "x.hdf5")
    with pytest.raises(ConfigError, match="found f_NL = 30, wanted none with snapshot"):
        make_config(config_values)
