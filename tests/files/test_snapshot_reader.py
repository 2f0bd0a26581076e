"""Snapshots read back, ours and made as other codes make them."""

import h5py
import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.errors import FileError
from coca.files.snapshot_reader import find_files, read_header, read_ids, read_particles, read_rows
from coca.files.snapshot_writer import (
    PARTICLES,
    particle_mass,
    peculiar_velocities,
    wrapped_positions,
    write_snapshot,
)
from coca.statistics.particle_spectra import redshift_distortion
from tests.damage import RNG, flip


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


def test_errors_name_the_key_that_says_the_file(path, tmp_path):
    key = "initial_conditions.snapshot"
    for read in (read_header, find_files):
        with pytest.raises(FileError, match=r"^initial_conditions\.snapshot: cannot read .*absent"):
            read(tmp_path / "absent", key)
    rewrite(path, tmp_path / "snap", 3)
    files = find_files(tmp_path / "snap", key)
    (tmp_path / "snap.1.hdf5").unlink()
    for read in (read_rows, read_ids):
        with pytest.raises(
            FileError, match=r"^initial_conditions\.snapshot: cannot read .*snap\.1"
        ):
            read(files, 0, 32**3)
    with pytest.raises(
        FileError, match=r"^initial_conditions\.snapshot: .*snap\.1\.hdf5 is missing"
    ):
        read_header(tmp_path / "snap", key)
    with h5py.File(path, "r+") as file:
        file["Header"].attrs["BoxSize"] = -1.0
    with pytest.raises(FileError, match=r"^initial_conditions\.snapshot: .*found BoxSize = -"):
        read_header(path, key)


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
    with pytest.raises(FileError, match="found no PartType1/Velocities"):
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


def test_files_are_in_the_order_of_their_numbers(path, tmp_path):
    """With eleven, .10 comes after .9 and not after .1."""
    rewrite(path, tmp_path / "snap", 11)
    np.testing.assert_array_equal(read_particles(tmp_path / "snap").ids, np.arange(32**3))


def test_a_file_of_the_set_without_dark_matter(path, tmp_path):
    rewrite(path, tmp_path / "snap", 3, masses=True)
    for number in (2, 1, 0):  # one more file, and the first one without particles
        (tmp_path / f"snap.{number}.hdf5").rename(tmp_path / f"snap.{number + 1}.hdf5")
    with h5py.File(tmp_path / "snap.1.hdf5") as file, h5py.File(tmp_path / "snap.0.hdf5", "w") as f:
        f.create_group("Header").attrs.update(file["Header"].attrs)
        f["Header"].attrs["NumPart_ThisFile"] = np.zeros(6, np.uint32)
    for number in range(4):
        with h5py.File(tmp_path / f"snap.{number}.hdf5", "r+") as file:
            file["Header"].attrs["NumFilesPerSnapshot"] = 4
    found, wanted = read_particles(tmp_path / "snap"), read_particles(path)
    np.testing.assert_allclose(found.header, wanted.header, rtol=1e-6)
    np.testing.assert_allclose(found.x, wanted.x, atol=2e-5)


def retyped(path, **kinds):
    """The data sets as numbers of other kinds."""
    with h5py.File(path, "r+") as file:
        for name, kind in kinds.items():
            data = file[f"PartType1/{name}"][:].astype(kind)
            del file[f"PartType1/{name}"]
            file[f"PartType1/{name}"] = data


@pytest.mark.parametrize(
    "kinds",
    [
        {"Coordinates": ">f8", "Velocities": ">f4", "ParticleIDs": ">i4"},
        {"Coordinates": "<f8", "Velocities": "<f8", "ParticleIDs": "<i8", "Masses": "<f8"},
    ],
)
def test_numbers_of_other_kinds(path, kinds):
    wanted = read_particles(path)
    retyped(path, **kinds)
    found = read_particles(path)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_identifiers_beyond_31_bits_of_codes_with_signs(path):
    with h5py.File(path, "r+") as file:
        file["PartType1/ParticleIDs"][:] = np.arange(32**3, dtype=np.uint64) + np.uint64(2**31)
    wanted = read_particles(path).ids
    with h5py.File(path, "r+") as file:
        data = file["PartType1/ParticleIDs"][:].astype(np.uint32).view(np.int32)
        assert (data < 0).all()
        del file["PartType1/ParticleIDs"]
        file["PartType1/ParticleIDs"] = data
    np.testing.assert_array_equal(read_particles(path).ids, wanted)


@pytest.mark.parametrize("masses", [np.float32, np.float64])
def test_masses_of_particles_alone(path, tmp_path, masses):
    """No MassTable; equal masses in double precision, of which float32 has no equal."""
    rewrite(path, tmp_path / "snap", 1, masses=True)
    retyped(tmp_path / "snap", Masses=masses)
    with h5py.File(tmp_path / "snap", "r+") as file:
        del file["Header"].attrs["MassTable"]
        file["PartType1/Masses"][:] = file["PartType1/Masses"][0] * np.float64(1 + 1e-9)
    assert read_header(tmp_path / "snap").mass == pytest.approx(read_header(path).mass, rel=1e-6)
    with h5py.File(tmp_path / "snap", "r+") as file:
        file["PartType1/Masses"][7] *= 2
    with pytest.raises(FileError, match="particles of one mass"):
        read_header(tmp_path / "snap")


def test_shapes_that_do_not_fit_are_named(path):
    with h5py.File(path, "r+") as file:
        data = file["PartType1/Velocities"][:-1]
        del file["PartType1/Velocities"]
        file["PartType1/Velocities"] = data
    message = r"PartType1/Velocities of shape \(32767, 3\), wanted \(32768, 3\)"
    with pytest.raises(FileError, match=message):
        read_particles(path)


def test_totals_that_are_not_the_files_are_named(path, tmp_path):
    rewrite(path, tmp_path / "snap", 3)
    with h5py.File(tmp_path / "snap.0.hdf5", "r+") as file:
        file["Header"].attrs["NumPart_Total"] = np.array([0, 32**3 + 9, 0, 0, 0, 0], np.uint32)
    with pytest.raises(FileError, match="found 32768 particles in 3 files, wanted 32777"):
        read_particles(tmp_path / "snap")


def test_a_snapshot_of_swift(path):
    """SWIFT's words for what is in ours: no h, peculiar velocities, a box of three sides."""
    wanted, h = read_particles(path), 0.6711
    with h5py.File(path, "r+") as file:
        header, particles = file["Header"].attrs, file["PartType1"]
        a = float(header["Time"])
        del header["HubbleParam"], header["Omega0"], header["OmegaLambda"]
        header["Code"], header["BoxSize"] = np.bytes_("SWIFT"), np.full(3, 64.0 / h)
        header["Time"], header["MassTable"] = np.array([0.012]), np.zeros(6)
        header["NumPart_Total"] = header["NumPart_Total"].astype(np.int64)
        cosmology = {"Cosmological run": 1, "Scale-factor": a, "h": h, "Omega_m": 0.3175}
        file.create_group("Cosmology").attrs.update(
            {k: np.array([v]) for k, v in cosmology.items()}
        )
        file["Cosmology"].attrs.update({"w_0": np.array([-1.0]), "w_a": np.array([0.0])})
        del file["Units"], file["Coca"]
        cm, second = 3.08567758149e24, 3.08567758149e19  # Mpc, Mpc / (km/s)
        units = {"length in cgs (U_L)": cm, "mass in cgs (U_M)": 1.98841e43}
        units |= {"time in cgs (U_t)": second}
        file.create_group("Units").attrs.update({f"Unit {k}": [v] for k, v in units.items()})
        particles["Coordinates"][:] = particles["Coordinates"][:] * 1e-3 / h
        particles["Velocities"][:] = particles["Velocities"][:] * np.sqrt(a)
        mass = particles["Masses"][0] / h
        del particles["Masses"]
        particles["Masses"] = np.full(32**3, mass, np.float32)
    found = read_particles(path)
    np.testing.assert_allclose(found.header, wanted.header, rtol=1e-6)  # masses in float32
    np.testing.assert_allclose(found.x, wanted.x, atol=4e-5)
    np.testing.assert_allclose(found.u, wanted.u, rtol=1e-5, atol=1e-4)
    with h5py.File(path, "r+") as file:
        file["Units"].attrs["Unit time in cgs (U_t)"] = 0.0
    with pytest.raises(FileError, match=r"found units .*, wanted positive ones"):
        read_particles(path)
    with h5py.File(path, "r+") as file:
        del file["Cosmology"]
    with pytest.raises(FileError, match="found a SWIFT file without a group Cosmology"):
        read_particles(path)
