"""Headers that say things in other ways, and headers that cannot be true."""

import h5py
import numpy as np
import pytest

from coca.__main__ import main
from coca.errors import FileError
from coca.files.snapshot_header import counts, number, total
from coca.files.snapshot_reader import read_header


def change(path, **attributes):
    with h5py.File(path, "r+") as file:
        for name, value in attributes.items():
            file["Header"].attrs[name] = value


def test_numbers_in_arrays_of_one(path):
    wanted = read_header(path)
    with h5py.File(path, "r+") as file:
        attributes = file["Header"].attrs
        for name in ("BoxSize", "Time", "Redshift", "Omega0", "HubbleParam", "NumFilesPerSnapshot"):
            attributes[name] = np.array([attributes[name]])
    assert read_header(path) == wanted
    change(path, BoxSize=np.full(3, 64e3))
    assert read_header(path) == wanted
    with pytest.raises(ValueError, match="wanted a number"):
        number(np.zeros(2))


def test_parameters_where_newer_gadgets_keep_them(path):
    wanted = read_header(path)
    with h5py.File(path, "r+") as file:
        file.create_group("Parameters")
        for name in ("Omega0", "HubbleParam"):
            file["Parameters"].attrs[name] = file["Header"].attrs[name]
            del file["Header"].attrs[name]
        del file["Header"].attrs["NumFilesPerSnapshot"], file["Header"].attrs["Redshift"]
    assert read_header(path) == wanted


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (np.uint32(7), 3, 7 + 3 * 2**32),
        (np.int32(-1), 0, 2**32 - 1),  # signed bits
        (np.int32(-1), 1, 2**33 - 1),
        (np.uint64(7 + 2**33), 2, 7 + 2**33),  # counted once
        (np.uint64(7), 2, 7 + 2**33),
        (np.uint64(7 + 2**33), None, 7 + 2**33),
        (np.dtype(">i4").type(5), 0, 5),
        (np.float64(12), None, 12),
    ],
)
def test_totals_are_counted_once(low, high, wanted):
    attributes = {"NumPart_Total": np.array([low, low, low, low, low, low])}
    if high is not None:
        attributes["NumPart_Total_HighWord"] = np.full(6, high, np.uint32)
    assert total(attributes) == wanted


def test_counts_of_either_byte_order():
    assert counts(np.array([0, 300], ">i4")) == counts(np.array([0, 300], "<u8")) == 300


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"BoxSize": 0.0}, "found BoxSize = 0, wanted a length"),
        ({"BoxSize": -64e3}, "found BoxSize = -64, wanted a length"),
        ({"BoxSize": np.inf}, "found BoxSize = inf"),
        ({"BoxSize": np.nan}, "found BoxSize = nan"),
        ({"BoxSize": np.array([1.0, 2.0, 1.0])}, "wanted the side of a cube"),
        ({"Omega0": 0.0}, "found Omega0 = 0, wanted the density of matter"),
        ({"Omega0": np.nan}, "found Omega0 = nan"),
        ({"HubbleParam": 0.0}, "found HubbleParam = 0"),
        ({"Time": 0.0}, "found Time = 0, wanted a scale factor"),
        ({"Time": 1.0}, "found Redshift = 1 and Time = 1, wanted 1 / .1 . Redshift. as Time"),
        ({"Redshift": np.nan}, "found Redshift = nan"),
        ({"MassTable": np.array([0, -1.0, 0, 0, 0, 0])}, "the mass of a particle = -1e.10"),
        ({"MassTable": np.array([0, np.nan, 0, 0, 0, 0])}, "the mass of a particle = nan"),
        ({"NumPart_Total": np.zeros(6, np.uint32)}, "found no particles of PartType1"),
        ({"BoxSize": 64.0}, "1e.09 times the mean density .* lengths in Mpc/h taken for kpc/h"),
        ({"BoxSize": 64e6}, "1e-09 times the mean density .* lengths in pc/h"),
        ({"Omega0": 0.1}, "3.17 times the mean density of Omega0 = 0.1; wanted units"),
        ({"UnitLength_in_cm": 0.0}, None),
    ],
)
def test_headers_that_cannot_be_true_are_named(path, attributes, message, capsys):
    change(path, **attributes)
    if message is None:
        with h5py.File(path, "r+") as file:
            del file["Units"]
        message = "found units .* wanted positive ones"
    with pytest.raises(FileError, match=r"snapshot: .*snapshot_000.hdf5: .*" + message):
        read_header(path)
    assert main(["analyse", str(path), "--statistics", "power"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_mass_at_all_is_named(path):
    change(path, MassTable=np.zeros(6))
    with h5py.File(path, "r+") as file:
        del file["PartType1/Masses"]
    with pytest.raises(FileError, match="mass of a particle = 0, wanted a mass, of MassTable"):
        read_header(path)


@pytest.mark.parametrize("mass", [np.nan, -1.0])
def test_masses_that_are_none_are_named(path, mass):
    change(path, MassTable=np.zeros(6))
    with h5py.File(path, "r+") as file:
        del file["PartType1/Masses"]
        file["PartType1/Masses"] = np.full(32**3, mass, np.float32)
    with pytest.raises(FileError, match=r"one mass|mass of a particle = -1e\+10"):
        read_header(path)


def test_dark_matter_without_its_baryons_is_remarked_on(path, capsys):
    with h5py.File(path, "r+") as file:
        table = file["Header"].attrs["MassTable"]
        file["Header"].attrs["MassTable"] = 0.85 * table
    assert main(["analyse", str(path), "--statistics", "power", "--mesh", "16"]) == 0
    line = "snapshot_000: the mean density of PartType1 is 0.85 of that of matter, Omega0 = 0.3175"
    assert line in capsys.readouterr().out
