import h5py
import numpy as np
import pytest
from coca.kernels.noise import philox4x32

from coca.errors import FileError
from coca.initial_conditions import lpt
from coca.initial_conditions.gaussian_modes import modes_of_white_noise, white_noise_modes
from coca.initial_conditions.linear_fields import from_file, from_seed
from coca.parallel.domain import Domain


def test_philox_known_answers():
    # the generator's published test vectors (Random123, kat_vectors)
    assert philox4x32(0, 0, 0, 0, 0, 0) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    f = 0xFFFFFFFF
    assert philox4x32(f, f, f, f, f, f) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


def test_modes_do_not_depend_on_resolution():
    coarse = white_noise_modes(Domain(50.0, 16), 5)
    fine = white_noise_modes(Domain(50.0, 32), 5)
    low = np.r_[0:8, -7:0]
    np.testing.assert_array_equal(
        coarse[np.ix_(low, low, range(8))], fine[np.ix_(low, low, range(8))]
    )


def test_modes_are_white_gaussian_and_real(domain):
    n = domain.n
    modes = white_noise_modes(domain, 8)
    field = domain.transform(n).backward(modes.copy())
    # a Hermitian array survives the round trip through the real field
    again = domain.transform(n).forward(field) / n**3
    np.testing.assert_allclose(again, modes, atol=1e-5)
    z = modes[:, :, 1 : n // 2]
    z = z[np.abs(z) > 0]
    # |z|^2 is exponential with mean 1; its mean over N modes scatters by 1/sqrt(N)
    assert np.mean(np.abs(z) ** 2) == pytest.approx(1.0, abs=5 / np.sqrt(z.size))
    assert np.mean(np.abs(z) ** 4) == pytest.approx(2.0, abs=25 / np.sqrt(z.size))


def test_seeds_differ_and_repeat(domain):
    a, b = white_noise_modes(domain, 1), white_noise_modes(domain, 2)
    np.testing.assert_array_equal(a, white_noise_modes(domain, 1))
    correlation = np.vdot(a, b).real / np.vdot(a, a).real
    assert abs(correlation) < 5 / np.sqrt(a.size)


def test_fixed_and_paired(domain):
    free = white_noise_modes(domain, 4)
    fixed = white_noise_modes(domain, 4, fixed_amplitude=True)
    pair = white_noise_modes(domain, 4, fixed_amplitude=True, paired=True)
    drawn = np.abs(free) > 0
    np.testing.assert_allclose(np.abs(fixed[drawn]), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.angle(fixed[drawn]), np.angle(free[drawn]), atol=1e-5)
    np.testing.assert_array_equal(pair, -fixed)


def test_linear_density_has_the_linear_power(power):
    domain = Domain(200.0, 32)
    delta_k = from_seed(domain, power, 1, fixed_amplitude=True).delta_k
    # fixed amplitudes: every mode has exactly P / V
    expected = power(domain.kf * np.sqrt(3**2 + 4**2 + 5**2)) / 200.0**3
    assert np.abs(delta_k[3, -4, 5]) ** 2 == pytest.approx(expected, rel=1e-5)


def test_white_noise_file_gives_the_same_modes_as_the_seed(tmp_path, domain, power, conditions):
    modes = white_noise_modes(domain, 3)
    noise = domain.transform(domain.n).backward(modes.copy()) / domain.n**1.5
    np.testing.assert_allclose(modes_of_white_noise(domain, noise), modes, atol=1e-5)
    path = tmp_path / "noise.hdf5"
    with h5py.File(path, "w") as file:
        file["white_noise"] = noise
    np.testing.assert_allclose(from_file(domain, power, path).psi1, conditions.psi1, atol=1e-4)


def test_displacement_file_gives_itself_and_its_second_order(tmp_path, domain, power, conditions):
    path = tmp_path / "psi1.hdf5"
    n = domain.n
    with h5py.File(path, "w") as file:
        file["psi1"] = conditions.psi1.reshape(3, n, n, n)
    read = from_file(domain, power, path)
    np.testing.assert_array_equal(read.psi1, conditions.psi1)
    np.testing.assert_allclose(read.psi2, conditions.psi2, atol=1e-4 * conditions.psi2.std())


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("white_noise", (8, 8, 8), r"has shape \(8, 8, 8\), wanted \(32, 32, 32\)"),
        ("psi1", (32, 32, 32), r"wanted \(3, 32, 32, 32\)"),
        ("other", (1,), "wanted one of /white_noise and /psi1"),
    ],
)
def test_unfit_files_are_named(tmp_path, domain, power, name, shape, message):
    path = tmp_path / "wrong.hdf5"
    with h5py.File(path, "w") as file:
        file[name] = np.zeros(shape)
    with pytest.raises(FileError, match=rf"initial_conditions\.file.*{message}"):
        from_file(domain, power, path)


def test_not_finite_noise_is_an_error(tmp_path, domain, power):
    path = tmp_path / "nan.hdf5"
    with h5py.File(path, "w") as file:
        file["white_noise"] = np.full((32, 32, 32), np.nan)
    with pytest.raises(FileError, match="not finite"):
        from_file(domain, power, path)


def test_displacement_of_a_plane_wave(domain):
    """delta = A cos(kx) gives Psi1 = -A/k sin(kx), and no second order."""
    n, k = domain.n, 2 * domain.kf
    delta_k = np.zeros((n, n, n // 2 + 1), np.complex64)
    delta_k[2, 0, 0] = delta_k[-2, 0, 0] = 0.5
    x = np.arange(n) * domain.cell
    psi1 = lpt.first_order(domain, delta_k).reshape(3, n, n, n)
    expected = np.broadcast_to(-np.sin(k * x)[:, None, None] / k, (n, n, n))
    np.testing.assert_allclose(psi1[0], expected, atol=1e-5 / k)
    np.testing.assert_allclose(psi1[1:], 0, atol=1e-5 / k)
    np.testing.assert_allclose(lpt.second_order(domain, delta_k), 0, atol=1e-4 / k)


def test_second_order_of_two_crossed_waves(domain):
    """phi1 = cos(ax) cos(ay)-type fields have a closed-form second order.

    delta = A (cos kx + cos ky): phi1 = -A/k^2 (cos kx + cos ky), lap phi2 = phi1_xx phi1_yy
    = A^2 cos kx cos ky, phi2 = -A^2/(2 k^2) cos kx cos ky, Psi2_x = A^2/(2k) sin kx cos ky.
    """
    n, k = domain.n, 3 * domain.kf
    delta_k = np.zeros((n, n, n // 2 + 1), np.complex64)
    delta_k[3, 0, 0] = delta_k[-3, 0, 0] = delta_k[0, 3, 0] = delta_k[0, -3, 0] = 0.5
    psi2 = lpt.second_order(domain, delta_k).reshape(3, n, n, n)
    x = np.arange(n) * domain.cell
    expected = np.sin(k * x)[:, None, None] * np.cos(k * x)[None, :, None] / (2 * k)
    np.testing.assert_allclose(psi2[0], np.broadcast_to(expected, (n, n, n)), atol=1e-5 / k)
    np.testing.assert_allclose(psi2[2], 0, atol=1e-5 / k)
