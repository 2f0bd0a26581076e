"""White noise of other codes is ours: written as their sources do, byte by byte."""

import h5py
import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.errors import FileError
from coca.initial_conditions.field_file import read_field
from coca.initial_conditions.gaussian_modes import white_noise_modes
from coca.initial_conditions.linear_fields import check_file, from_file
from coca.parallel.domain import Domain
from coca.run.plan import make_plan
from coca.run.simulation import initial_particles

ALL = slice(None)


def write_monofonic(path, noise):
    """One field of any name, as its ConstraintFieldFile is."""
    with h5py.File(path, "w") as file:
        file.create_group("Header").attrs["Boxsize"] = 64.0
        file["constraint"] = noise


def write_music(path, noise):
    sizes = np.array(noise.shape, np.uint32).tobytes()
    path.write_bytes(sizes + np.ascontiguousarray(noise).tobytes())


def write_grafic(path, noise, mark):
    def record(data):
        size = mark(len(data)).tobytes()
        return size + data + size

    n = len(noise)
    header = np.array([n, n, n, 7], np.int32).tobytes()
    planes = [np.array([noise[:, y, z] for y in range(n)]).tobytes() for z in range(n)]
    path.write_bytes(record(header) + b"".join(map(record, planes)))


WRITERS = {
    "monofonIC": write_monofonic,
    "MUSIC": write_music,
    "GRAFIC": lambda path, noise: write_grafic(path, noise, np.uint32),
    "GRAFIC with long marks": lambda path, noise: write_grafic(path, noise, np.uint64),
}


def drawn(n, kind):
    return np.random.default_rng(n).standard_normal((n, n, n)).astype(kind)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("n", [4, 16])  # 16 is also a mark of GRAFIC's
@pytest.mark.parametrize("code", WRITERS)
def test_planes_are_those_that_were_written(tmp_path, code, n, kind):
    noise = drawn(n, kind)
    WRITERS[code](tmp_path / "noise", noise)
    for planes in (ALL, slice(1, 3)):
        name, found = read_field(tmp_path / "noise", n, planes)
        assert name == "white_noise" and found.dtype == np.float32
        np.testing.assert_array_equal(found, noise[planes].astype(np.float32))


@pytest.fixture(scope="module")
def noise(domain):
    """White noise of the seed of `conditions`."""
    modes = white_noise_modes(domain, 3)
    return domain.transform(domain.n_side).backward(modes) / domain.n_side**1.5


@pytest.mark.parametrize("code", WRITERS)
def test_our_own_phases_come_back(tmp_path, domain, power, conditions, noise, code):
    WRITERS[code](tmp_path / "noise", noise)
    found = from_file(domain, power, tmp_path / "noise")
    np.testing.assert_allclose(found.psi1, conditions.psi1, atol=1e-4)
    np.testing.assert_allclose(found.psi2, conditions.psi2, atol=1e-4)


def test_paired_turns_the_sign(tmp_path, config_values, noise):
    write_grafic(tmp_path / "noise", noise, np.uint32)
    options = {"file": str(tmp_path / "noise")}
    paired = [
        make_config(config_values | {"initial_conditions": more | {"paired": True}})
        for more in (options, {})
    ]
    found, wanted = (initial_particles(config, Domain(64.0, 32), 19.0) for config in paired)
    assert make_plan(paired[0]).redshift == 19.0
    np.testing.assert_allclose(found.disp, wanted.disp, atol=1e-4)


def test_noise_of_another_variance_is_refused(tmp_path, domain, power, noise):
    write_monofonic(tmp_path / "noise", 1.3 * noise)
    with pytest.raises(FileError, match=r"a standard deviation of 1\.2\d*, wanted 1$"):
        from_file(domain, power, tmp_path / "noise")


@pytest.mark.parametrize("code", WRITERS)
def test_another_lattice_is_named(tmp_path, code):
    WRITERS[code](tmp_path / "noise", drawn(8, np.float32))
    with pytest.raises(FileError, match=r"initial_conditions\.file: .*wanted (white.*)?\(?16"):
        check_file(tmp_path / "noise", 16)


def test_files_that_are_no_noise_are_named(tmp_path):
    path = tmp_path / "noise"
    with pytest.raises(FileError, match=r"cannot read .*: No such file"):
        check_file(path, 8)
    path.write_bytes(b"no noise")
    with pytest.raises(FileError, match="found 8 bytes that are not HDF5"):
        check_file(path, 8)
    write_music(path, drawn(8, np.float32))
    path.write_bytes(np.array([4, 8, 16], np.uint32).tobytes() + path.read_bytes()[12:])
    with pytest.raises(FileError, match=r"sizes \[4, 8, 16\], wanted 8 three times"):
        check_file(path, 8)
    with h5py.File(path, "w") as file:
        file["a"] = file["b"] = drawn(8, np.float32)
    with pytest.raises(FileError, match="found /a, /b, wanted one of /white_noise and /psi1"):
        check_file(path, 8)
