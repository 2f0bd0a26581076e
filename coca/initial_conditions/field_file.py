"""Fields on the lattice from files: white noise of several codes, and displacements.

HDF5 has /white_noise or /psi1, or, as monofonIC's ConstraintFieldFile, one field of any name. Plain
binary files are MUSIC's (three sizes, then numbers with z fastest) or GRAFIC's (Fortran records: a
header of three sizes and a seed, then planes of z with x fastest), in single or double precision,
GRAFIC's with marks of 4 or 8 bytes. What a file is is told by its size.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from coca.errors import FileError, reason

KEY = "initial_conditions.file"
NOISE, PSI1 = "white_noise", "psi1"


class Binary(NamedTuple):
    """A format of white noise without names."""

    number: type[np.floating]
    mark: type[np.unsignedinteger] | None
    """Type of the marks of GRAFIC's records; None for MUSIC's files, which have none."""

    def size(self, n: int) -> int:
        """Bytes of a file of n^3 numbers."""
        numbers = n**3 * np.dtype(self.number).itemsize
        if self.mark is None:
            return 12 + numbers
        return 16 + 2 * (n + 1) * np.dtype(self.mark).itemsize + numbers

    def read(self, path: Path, n: int, planes: slice) -> np.ndarray:
        """White noise (planes, n, n); ValueError if the sizes in the file are not n."""
        if self.mark is None:
            _check_sizes(np.fromfile(path, np.uint32, 3), n)
            numbers = np.memmap(path, self.number, "r", 12, (n, n, n))
            return np.array(numbers[planes], np.float32)
        from scipy.io import FortranFile  # takes time that runs without such a file need not spend

        with FortranFile(path, "r", self.mark) as file:
            _check_sizes(file.read_record(np.uint32)[:3], n)
            noise = np.empty((len(range(*planes.indices(n))), n, n), np.float32)
            for l in range(n):
                noise[:, :, l] = file.read_record(self.number).reshape(n, n).T[planes]
        return noise


BINARIES = tuple(
    Binary(number, mark)
    for number in (np.float32, np.float64)
    for mark in (None, np.uint32, np.uint64)
)


def read_field(path: Path, n: int, planes: slice) -> tuple[str, np.ndarray]:
    """The name and some planes along x of the field in a file.

    Parameters
    ----------
    path : Path
    n : int
        Points of the lattice along each axis.
    planes : slice

    Returns
    -------
    str
        white_noise or psi1.
    array (planes, n, n) or (3, planes, n, n) float32

    Raises
    ------
    FileError
        The file cannot be read or has no such field, or it is of another shape or not finite.
    """
    try:
        with path.open("rb"):  # what is not there is not a wrong format
            name, data = (_hdf5 if h5py.is_hdf5(path) else _binary)(path, n, planes)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise FileError(f"{KEY}: cannot read {path}: {reason(error)}") from None
    if not np.isfinite(data).all():
        raise FileError(f"{KEY}: {path}: /{name} has values that are not finite")
    return name, data


def _check_sizes(found: np.ndarray, n: int) -> None:
    if found.tolist() != [n, n, n]:
        raise ValueError(f"its header has the sizes {found.tolist()}, wanted {n} three times")


def _binary(path: Path, n: int, planes: slice) -> tuple[str, np.ndarray]:
    found = path.stat().st_size
    for kind in BINARIES:
        if kind.size(n) == found:
            return NOISE, kind.read(path, n, planes)
    raise FileError(
        f"{KEY}: {path}: found {found} bytes that are not HDF5, wanted white noise on {n}^3 points "
        f"in HDF5, or of MUSIC or GRAFIC, {min(kind.size(n) for kind in BINARIES)} bytes or more"
    )


def _hdf5(path: Path, n: int, planes: slice) -> tuple[str, np.ndarray]:
    with h5py.File(path, "r") as file:
        where, name = _find(path, file)
        data, wanted = file[where], {NOISE: (n, n, n), PSI1: (3, n, n, n)}[name]
        if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu":
            raise FileError(f"{KEY}: {path}: /{where}: wanted a data set of numbers")
        if data.shape != wanted:
            raise FileError(f"{KEY}: {path}: /{where} has shape {data.shape}, wanted {wanted}")
        with np.errstate(over="ignore"):
            return name, data[..., planes, :, :].astype(np.float32)


def _find(path: Path, file: h5py.File) -> tuple[str, str]:
    """Where the field is, and what it is: of one of our names, or white noise if it is alone."""
    ours = [name for name in (NOISE, PSI1) if name in file]
    fields = [name for name in file if isinstance(file[name], h5py.Dataset) and file[name].ndim > 1]
    if len(ours) == 1:
        return ours[0], ours[0]
    if not ours and len(fields) == 1:
        return fields[0], NOISE
    raise FileError(
        f"{KEY}: {path}: found {', '.join(f'/{name}' for name in fields) or 'no field'}, wanted "
        "one of /white_noise and /psi1, or one field alone, which is white noise"
    )
