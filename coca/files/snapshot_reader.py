"""Gadget HDF5 snapshots read back: our own and other codes', in one file or in many.

Lengths are turned into Mpc/h and velocities into peculiar ones in km/s; Gadget's own are divided by
sqrt(a). Only dark matter, PartType1, is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from coca.cosmology.background import LAMBDA
from coca.errors import FileError
from coca.files.snapshot_writer import BLOCK, UNITS

TYPE = "PartType1"
DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError)
"""What h5py and NumPy raise over damaged files and data of another kind or shape."""
KEYS = ("BoxSize", "Time", "MassTable", "NumFilesPerSnapshot", "NumPart_ThisFile", "NumPart_Total")
PART = re.compile(r"\.(\d+)(\.hdf5|\.h5)$")


class Header(NamedTuple):
    """What a snapshot says of itself."""

    box_size: float
    """Mpc/h."""
    a: float
    """Scale factor."""
    Omega_m: float
    h: float
    particles: int
    """Number of dark-matter particles in all files."""
    mass: float
    """Mass of one particle, Msun/h."""
    w0: float = -1.0
    """Dark energy's equation of state w0 + wa (1 - a), that of Lambda where the file has none."""
    wa: float = 0.0

    @property
    def redshift(self) -> float:
        """1/a - 1."""
        return 1.0 / self.a - 1.0


class Particles(NamedTuple):
    """All dark-matter particles of a snapshot, in the order of its files."""

    header: Header
    x: np.ndarray
    """Positions (3, N) float32 in Mpc/h, in [0, box_size)."""
    u: np.ndarray
    """Peculiar velocities (3, N) float32 in km/s."""
    ids: np.ndarray
    """Identifiers (N,) uint64."""


def read_header(path: Path) -> Header:
    """What a snapshot says of itself.

    Parameters
    ----------
    path : Path
        Its file, any of its files NAME.0.hdf5, NAME.1.hdf5, ..., or NAME.

    Raises
    ------
    FileError
        The file cannot be read, or is no Gadget snapshot with dark matter of one mass.
    """
    first = _files(path)[0]
    with _reading(first) as file:
        length, mass_unit, _ = _units(first, file)
        attributes = file["Header"].attrs
        count = _total(attributes)
        mass = float(attributes["MassTable"][1])
        if mass == 0 and f"{TYPE}/Masses" in file:
            masses = file[f"{TYPE}/Masses"]
            mass = float(masses[0]) if len(masses) else 0.0
            if not np.all(masses[:] == np.float32(mass)):
                raise FileError(f"snapshot: {first}: wanted dark-matter particles of one mass")
        return Header(
            length * float(attributes["BoxSize"]),
            float(attributes["Time"]),
            float(_of(file, "Omega0")),
            float(_of(file, "HubbleParam")),
            count,
            mass_unit * mass,
            *(float(attributes.get(name, LAMBDA[name])) for name in ("w0", "wa")),
        )


class Files(NamedTuple):
    """The files of a snapshot, found and counted."""

    header: Header
    paths: list[Path]
    counts: list[int]
    """Dark-matter particles in each."""


def find_files(path: Path) -> Files:
    """The files of a snapshot; path and errors as for `read_header`, and for fewer particles than
    the header says."""
    header, paths = read_header(path), _files(path)
    counts = list(map(_particles_in, paths))
    if sum(counts) != header.particles:
        raise FileError(
            f"snapshot: {path}: found {sum(counts)} particles, wanted {header.particles}"
        )
    return Files(header, paths, counts)


def read_particles(path: Path) -> Particles:
    """All dark-matter particles; path and errors as for `find_files`, and for values that are not
    finite."""
    files = find_files(path)
    header, N = files.header, files.header.particles
    x, u = (np.empty((3, N), np.float32) for _ in range(2))
    ids = np.empty(N, np.uint64)
    for low in range(0, N, BLOCK):
        part = slice(low, min(N, low + BLOCK))
        x[:, part], u[:, part], ids[part] = read_rows(files, part.start, part.stop)
    if not (np.isfinite(x).all() and np.isfinite(u).all()):
        raise FileError(f"snapshot: {path}: values that are not finite")
    np.mod(x, np.float32(header.box_size), out=x)
    x[x >= header.box_size] = 0.0
    return Particles(header, x, u, ids)


def read_rows(files: Files, low: int, high: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some particles, numbered through all files.

    Parameters
    ----------
    files : Files
    low, high : int
        The first of them and the one after the last, M apart.

    Returns
    -------
    x : array (3, M) float64
        Positions in Mpc/h as they are in the file, perhaps outside the box or not finite.
    u : array (3, M) float64
        Peculiar velocities in km/s.
    ids : array (M,) uint64

    Raises
    ------
    FileError
        They cannot be read.
    """
    x, u = np.empty((3, high - low)), np.empty((3, high - low))
    for path, rows, here in _parts(files, low, high):
        with _reading(path) as file:
            length, _, speed = _units(path, file)
            x[:, here] = length * file[f"{TYPE}/Coordinates"][rows].astype(np.float64).T
            u[:, here] = file[f"{TYPE}/Velocities"][rows].T
            u[:, here] *= speed * np.sqrt(files.header.a)
    return x, u, read_ids(files, low, high)


def read_ids(files: Files, low: int, high: int) -> np.ndarray:
    """Identifiers (M,) uint64 of some particles; parameters and errors as for `read_rows`."""
    ids = np.empty(high - low, np.uint64)
    for path, rows, here in _parts(files, low, high):
        with _reading(path) as file:
            ids[here] = file[f"{TYPE}/ParticleIDs"][rows]
    return ids


def _parts(files: Files, low: int, high: int) -> Iterator[tuple[Path, slice, slice]]:
    """Files with the rows of theirs that are among `low` to `high`, and where these belong."""
    start = 0
    for path, count in zip(files.paths, files.counts, strict=True):
        first, last = max(low, start), min(high, start + count)
        if first < last:
            yield path, slice(first - start, last - start), slice(first - low, last - low)
        start += count


def _particles_in(path: Path) -> int:
    """Number of dark-matter particles in one file."""
    with _reading(path) as file:
        group = file.get(TYPE, {})
        if all(data in group for data in ("Coordinates", "Velocities", "ParticleIDs")):
            return len(group["ParticleIDs"])
        if int(file["Header"].attrs["NumPart_ThisFile"][1]) == 0:
            return 0
        raise FileError(f"snapshot: {path}: wanted {TYPE} with positions and velocities")


def _files(path: Path) -> list[Path]:
    """The files of a snapshot, in order; those that a file of virtual data sets joins, since HDF5
    has zeros for what it cannot read of them."""
    path = Path(path)
    candidates = (path, Path(f"{path}.hdf5"), Path(f"{path}.0.hdf5"))
    first = next((p for p in candidates if p.is_file()), path)
    with _reading(first) as file:
        count = int(file["Header"].attrs["NumFilesPerSnapshot"])
        ids = file.get(f"{TYPE}/ParticleIDs")
        if ids is not None and ids.is_virtual:
            return [first.with_name(source.file_name) for source in ids.virtual_sources()]
    if count == 1:
        return [first]
    if not PART.search(first.name):
        raise FileError(f"snapshot: {first}: one of {count} files, wanted a name like NAME.0.hdf5")
    names = []
    for i in range(count):
        names.append(first.with_name(PART.sub(rf".{i}\2", first.name)))
        if not names[-1].is_file():
            raise FileError(f"snapshot: {names[-1]} is missing, one of {count} files")
    return names


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    """An open file whose header is complete; what cannot be read of it is a FileError."""
    try:
        with h5py.File(path, "r") as file:
            missing = [k for k in KEYS if "Header" not in file or k not in file["Header"].attrs]
            if missing:
                raise FileError(
                    f"snapshot: {path}: no Gadget snapshot, Header lacks {', '.join(missing)}"
                )
            yield file
    except DAMAGE as error:
        reason = " ".join(str(error).split())
        raise FileError(f"snapshot: cannot read {path}: {reason}") from None


def _total(attributes: h5py.AttributeManager) -> int:
    high = attributes.get("NumPart_Total_HighWord", np.zeros(6, np.uint32))
    return int(attributes["NumPart_Total"][1]) + (int(high[1]) << 32)


def _of(file: h5py.File, name: str) -> float:
    """A cosmological parameter, which newer Gadgets keep elsewhere."""
    for group in ("Header", "Parameters"):
        if group in file and name in file[group].attrs:
            return file[group].attrs[name]
    raise FileError(f"snapshot: {file.filename}: Header lacks {name}")


def _units(path: Path, file: h5py.File) -> tuple[float, float, float]:
    """Mpc/h, Msun/h and km/s in one of the file's units; Gadget's usual ones where it has none."""
    found = dict(UNITS)
    for group in ("Header", "Parameters", "Units"):
        if group in file:
            found |= {k: float(v) for k, v in file[group].attrs.items() if k in UNITS}
    length = 1e-3 * found["UnitLength_in_cm"] / UNITS["UnitLength_in_cm"]
    mass = 1e10 * found["UnitMass_in_g"] / UNITS["UnitMass_in_g"]
    speed = found["UnitVelocity_in_cm_per_s"] / UNITS["UnitVelocity_in_cm_per_s"]
    if not min(length, mass, speed) > 0:
        raise FileError(f"snapshot: {path}: found units {found}, wanted positive ones")
    return length, mass, speed
