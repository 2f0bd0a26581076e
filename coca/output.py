"""Everything that is written: snapshots, spectra and the record of the run.

Inside coca lengths are in Mpc/h and velocities are dx/dD; conversions happen here only.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from coca.cosmology import Cosmology, redshift
from coca.domain import Domain
from coca.files import whole_file
from coca.integrate import Snapshot

RHO_CRIT = 2.77536627e11
"""Critical density today in (Msun/h) / (Mpc/h)^3."""

BLOCK = 2**20
"""Particles converted and written at a time."""

UNITS = {
    "UnitLength_in_cm": 3.085678e21,
    "UnitMass_in_g": 1.989e43,
    "UnitVelocity_in_cm_per_s": 1e5,
}
"""kpc/h, 1e10 Msun/h and km/s, each without its factor of h."""


def particle_mass(cosmology: Cosmology, domain: Domain) -> float:
    """Mass of a particle in Msun/h."""
    return cosmology.Omega_m * RHO_CRIT * domain.box_size**3 / domain.particles


def wrapped_positions(domain: Domain, x: np.ndarray) -> np.ndarray:
    """Positions (N, 3) float32 in [0, box_size), Mpc/h, of positions (3, N) anywhere."""
    x = np.mod(x.T, np.float32(domain.box_size))
    x[x >= domain.box_size] = 0.0
    return x


def peculiar_velocities(cosmology: Cosmology, D: float, vel: np.ndarray) -> np.ndarray:
    """Peculiar velocities (N, 3) float32 in km/s of dx/dD (3, N) in Mpc/h."""
    return vel.T * np.float32(cosmology.velocity_unit(D))


def write_snapshot(
    path: Path, domain: Domain, cosmology: Cosmology, snapshot: Snapshot, record: dict
) -> None:
    """Write a Gadget HDF5 snapshot that yt, pynbody and Pylians read.

    Coordinates in kpc/h, velocities in Gadget's sense (peculiar, km/s, divided by sqrt(a)),
    ParticleIDs the Lagrangian index (i n + j) n + l of the particle from q = (i, j, l) box / n.

    Parameters
    ----------
    path : Path
    domain : Domain
    cosmology : Cosmology
    snapshot : Snapshot
    record : dict
        Stored as JSON strings in the attributes of the group /Coca.
    """
    a = float(cosmology.a_of_D(snapshot.D))
    count = np.array([0, domain.particles, 0, 0, 0, 0], np.uint64)
    header = {
        "NumPart_ThisFile": count.astype(np.uint32),
        "NumPart_Total": (count & np.uint64(0xFFFFFFFF)).astype(np.uint32),
        "NumPart_Total_HighWord": (count >> np.uint64(32)).astype(np.uint32),
        "MassTable": [0.0, particle_mass(cosmology, domain) / 1e10, 0.0, 0.0, 0.0, 0.0],
        "Time": a,
        "Redshift": redshift(a),
        "BoxSize": 1e3 * domain.box_size,
        "NumFilesPerSnapshot": 1,
        "Omega0": cosmology.Omega_m,
        "OmegaLambda": 1.0 - cosmology.Omega_m,
        "HubbleParam": cosmology.h,
        **dict.fromkeys(("Flag_Sfr", "Flag_Cooling", "Flag_Feedback", "Flag_StellarAge"), 0),
        **dict.fromkeys(("Flag_Metals", "Flag_DoublePrecision"), 0),
    }
    x, N = domain.add_lattice(snapshot.disp), snapshot.disp.shape[1]
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.create_group("Header").attrs.update(header)
        file.create_group("Units").attrs.update(UNITS)
        particles = file.create_group("PartType1")
        coordinates = particles.create_dataset("Coordinates", (N, 3), np.float32)
        velocities = particles.create_dataset("Velocities", (N, 3), np.float32)
        ids = particles.create_dataset("ParticleIDs", (N,), np.uint64)
        for low in range(0, N, BLOCK):
            part = slice(low, min(N, low + BLOCK))
            u = peculiar_velocities(cosmology, snapshot.D, snapshot.vel[:, part])
            coordinates[part] = wrapped_positions(domain, x[:, part]) * np.float32(1e3)
            velocities[part] = u / np.float32(np.sqrt(a))
            ids[part] = np.arange(part.start, part.stop, dtype=np.uint64)
        file.create_group("Coca").attrs.update({k: json.dumps(v) for k, v in record.items()})


def write_spectra(path: Path, columns: dict[str, tuple[str, np.ndarray]], title: str) -> None:
    """Write a text table; `columns` maps a name to its unit and values."""
    names = [f"{name} [{unit}]" for name, (unit, _) in columns.items()]
    header = f"{title}\ncolumns: {', '.join(names)}"
    table = np.column_stack([values for _, values in columns.values()])
    with whole_file(path) as temporary:
        np.savetxt(temporary, table, fmt="%.8e", header=header)


def write_json(path: Path, record: dict) -> None:
    """Write the record of a run."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
