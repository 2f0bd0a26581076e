"""Files of shells: HEALPix maps of the particles in shells of a light cone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import h5py
import numpy as np

from coca.atomic_files import whole_hdf5
from coca.cosmology.background import RHO_CRIT, Cosmology
from coca.errors import ConfigError, FileError, reason
from coca.files.snapshot_header import DAMAGE
from coca.light_cone.footprint import Footprint
from coca.light_cone.healpix import write_maps

FOLDER = "light_cone"
"""Where shells are, in a run's directory."""
FORMAT = "coca-shell-1"


@dataclass(frozen=True)
class Shell:
    """One shell of a light cone."""

    number: int
    """0 for the nearest."""
    shells: int
    z: tuple[float, float]
    """Redshifts of its edges."""
    chi: tuple[float, float]
    """Comoving radii of its edges, Mpc/h."""
    cosmology: Cosmology
    box_size: float
    particles: int
    """Number of particles in the whole box."""
    footprint: Footprint
    counts: np.ndarray
    """Particles in each pixel, array (12 n_side^2,) int32, in ring order."""
    momentum: np.ndarray | None = None
    """Sum of their radial peculiar velocities in km/s, array (12 n_side^2,) float32."""
    redshift_space: bool = False
    """Whether particles are in the shells where their redshifts put them."""
    replica_seed: int | None = None
    """Seed of the turns of copies of the box; none: they are periodic."""

    def check_real_space(self) -> None:
        """Raise ConfigError for a shell in redshift space, whose particles do not lens from where
        they are counted."""
        if self.redshift_space:
            raise ConfigError(
                f"light_cone.redshift_space: found shell {self.number} in redshift space, wanted "
                "false for lensing, which is by matter where it is"
            )

    @property
    def n_side(self) -> int:
        """Resolution n_side of the HEALPix map."""
        return int(np.sqrt(len(self.counts) / 12))

    @property
    def mean(self) -> float:
        """Particles that a pixel would have of a homogeneous universe."""
        near, far = self.chi
        volume = 4.0 / 3.0 * np.pi * (far**3 - near**3) / len(self.counts)
        return volume * self.particles / self.box_size**3

    @property
    def particle_mass(self) -> float:
        """Msun/h."""
        return self.cosmology.Omega_m * RHO_CRIT * self.box_size**3 / self.particles


def shell_path(directory: Path, number: int) -> Path:
    """File of a shell in a run's directory."""
    return directory / FOLDER / f"shell_{number:03d}.hdf5"


def write_shell(directory: Path, shell: Shell) -> None:
    """Write a shell, whole or not at all."""
    path = shell_path(directory, shell.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_hdf5(path) as file:
        file.attrs.update(_attributes(shell))
        for name, values, unit in (
            ("counts", shell.counts, "particles"),
            ("momentum", shell.momentum, "km/s"),
        ):
            if values is not None:
                chunks = (min(len(values), 2**18),)
                data = file.create_dataset(
                    name, data=values, chunks=chunks, compression="gzip", compression_opts=1,
                    shuffle=True, fletcher32=True,
                )  # fmt: skip
                data.attrs["units"] = unit


def fits_path(path: Path) -> Path:
    """File of a shell's FITS map, beside that of the shell."""
    return path.with_suffix(".fits")


def write_fits(directory: Path, shell: Shell) -> None:
    """Write a shell as HEALPix does, counts and where they are momentum, with the attributes of the
    HDF5 file in the header; whole or not at all."""
    maps = {"counts": shell.counts}
    if shell.momentum is not None:
        maps["momentum"] = shell.momentum
    path = fits_path(shell_path(directory, shell.number))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_maps(path, maps, _attributes(shell))


def _attributes(shell: Shell) -> dict[str, object]:
    near, far = shell.chi
    return shell.cosmology.known() | {
        "format": FORMAT,
        "shell": shell.number,
        "shells": shell.shells,
        "n_side": shell.n_side,
        "ordering": "RING",
        "lower_z": shell.z[0],
        "upper_z": shell.z[1],
        "lower_chi": near,
        "upper_chi": far,
        "chi_units": "Mpc/h, comoving",
        "box_size": shell.box_size,
        "particles": shell.particles,
        "particle_mass": shell.particle_mass,
        "particle_mass_units": "Msun/h",
        "mean_count": shell.mean,
        "redshift_space": shell.redshift_space,
        **shell.footprint.attributes,
        "replicas": "periodic" if shell.replica_seed is None else "rotated",
        **({} if shell.replica_seed is None else {"replica_seed": shell.replica_seed}),
    }


def read_shell(path: Path) -> Shell:
    """Read a shell.

    Raises
    ------
    FileError
        It is missing, damaged, or no shell.
    """
    with _opened(path) as file:
        about = dict(file.attrs)
        names = [field.name for field in fields(Cosmology)]
        cosmology = Cosmology(**{k: float(about[k]) for k in names if k in about})
        return Shell(
            int(about["shell"]), int(about["shells"]),
            (float(about["lower_z"]), float(about["upper_z"])),
            (float(about["lower_chi"]), float(about["upper_chi"])),
            cosmology, float(about["box_size"]), int(about["particles"]),
            Footprint.of(about), file["counts"][:],
            file["momentum"][:] if "momentum" in file else None,
            bool(about.get("redshift_space", False)),
            int(about["replica_seed"]) if "replica_seed" in about else None,
        )  # fmt: skip


def farthest_redshift(paths: list[Path]) -> float:
    """Where a light cone ends whose shells are in files, from the nearest on; no map is read.

    Raises
    ------
    FileError
        The last is missing, damaged, or no shell.
    """
    with _opened(paths[-1]) as file:
        return float(file.attrs["upper_z"])


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """A shell's file; what is wrong with it is a FileError."""
    try:
        with h5py.File(path) as file:
            if file.attrs.get("format") != FORMAT:
                found = file.attrs.get("format")
                raise FileError(f"{path}: found format {found!r}, wanted {FORMAT!r}")
            yield file
    except DAMAGE as error:
        raise FileError(f"light_cone: cannot use {path}: {reason(error)}") from None


def shell_files(directory: Path) -> list[Path]:
    """All shells of a run, from the nearest on.

    Raises
    ------
    FileError
        There are none, or some are missing.
    """
    first = shell_path(directory, 0)
    if not first.exists():
        raise FileError(f"{first}: missing, wanted a directory of a run with light_cone")
    with _opened(first) as file:
        paths = [shell_path(directory, i) for i in range(int(file.attrs["shells"]))]
    for path in paths:
        if not path.exists():
            raise FileError(f"{path}: missing, wanted all {len(paths)} shells of the light cone")
    return paths
