"""Gadget HDF5 snapshots of our own.

Inside coca lengths are in Mpc/h and velocities are dx/dD; conversions happen here only, into the
units of `coca.files.conventions`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from coca.atomic_files import whole_hdf5
from coca.cosmology.background import RHO_CRIT, Cosmology
from coca.files.conventions import Convention, gadget
from coca.parallel.domain import Domain
from coca.particles import Snapshot, into_box

PARTICLES = {
    "Coordinates": ((3,), np.float32),
    "Velocities": ((3,), np.float32),
    "ParticleIDs": ((), np.uint64),
}
"""Data sets of a snapshot: shape and type for each particle."""

BLOCK = 2**20
"""Particles converted and written at a time."""

CHUNK = 2**16
"""Most particles that share a checksum."""


def particle_mass(cosmology: Cosmology, domain: Domain) -> float:
    """Mass of a particle in Msun/h."""
    return cosmology.Omega_m * RHO_CRIT * domain.box_size**3 / domain.particles


def wrapped_positions(domain: Domain, x: np.ndarray) -> np.ndarray:
    """Positions (N, 3) float32 in [0, box_size), Mpc/h, of positions (3, N) anywhere."""
    return into_box(x.T, domain.box_size)


def peculiar_velocities(cosmology: Cosmology, D: float, vel: np.ndarray) -> np.ndarray:
    """Peculiar velocities (N, 3) float32 in km/s of dx/dD (3, N) in Mpc/h."""
    return vel.T * np.float32(cosmology.velocity_unit(D))


def write_snapshot(
    path: Path,
    domain: Domain,
    cosmology: Cosmology,
    snapshot: Snapshot,
    record: dict,
    convention: Callable[[Cosmology, float, float], Convention] = gadget,
) -> list[str]:
    """Write a snapshot: Gadget's, which yt, pynbody and Pylians read and Gadget and SWIFT start on,
    or of another convention.

    ParticleIDs are, from the convention's first on, the Lagrangian index (i n + j) n + l of the
    particle from q = (i, j, l) box / n. Masses, for SWIFT, are a fill value and take no space in
    the file. The other data sets have checksums, HDF5's fletcher32, which all readers verify.
    Several ranks write a file each, in Gadget's convention for many files, and the first a file
    of virtual data sets at `path` that joins them.

    Parameters
    ----------
    path : Path
    domain : Domain
    cosmology : Cosmology
    snapshot : Snapshot
    record : dict
        Stored as JSON strings in the attributes of the group /Coca.
    convention : callable
        One of `coca.files.conventions`.

    Returns
    -------
    list of str
        Names of the files.
    """
    ranks = domain.ranks
    parts = part_names(path, ranks.size) if ranks.size > 1 else []
    if parts:  # it must not join parts of two runs
        domain.once(lambda: path.unlink(missing_ok=True))
    units = convention(cosmology, domain.box_size, float(cosmology.a_of_D(snapshot.D)))
    header = _header(domain, cosmology, units)
    with domain.together():
        own = path.with_name(parts[ranks.rank]) if parts else path
        with whole_hdf5(own) as file:
            counts = _counts(domain, domain.own_particles, ranks.size)
            _write_groups(file, header | counts, units, record)
            _write_particles(file, domain, cosmology, snapshot, units)
    domain.once(lambda: _finish(path, domain, header, units, parts, record))
    return [path.name, *parts]


def is_ours(path: Path) -> bool:
    """Whether coca wrote a snapshot."""
    try:
        with h5py.File(path) as file:
            return "Coca" in file
    except OSError:
        return False


def part_names(path: Path, parts: int) -> list[str]:
    """Names of a snapshot's files, one a rank."""
    return [f"{path.stem}.{number}{path.suffix}" for number in range(parts)]


def _header(domain: Domain, cosmology: Cosmology, convention: Convention) -> dict:
    mass = particle_mass(cosmology, domain) / convention.mass
    return {"MassTable": [0.0, mass, 0.0, 0.0, 0.0, 0.0], **convention.header}


def _counts(domain: Domain, here: int, files: int) -> dict:
    """What a header says of the particles in one of some files."""
    total = np.array([0, domain.particles, 0, 0, 0, 0], np.uint64)
    kind = np.uint32 if here < 2**32 else np.uint64  # only a joining file can hold more
    return {
        "NumPart_ThisFile": np.array([0, here, 0, 0, 0, 0], kind),
        "NumPart_Total": (total & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        "NumPart_Total_HighWord": (total >> np.uint64(32)).astype(np.uint32),
        "NumFilesPerSnapshot": files,
    }


def _write_groups(file: h5py.File, header: dict, units: Convention, record: dict) -> None:
    for name, attributes in ({"Header": header} | units.groups).items():
        file.create_group(name).attrs.update(attributes)
    file.create_group("Coca").attrs.update({k: json.dumps(v) for k, v in record.items()})


def _particle_group(file: h5py.File, N: int) -> h5py.Group:
    """The group of N particles, with their masses."""
    particles = file.create_group("PartType1")
    mass = file["Header"].attrs["MassTable"][1]
    particles.create_dataset("Masses", (N,), np.float32, fillvalue=mass)
    return particles


def _write_particles(
    file: h5py.File, domain: Domain, cosmology: Cosmology, snapshot: Snapshot, units: Convention
) -> None:
    """This rank's particles, a block at a time."""
    x, N = domain.add_lattice(snapshot.disp), domain.own_particles
    first = domain.first_particle + units.first_id
    particles, rows = _particle_group(file, N), -(-N // -(-N // CHUNK))
    coordinates, velocities, ids = (
        particles.create_dataset(name, (N, *shape), kind, chunks=(rows, *shape), fletcher32=True)
        for name, (shape, kind) in PARTICLES.items()
    )
    for low in range(0, N, BLOCK):
        part = slice(low, min(N, low + BLOCK))
        u = peculiar_velocities(cosmology, snapshot.D, snapshot.vel[:, part])
        coordinates[part] = wrapped_positions(domain, x[:, part]) * np.float32(units.lengths)
        velocities[part] = u / np.float32(units.speed)
        ids[part] = np.arange(part.start, part.stop, dtype=np.uint64) + first


def _finish(
    path: Path, domain: Domain, header: dict, units: Convention, parts: list[str], record: dict
) -> None:
    """Join the parts, if any, and remove those of an earlier snapshot with more."""
    if parts:
        with whole_hdf5(path) as file:
            _write_groups(file, header | _counts(domain, domain.particles, 1), units, record)
            particles, N = _particle_group(file, domain.particles), domain.own_particles
            for name, (shape, kind) in PARTICLES.items():
                layout = h5py.VirtualLayout((domain.particles, *shape), kind)
                for number, part in enumerate(parts):
                    source = h5py.VirtualSource(part, f"PartType1/{name}", (N, *shape), kind)
                    layout[number * N : (number + 1) * N] = source
                particles.create_virtual_dataset(name, layout)
    for old in path.parent.glob(f"{path.stem}.*{path.suffix}"):
        if old.suffixes[-2][1:].isdigit() and old.name not in parts:
            old.unlink()
