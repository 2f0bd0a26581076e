"""What a snapshot's file says of itself, in Gadget's words or in SWIFT's, and whether it can be so.

Gadget's lengths and masses have a factor of 1/h, its velocities one of 1/sqrt(a), its `Time` is a,
and its attributes may be in Header or in Parameters. SWIFT has no h in its units, peculiar
velocities a dx/dt, and its cosmology in a group of that name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from coca.cosmology.background import LAMBDA, RHO_CRIT
from coca.errors import FileError, reason
from coca.files.conventions import SWIFT_UNITS, UNITS

TYPE = "PartType1"
DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError)
"""What h5py and NumPy raise over damaged files and data of another kind or shape."""
KEYS = ("BoxSize", "NumPart_ThisFile", "NumPart_Total")
SAME_MASS, SAME_TIME, SAME_DENSITY = 1e-5, 1e-2, 1e-2
"""Relative differences that may be: between particles' masses, between 1 + Redshift and 1 / Time,
and of the mean density to that of matter."""
LEAST_DENSITY, MOST_DENSITY = 0.5, 1.1
"""Mean density of a box over that of matter, beyond which its units are not what they are taken
for: dark matter alone is 0.8 of it."""


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

    @property
    def density(self) -> float:
        """Mean density of the box over that of all matter; NaN where a mass is not known."""
        return self.mass * self.particles / self.box_size**3 / (self.Omega_m * RHO_CRIT)

    @property
    def remarks(self) -> list[str]:
        """Lines on what is not wrong, but to be known."""
        if abs(self.density - 1) < SAME_DENSITY:
            return []
        return [
            f"the mean density of {TYPE} is {self.density:.4g} of that of matter, Omega0 = "
            f"{self.Omega_m:g}"
        ]


class Units(NamedTuple):
    """The units in which a file has its numbers."""

    length: float
    """Mpc/h in one of its units, comoving."""
    mass: float
    """Msun/h."""
    speed: float
    """km/s, peculiar."""


class NoSnapshot(Exception):
    """What is wrong with an open file; `reading` says of which, and of which key."""


@contextmanager
def reading(path: Path, key: str) -> Iterator[h5py.File]:
    """An open file whose header is complete; what is wrong with it, and what cannot be read of it,
    is a FileError that names the key that says the file."""
    try:
        with h5py.File(path, "r") as file:
            missing = [k for k in KEYS if "Header" not in file or k not in file["Header"].attrs]
            if missing:
                raise NoSnapshot(f"no Gadget snapshot, Header lacks {', '.join(missing)}")
            yield file
    except NoSnapshot as error:
        raise FileError(f"{key}: {path}: {error}") from None
    except DAMAGE as error:
        raise FileError(f"{key}: cannot read {path}: {reason(error)}") from None


def header_of(file: h5py.File, mass: float) -> Header:
    """What an open file says; particles' mass, in its unit, is known already.

    Raises
    ------
    NoSnapshot
        It cannot be so: a number that is no length, time, density or mass, a time and a redshift
        that differ, or a mean density that no unit accounts for.
    """
    swift = is_swift(file)
    attributes, a = file["Header"].attrs, _time(file, swift)
    units = units_of(file, a)
    box_size = units.length * _box(attributes["BoxSize"])
    Omega_m, h = (_cosmological(file, swift, name) for name in ("Omega0", "HubbleParam"))
    dark = (_dark_energy(file, name) for name in LAMBDA)
    header = Header(box_size, a, Omega_m, h, total(attributes), units.mass * mass, *dark)
    _check(header)
    return header


def number(value: Any) -> float:
    """A scalar attribute, which may be an array of one; ValueError if it is anything else."""
    values = np.asarray(value)
    if values.size != 1 or values.dtype.kind not in "fiu":
        raise ValueError(f"found {value!r}, wanted a number")
    return float(values.ravel()[0])


def counts(values: Any) -> int:
    """Dark-matter particles in an attribute of all types, whose 32 bits may be taken for signed."""
    array = np.atleast_1d(np.asarray(values))
    if array.dtype.kind == "f":
        array = array.astype(np.int64)
    unsigned = array.astype(array.dtype.newbyteorder("=")).view(f"u{array.dtype.itemsize}")
    return int(unsigned[1])


def total(attributes: h5py.AttributeManager) -> int:
    """Dark-matter particles in all files: the 32 low bits, and the high ones where these are not in
    the total already."""
    low, high = counts(attributes["NumPart_Total"]), attributes.get("NumPart_Total_HighWord")
    return low if high is None or low >= 2**32 else low + (counts(high) << 32)


def file_count(file: h5py.File) -> int:
    """Files of the snapshot."""
    return int(number(file["Header"].attrs.get("NumFilesPerSnapshot", 1)))


def is_swift(file: h5py.File) -> bool:
    """Whether SWIFT wrote a file; NoSnapshot if without expansion."""
    code = np.asarray(file["Header"].attrs.get("Code", b"")).ravel()
    named = any(bytes(word).strip(b"\0 ").upper() == b"SWIFT" for word in code.astype("S"))
    if "Cosmology" in file and "Scale-factor" in file["Cosmology"].attrs:
        if not number(file["Cosmology"].attrs.get("Cosmological run", 1)):
            raise NoSnapshot("found a SWIFT run without expansion, wanted one with")
        return True
    if named:
        raise NoSnapshot("found a SWIFT file without a group Cosmology")
    return False


def units_of(file: h5py.File, a: float) -> Units:
    """The file's units; Gadget's usual ones where it has none."""
    found, swift = dict(UNITS), is_swift(file)
    for group in ("Header", "Parameters", "Units"):
        if group in file:
            found |= {k: number(v) for k, v in file[group].attrs.items() if k in UNITS}
    h, root_a = 1.0, math.sqrt(a)
    length, mass, speed = (found[name] / UNITS[name] for name in UNITS)
    if swift:
        h, root_a = number(file["Cosmology"].attrs["h"]), 1.0
        found = {name: number(file["Units"].attrs[name]) for name in list(SWIFT_UNITS)[:3]}
        length, mass, time = (value / SWIFT_UNITS[name] for name, value in found.items())
        speed = length / time if time else 0.0
    if not 0 < min(length, mass, speed) <= max(length, mass, speed) < math.inf:
        raise NoSnapshot(f"found units {found}, wanted positive ones")
    return Units(1e-3 * length * h, 1e10 * mass * h, speed * root_a)


def _time(file: h5py.File, swift: bool) -> float:
    """Scale factor."""
    attributes = file["Header"].attrs
    if not swift and "Time" not in attributes:
        raise NoSnapshot("no Gadget snapshot, Header lacks Time")
    a = number(file["Cosmology"].attrs["Scale-factor"] if swift else attributes["Time"])
    if not 0 < a < math.inf:
        raise NoSnapshot(f"found Time = {a:g}, wanted a scale factor")
    z = number(attributes["Redshift"]) if "Redshift" in attributes else 1 / a - 1
    if not abs(a * (1 + z) - 1) < SAME_TIME:
        raise NoSnapshot(
            f"found Redshift = {z:g} and Time = {a:g}, wanted 1 / (1 + Redshift) "
            f"as Time, the scale factor"
        )
    return a


def _box(value: Any) -> float:
    """The side of a cube in the file's unit."""
    sides = np.atleast_1d(np.asarray(value))
    if sides.dtype.kind not in "fiu" or not sides.size or (sides != sides.ravel()[0]).any():
        raise NoSnapshot(f"found BoxSize = {value}, wanted the side of a cube")
    return float(sides.ravel()[0])


def _cosmological(file: h5py.File, swift: bool, name: str) -> float:
    """A parameter, which newer Gadgets keep elsewhere."""
    if swift:
        return number(file["Cosmology"].attrs[{"Omega0": "Omega_m", "HubbleParam": "h"}[name]])
    for group in ("Header", "Parameters"):
        if group in file and name in file[group].attrs:
            return number(file[group].attrs[name])
    raise NoSnapshot(f"Header lacks {name}")


def _dark_energy(file: h5py.File, name: str) -> float:
    """w0 or wa, ours or SWIFT's."""
    for group, key in (("Header", name), ("Cosmology", f"w_{name[1:]}")):
        if group in file and key in file[group].attrs:
            return number(file[group].attrs[key])
    return LAMBDA[name]


def _check(header: Header) -> None:
    """Raise NoSnapshot for a header that cannot be true."""
    for name, value, wanted in (
        ("BoxSize", header.box_size, "a length"),
        ("Omega0", header.Omega_m, "the density of matter"),
        ("HubbleParam", header.h, "the Hubble constant over 100 km/s/Mpc"),
        ("the mass of a particle", header.mass, "a mass, of MassTable[1] or Masses"),
    ):
        if not 0 < value < math.inf:
            raise NoSnapshot(f"found {name} = {value:g}, wanted {wanted}")
    if header.particles < 1:
        raise NoSnapshot(f"found no particles of {TYPE}, wanted dark matter")
    if not LEAST_DENSITY < header.density < MOST_DENSITY:
        raise NoSnapshot(
            f"found {header.particles} particles of {header.mass:.4g} Msun/h in "
            f"({header.box_size:.4g} Mpc/h)^3, {header.density:.3g} times the mean density of "
            f"Omega0 = {header.Omega_m:g}{_unit_of(header.density)}; wanted units in Header or "
            "Units that account for it"
        )


def _unit_of(density: float) -> str:
    """The unit of length that a wrong density hints at."""
    for factor, unit in ((1e3, "Mpc/h"), (1e-3, "pc/h")):
        if 0.5 < density / factor**3 < 1.5:
            return f", as of lengths in {unit} taken for kpc/h (UnitLength_in_cm says which)"
    return ""
