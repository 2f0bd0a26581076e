"""Gadget HDF5 snapshots of our own.

Inside coca lengths are in Mpc/h and velocities are dx/dD; conversions happen here only.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from coca.atomic_files import whole_hdf5
from coca.cosmology.background import RHO_CRIT, Cosmology, redshift
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

UNITS = {
    "UnitLength_in_cm": 3.085678e21,
    "UnitMass_in_g": 1.989e43,
    "UnitVelocity_in_cm_per_s": 1e5,
}
"""kpc/h, 1e10 Msun/h and km/s, each without its factor of h."""

SWIFT_UNITS = {
    "Unit length in cgs (U_L)": UNITS["UnitLength_in_cm"],
    "Unit mass in cgs (U_M)": UNITS["UnitMass_in_g"],
    "Unit time in cgs (U_t)": UNITS["UnitLength_in_cm"] / UNITS["UnitVelocity_in_cm_per_s"],
    "Unit current in cgs (U_I)": 1.0,
    "Unit temperature in cgs (U_T)": 1.0,
}
"""The same as SWIFT asks for them."""


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
    path: Path, domain: Domain, cosmology: Cosmology, snapshot: Snapshot, record: dict
) -> list[str]:
    """Write a Gadget HDF5 snapshot: yt, pynbody and Pylians read it, Gadget and SWIFT start on it.

    Coordinates in kpc/h, velocities in Gadget's sense (peculiar, km/s, divided by sqrt(a)),
    ParticleIDs the Lagrangian index (i n + j) n + l of the particle from q = (i, j, l) box / n.
    Masses, for SWIFT, are a fill value and take no space in the file. The other data sets have
    checksums, HDF5's fletcher32, which all readers verify.
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

    Returns
    -------
    list of str
        Names of the files.
    """
    ranks = domain.ranks
    parts = part_names(path, ranks.size) if ranks.size > 1 else []
    if parts:  # it must not join parts of two runs
        domain.once(lambda: path.unlink(missing_ok=True))
    header = _header(domain, cosmology, snapshot.D)
    with domain.together():
        own = path.with_name(parts[ranks.rank]) if parts else path
        with whole_hdf5(own) as file:
            _write_groups(file, header | _counts(domain, domain.own_particles, ranks.size), record)
            _write_particles(file, domain, cosmology, snapshot)
    domain.once(lambda: _finish(path, domain, header, parts, record))
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


def _header(domain: Domain, cosmology: Cosmology, D: float) -> dict:
    a = float(cosmology.a_of_D(D))
    return {
        "MassTable": [0.0, particle_mass(cosmology, domain) / 1e10, 0.0, 0.0, 0.0, 0.0],
        "Time": a,
        "Redshift": redshift(a),
        "BoxSize": 1e3 * domain.box_size,
        "Omega0": cosmology.Omega_m,
        "OmegaLambda": 1.0 - cosmology.Omega_m,
        "HubbleParam": cosmology.h,
        **({} if cosmology.background.is_lambda else {"w0": cosmology.w0, "wa": cosmology.wa}),
        **dict.fromkeys(("Flag_Sfr", "Flag_Cooling", "Flag_Feedback", "Flag_StellarAge"), 0),
        **dict.fromkeys(("Flag_Metals", "Flag_DoublePrecision", "Flag_Entropy_ICs"), 0),
    }


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


def _write_groups(file: h5py.File, header: dict, record: dict) -> None:
    file.create_group("Header").attrs.update(header)
    file.create_group("Units").attrs.update(UNITS | SWIFT_UNITS)
    file.create_group("Coca").attrs.update({k: json.dumps(v) for k, v in record.items()})


def _particle_group(file: h5py.File, N: int) -> h5py.Group:
    """The group of N particles, with their masses."""
    particles = file.create_group("PartType1")
    mass = file["Header"].attrs["MassTable"][1]
    particles.create_dataset("Masses", (N,), np.float32, fillvalue=mass)
    return particles


def _write_particles(
    file: h5py.File, domain: Domain, cosmology: Cosmology, snapshot: Snapshot
) -> None:
    """This rank's particles, a block at a time."""
    x, N = domain.add_lattice(snapshot.disp), domain.own_particles
    root_a = np.float32(np.sqrt(cosmology.a_of_D(snapshot.D)))
    particles, rows = _particle_group(file, N), -(-N // -(-N // CHUNK))
    coordinates, velocities, ids = (
        particles.create_dataset(name, (N, *shape), kind, chunks=(rows, *shape), fletcher32=True)
        for name, (shape, kind) in PARTICLES.items()
    )
    for low in range(0, N, BLOCK):
        part = slice(low, min(N, low + BLOCK))
        u = peculiar_velocities(cosmology, snapshot.D, snapshot.vel[:, part])
        coordinates[part] = wrapped_positions(domain, x[:, part]) * np.float32(1e3)
        velocities[part] = u / root_a
        ids[part] = np.arange(part.start, part.stop, dtype=np.uint64) + domain.first_particle


def _finish(path: Path, domain: Domain, header: dict, parts: list[str], record: dict) -> None:
    """Join the parts, if any, and remove those of an earlier snapshot with more."""
    if parts:
        with whole_hdf5(path) as file:
            _write_groups(file, header | _counts(domain, domain.particles, 1), record)
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
