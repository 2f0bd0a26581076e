"""Particles of a light cone themselves, where and when they cross it, in files like Gadget's."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from coca.atomic_files import whole_hdf5
from coca.cosmology.background import redshift
from coca.files.conventions import gadget
from coca.files.snapshot_writer import CHUNK, part_names
from coca.light_cone.shells import FOLDER, Shell

BYTES = 36
"""Bytes of a particle in a file."""


class Crossings(NamedTuple):
    """Particles that have crossed the cone in one shell, on one rank."""

    ids: np.ndarray
    """Lagrangian indices, array (M,) uint64; copies of a particle have the same."""
    values: np.ndarray
    """Position from the observer in comoving Mpc/h, peculiar velocity in km/s, and scale factor,
    array (M, 7) float32."""

    @classmethod
    def none(cls) -> Crossings:
        """No particle."""
        return cls(np.zeros(0, np.uint64), np.zeros((0, 7), np.float32))

    def add(self, other: Crossings) -> Crossings:
        """These and others after them."""
        return Crossings(*(np.concatenate(pair) for pair in zip(self, other, strict=True)))


def particle_files(directory: Path, number: int, ranks: int) -> list[Path]:
    """Files of the particles in a shell of a run's directory, one a rank."""
    path = directory / FOLDER / f"particles_{number:03d}.hdf5"
    return [path.with_name(name) for name in part_names(path, ranks)] if ranks > 1 else [path]


def write_particles(path: Path, shell: Shell, crossings: Crossings, files: int, total: int) -> None:
    """Write particles of a shell, whole or not at all.

    Units are Gadget's, with velocities over the square root of each particle's own scale factor;
    coordinates are from the observer and not brought into the box. Time and Redshift of the
    header are those of the shell's near edge.

    Parameters
    ----------
    path : Path
    shell : Shell
    crossings : Crossings
        Of this rank.
    files : int
        Number of files of the shell, one a rank.
    total : int
        Number of particles in all of them.
    """
    units = gadget(shell.cosmology, shell.box_size, 1.0 / (1.0 + shell.z[0]))
    x, u, a = np.split(crossings.values, [3, 6], axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_hdf5(path) as file:
        header = file.create_group("Header")
        header.attrs.update(units.header)
        header.attrs.update(_counts(len(x), total, files))
        header.attrs["MassTable"] = [0.0, shell.particle_mass / units.mass, 0.0, 0.0, 0.0, 0.0]
        edges = {"lower_z": shell.z[0], "upper_z": shell.z[1]}
        edges |= {"lower_chi": shell.chi[0], "upper_chi": shell.chi[1]}
        header.attrs.update(edges | shell.footprint.attributes)
        for name, attributes in units.groups.items():
            file.create_group(name).attrs.update(attributes)
        group = file.create_group("PartType1")
        _write(group, "Coordinates", x * np.float32(units.lengths))
        _write(group, "Velocities", u / np.sqrt(a))
        _write(group, "ParticleIDs", crossings.ids)
        _write(group, "Redshift", redshift(a[:, 0]).astype(np.float32))


def _counts(here: int, total: int, files: int) -> dict[str, object]:
    return {
        "NumPart_ThisFile": np.array([0, here, 0, 0, 0, 0], np.uint32),
        "NumPart_Total": np.array([0, total & 0xFFFFFFFF, 0, 0, 0, 0], np.uint32),
        "NumPart_Total_HighWord": np.array([0, total >> 32, 0, 0, 0, 0], np.uint32),
        "NumFilesPerSnapshot": files,
    }


def _write(group: h5py.Group, name: str, values: np.ndarray) -> None:
    if len(values):
        chunks = (min(len(values), CHUNK), *values.shape[1:])
        group.create_dataset(name, data=values, chunks=chunks, fletcher32=True)
    else:
        group.create_dataset(name, data=values)
