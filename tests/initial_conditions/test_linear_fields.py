import re

import h5py
import numpy as np
import pytest

import run_sim
from coca.errors import FileError
from coca.initial_conditions.gaussian_modes import modes_of_white_noise, white_noise_modes
from coca.initial_conditions.linear_fields import from_file, from_seed
from coca.parallel.domain import Domain


def test_linear_density_has_the_linear_power(power):
    domain = Domain(200.0, 32)
    delta_k = from_seed(domain, power, 1, fixed_amplitude=True).delta_k
    # fixed amplitudes: every mode has exactly P / V, but for the zero one and Nyquist planes
    m = np.fft.fftfreq(32, 1 / 32)
    i, j, l = np.meshgrid(m, m, np.arange(17), indexing="ij")
    expected = power(domain.kf * np.sqrt(i**2 + j**2 + l**2)) / 200.0**3
    expected[(i == -16) | (j == -16) | (l == 16)] = 0
    np.testing.assert_allclose(np.abs(delta_k) ** 2, expected, rtol=1e-5)


def test_white_noise_file_gives_the_same_modes_as_the_seed(tmp_path, domain, power, conditions):
    modes = white_noise_modes(domain, 3)
    noise = domain.transform(domain.n_side).backward(modes.copy()) / domain.n_side**1.5
    np.testing.assert_allclose(modes_of_white_noise(domain, noise), modes, atol=1e-5)
    path = tmp_path / "noise.hdf5"
    with h5py.File(path, "w") as file:
        file["white_noise"] = noise
    np.testing.assert_allclose(from_file(domain, power, path).psi1, conditions.psi1, atol=1e-4)


def test_displacement_file_gives_itself_and_its_second_order(tmp_path, domain, power, conditions):
    path = tmp_path / "psi1.hdf5"
    n = domain.n_side
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


def write_ic(path, name, data):
    with h5py.File(path, "w") as file:
        file[name] = data


def noise(value):
    data = np.random.default_rng(1).standard_normal((32, 32, 32))
    data[3, 4, 5] = value
    return data


SENSELESS = {
    "nan": ("white_noise", noise(np.nan), "not finite"),
    "infinity": ("white_noise", noise(-np.inf), "not finite"),
    "beyond float32": ("white_noise", noise(1e300), "not finite"),
    "no noise": ("white_noise", noise(1e10), r"values of 1e\+10, wanted unit variance"),
    "far": ("psi1", np.full((3, 32, 32, 32), 1e30), r"values of 1e\+30, wanted Mpc/h"),
    "text": ("psi1", np.full((3, 32, 32, 32), b"far"), "wanted a data set of numbers"),
    "complex": ("white_noise", np.ones((32, 32, 32), complex), "wanted a data set of numbers"),
    "group": ("white_noise/inner", np.ones(3), "wanted a data set of numbers"),
    "scalar": ("psi1", 3.0, "has shape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SENSELESS)
def test_senseless_initial_conditions_are_one_error(kind, config_file, tmp_path, capsys):
    name, data, message = SENSELESS[kind]
    write_ic(tmp_path / "ic.hdf5", name, data)
    override = f"initial_conditions.file={tmp_path / 'ic.hdf5'}"
    assert run_sim.main([str(config_file), "--set", override, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: initial_conditions\.file: .*{message}.*\n", error)
    assert not (tmp_path / "run").exists()


def test_truncated_initial_conditions_are_one_error(config_file, tmp_path, capsys):
    path = tmp_path / "ic.hdf5"
    write_ic(path, "white_noise", noise(1.0))
    path.write_bytes(path.read_bytes()[:9000])
    override = f"initial_conditions.file={path}"
    assert run_sim.main([str(config_file), "--set", override]) == 2
    assert re.fullmatch(r"error: initial_conditions\.file: .*\n", capsys.readouterr().err)
