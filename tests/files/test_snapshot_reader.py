"""Snapshots read back, ours and made as other codes make them."""

import h5py
import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.errors import FileError
from coca.files.snapshot_reader import read_header, read_particles
from coca.files.snapshot_writer import (
    PARTICLES,
    particle_mass,
    peculiar_velocities,
    wrapped_positions,
    write_snapshot,
)
from coca.particles import Snapshot
from coca.statistics.particle_spectra import redshift_distortion
from tests.damage import RNG, flip


@pytest.fixture(scope="module")
def snapshot(cosmology, conditions):
    D = float(cosmology.D1(0.5))
    lpt = conditions.lpt_frame(cosmology)
    return Snapshot(D, lpt.displacement(D), lpt.velocity(D))


@pytest.fixture
def path(tmp_path, domain, cosmology, snapshot):
    path = tmp_path / "snapshot_000.hdf5"
    write_snapshot(path, domain, cosmology, snapshot, {})
    return path


def test_what_was_written_is_read(path, domain, cosmology, snapshot):
    header, x, u, ids = read_particles(path)
    assert header.box_size == pytest.approx(64.0) and header.redshift == pytest.approx(1.0)
    assert (header.Omega_m, header.h) == (cosmology.Omega_m, cosmology.h)
    assert header.mass == pytest.approx(particle_mass(cosmology, domain), rel=1e-6)
    assert header == read_header(path)
    wanted = wrapped_positions(domain, domain.add_lattice(snapshot.disp)).T
    np.testing.assert_allclose(x, wanted, atol=2e-5)  # float32 kpc/h
    assert x.min() >= 0 and x.max() < 64.0
    wanted = peculiar_velocities(cosmology, snapshot.D, snapshot.vel).T
    np.testing.assert_allclose(u, wanted, rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(ids, np.arange(32**3))


def test_dark_energy_is_in_the_header_where_it_is_not_lambda(tmp_path, path, domain, snapshot):
    with h5py.File(path) as file:
        assert not {"w0", "wa"} & set(file["Header"].attrs)
    cosmology = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, -0.9, 0.2)
    write_snapshot(tmp_path / "dark.hdf5", domain, cosmology, snapshot, {})
    header = read_header(tmp_path / "dark.hdf5")
    assert (header.w0, header.wa) == (-0.9, 0.2)
    # 100 E(a) a dx/dln a is what coca's own velocities have
    unit = cosmology.velocity_unit(snapshot.D) / (cosmology.f1(header.a) * snapshot.D)
    assert redshift_distortion(header) == pytest.approx(1 / unit, rel=1e-6)


def rewrite(path, target, parts, length=1.0, masses=False):
    """The snapshot as another code may write it: in parts, in Mpc/h, with an array of masses."""
    with h5py.File(path) as file:
        header = dict(file["Header"].attrs)
        data = {name: file[f"PartType1/{name}"][:] for name in PARTICLES}
    for number, rows in enumerate(np.array_split(np.arange(32**3), parts)):
        name = target.with_name(f"{target.name}.{number}.hdf5" if parts > 1 else target.name)
        with h5py.File(name, "w") as file:
            attributes = file.create_group("Header").attrs
            attributes.update(header)
            attributes["NumFilesPerSnapshot"] = parts
            attributes["NumPart_ThisFile"] = np.array([0, len(rows), 0, 0, 0, 0], np.uint32)
            attributes["BoxSize"] = header["BoxSize"] * length
            if length != 1.0:
                attributes["UnitLength_in_cm"] = 3.085678e21 / length
            if masses:
                attributes["MassTable"] = np.zeros(6)
            group = file.create_group("PartType1")
            for key, values in data.items():
                group[key] = values[rows] * (length if key == "Coordinates" else 1)
            if masses:
                group["Masses"] = np.full(len(rows), header["MassTable"][1], np.float32)


@pytest.mark.parametrize("options", [{}, {"length": 1e-3}, {"masses": True}])
def test_files_of_other_codes(path, tmp_path, options):
    rewrite(path, tmp_path / "snap", 3, **options)
    wanted = read_particles(path)
    for name in ("snap.0.hdf5", "snap.2.hdf5", "snap"):
        found = read_particles(tmp_path / name)
        np.testing.assert_allclose(found.header, wanted.header, rtol=1e-6)
        for a, b in zip(found[1:], wanted[1:], strict=True):
            np.testing.assert_allclose(a, b, atol=2e-5)


def test_a_joined_file_without_its_parts(path, tmp_path):
    """HDF5 reads zeros in their place."""
    joined = tmp_path / "joined.hdf5"
    with h5py.File(path) as file, h5py.File(joined, "w") as target:
        target.create_group("Header").attrs.update(file["Header"].attrs)
        for name in file["PartType1"]:
            data = file[f"PartType1/{name}"]
            layout = h5py.VirtualLayout(data.shape, data.dtype)
            layout[:] = h5py.VirtualSource(path.name, data.name, data.shape, data.dtype)
            target.create_virtual_dataset(f"PartType1/{name}", layout)
    np.testing.assert_array_equal(read_particles(joined).x, read_particles(path).x)
    path.unlink()
    with pytest.raises(FileError, match=r"snapshot: cannot read .*snapshot_000\.hdf5"):
        read_particles(joined)


def test_files_that_are_no_snapshot(path, tmp_path):
    with pytest.raises(FileError, match="snapshot: cannot read"):
        read_particles(tmp_path / "absent.hdf5")
    (tmp_path / "text.hdf5").write_text("not HDF5")
    with pytest.raises(FileError, match="snapshot: cannot read"):
        read_particles(tmp_path / "text.hdf5")
    with h5py.File(tmp_path / "empty.hdf5", "w"):
        pass
    with pytest.raises(FileError, match="no Gadget snapshot, Header lacks BoxSize"):
        read_particles(tmp_path / "empty.hdf5")
    rewrite(path, tmp_path / "snap", 3)
    (tmp_path / "snap.1.hdf5").unlink()
    with pytest.raises(FileError, match=r"snap\.1\.hdf5 is missing, one of 3 files"):
        read_particles(tmp_path / "snap")
    with h5py.File(path, "r+") as file:
        file["PartType1/Coordinates"][5] = np.nan
    with pytest.raises(FileError, match="not finite"):
        read_particles(path)
    with h5py.File(path, "r+") as file:
        del file["PartType1/Velocities"]
    with pytest.raises(FileError, match="wanted PartType1 with positions"):
        read_particles(path)


def test_damaged_snapshots_are_one_error(path):
    """A bit anywhere: in the structure, in the numbers, or in what nobody reads."""
    data, wanted = path.read_bytes(), read_particles(path)
    places = [*range(0, 200, 3), *RNG.integers(0, 6000, 100), *RNG.integers(0, len(data), 100)]
    found = 0
    for place in places:
        path.write_bytes(data)
        flip(path, int(place))
        try:
            particles = read_particles(path)
        except FileError as error:
            found += 1
            assert path.name in str(error)
        else:
            assert particles.header == wanted.header
            for a, b in zip(particles[1:], wanted[1:], strict=True):
                np.testing.assert_array_equal(a, b)
    assert found > 150  # of 267; the rest is unused space between structures
    for length in (0, 8, 100, 5000, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(FileError, match=r"cannot read .*snapshot_000\.hdf5"):
            read_particles(path)


def _group_to_numbers(file):
    del file["Header"]
    file["Header"] = np.arange(3)


def _identifiers_of_another_shape(file):
    del file["PartType1/ParticleIDs"]
    file["PartType1/ParticleIDs"] = np.zeros((32**3, 3))


def _coordinates_that_are_text(file):
    del file["PartType1/Coordinates"]
    file["PartType1/Coordinates"] = np.full((32**3, 3), b"here")


@pytest.mark.parametrize(
    "change",
    [
        {"BoxSize": "large"},
        {"MassTable": h5py.Empty("f")},
        {"NumFilesPerSnapshot": 2**31 - 1},
        {"NumPart_Total_HighWord": np.array([0, 2**31, 0, 0, 0, 0], np.uint32)},
        _group_to_numbers,
        _identifiers_of_another_shape,
        _coordinates_that_are_text,
    ],
)
def test_senseless_snapshots_are_one_error(path, change):
    with h5py.File(path, "r+") as file:
        change(file) if callable(change) else file["Header"].attrs.update(change)
    with pytest.raises(FileError, match=r"snapshot: .*snapshot_000"):
        read_particles(path)
