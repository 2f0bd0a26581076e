"""Snapshots read back: our own, Gadget's and SWIFT's, in one file or in many.

Lengths are turned into Mpc/h and velocities into peculiar ones in km/s. Only dark matter,
PartType1, is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coca.errors import FileError
from coca.files.snapshot_header import (
    SAME_MASS,
    TYPE,
    Header,
    NoSnapshot,
    counts,
    file_count,
    header_of,
    number,
    reading,
    units_of,
)
from coca.files.snapshot_writer import BLOCK
from coca.particles import into_box

KEY = "snapshot"
"""What errors call a snapshot that no configuration names."""
PART = re.compile(r"\.(\d+)(\.hdf5|\.h5)$")
PARTICLES = {"Coordinates": (3,), "Velocities": (3,), "ParticleIDs": ()}
"""Data sets that are read, and their shapes for a particle."""


class Particles(NamedTuple):
    """All dark-matter particles of a snapshot, in the order of its files."""

    header: Header
    x: np.ndarray
    """Positions (3, N) float32 in Mpc/h, in [0, box_size)."""
    u: np.ndarray
    """Peculiar velocities (3, N) float32 in km/s."""
    ids: np.ndarray
    """Identifiers (N,) uint64."""


def read_header(path: Path, key: str = KEY) -> Header:
    """What a snapshot says of itself.

    Parameters
    ----------
    path : Path
        Its file, any of its files NAME.0.hdf5, NAME.1.hdf5, ..., or NAME.
    key : str
        What errors call it: the key of a configuration that says it, if one does.

    Raises
    ------
    FileError
        The file cannot be read, is no snapshot of Gadget or SWIFT with dark matter of one mass, or
        its header cannot be true, see `coca.files.snapshot_header`.
    """
    first, *others = _files(path, key)
    mass, others = None, [first, *others]
    while mass is None and others:
        mass = _mass(others.pop(0), key)
    with reading(first, key) as file:
        return header_of(file, 0.0 if mass is None else mass)


def _mass(path: Path, key: str) -> float | None:
    """Mass of the particles in one file, in its unit; None where it does not tell."""
    with reading(path, key) as file:
        table = np.atleast_1d(np.asarray(file["Header"].attrs.get("MassTable", np.zeros(6))))
        mass = number(table[1])
        if mass != 0 or f"{TYPE}/Masses" not in file:
            return mass or None
        masses = file[f"{TYPE}/Masses"]
        if len(masses) == 0:
            return None
        first = float(masses[0])
        for low in range(0, len(masses), BLOCK):
            if not np.allclose(masses[low : low + BLOCK], first, rtol=SAME_MASS, atol=0):
                raise NoSnapshot("wanted dark-matter particles of one mass")
        return first


class Files(NamedTuple):
    """The files of a snapshot, found and counted."""

    header: Header
    paths: list[Path]
    counts: list[int]
    """Dark-matter particles in each."""
    key: str = KEY
    """What errors call the snapshot."""


def find_files(path: Path, key: str = KEY) -> Files:
    """The files of a snapshot; parameters and errors as for `read_header`, and for fewer particles
    than the header says."""
    header, paths = read_header(path, key), _files(path, key)
    found = [_particles_in(file, key) for file in paths]
    if sum(found) != header.particles:
        raise FileError(
            f"{key}: {path}: found {sum(found)} particles in {len(paths)} files, wanted "
            f"{header.particles}, NumPart_Total"
        )
    return Files(header, paths, found, key)


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
        raise FileError(f"{files.key}: {path}: values that are not finite")
    into_box(x, header.box_size, out=x)
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
        with reading(path, files.key) as file:
            units = units_of(file, files.header.a)
            x[:, here] = units.length * file[f"{TYPE}/Coordinates"][rows].astype(np.float64).T
            u[:, here] = file[f"{TYPE}/Velocities"][rows].T
            u[:, here] *= units.speed
    return x, u, read_ids(files, low, high)


def read_ids(files: Files, low: int, high: int) -> np.ndarray:
    """Identifiers (M,) uint64 of some particles; parameters and errors as for `read_rows`."""
    ids = np.empty(high - low, np.uint64)
    for path, rows, here in _parts(files, low, high):
        with reading(path, files.key) as file:
            found = file[f"{TYPE}/ParticleIDs"][rows]
            if found.dtype.kind == "i" and found.dtype.itemsize == 4:  # more than 2^31 of them
                found = found.astype(np.int32).view(np.uint32)
            ids[here] = found
    return ids


def _parts(files: Files, low: int, high: int) -> Iterator[tuple[Path, slice, slice]]:
    """Files with the rows of theirs that are among `low` to `high`, and where these belong."""
    start = 0
    for path, count in zip(files.paths, files.counts, strict=True):
        first, last = max(low, start), min(high, start + count)
        if first < last:
            yield path, slice(first - start, last - start), slice(first - low, last - low)
        start += count


def _particles_in(path: Path, key: str) -> int:
    """Number of dark-matter particles in one file."""
    with reading(path, key) as file:
        here, group = counts(file["Header"].attrs["NumPart_ThisFile"]), file.get(TYPE, {})
        if here == 0 and not all(name in group for name in PARTICLES):
            return 0
        for name, shape in PARTICLES.items():
            if name not in group:
                raise NoSnapshot(f"found no {TYPE}/{name}, wanted one")
            found = group[name].shape
            if found != (here, *shape):
                raise NoSnapshot(
                    f"found {TYPE}/{name} of shape {found}, wanted "
                    f"{(here, *shape)} for NumPart_ThisFile"
                )
        return here


def _files(path: Path, key: str) -> list[Path]:
    """The files of a snapshot, in order; those that a file of virtual data sets joins, since HDF5
    has zeros for what it cannot read of them."""
    path = Path(path)
    candidates = (path, Path(f"{path}.hdf5"), Path(f"{path}.0.hdf5"))
    first = next((p for p in candidates if p.is_file()), path)
    with reading(first, key) as file:
        count = file_count(file)
        ids = file.get(f"{TYPE}/ParticleIDs")
        if ids is not None and ids.is_virtual:
            return [first.with_name(source.file_name) for source in ids.virtual_sources()]
    if count == 1:
        return [first]
    if not PART.search(first.name):
        raise FileError(f"{key}: {first}: one of {count} files, wanted a name like NAME.0.hdf5")
    names = []
    for i in range(count):
        names.append(first.with_name(PART.sub(rf".{i}\2", first.name)))
        if not names[-1].is_file():
            raise FileError(f"{key}: {names[-1]} is missing, one of {count} files")
    return names
