"""Particles of a run beside those of another with the same initial conditions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.cosmology.background import Cosmology
from coca.files.snapshot_reader import Header, Particles
from coca.parallel.domain import Domain, Grid
from coca.particles import Snapshot, into_box
from coca.statistics.haloes import LINKING_LENGTH, friends
from coca.statistics.particle_spectra import Multipoles, multipoles
from coca.statistics.spectra import particle_spectra

WAVENUMBERS = (0.5, 1.0, 1.5, 2.0)
LEAST = (20, 50, 100)
"""Fewest particles of the haloes that are counted."""
REDSHIFT_SPACE = 0.5
"""Largest k in h/Mpc at which multipoles are compared."""


class Haloes(NamedTuple):
    """Friends of friends, linked at 0.2 of the particle spacing."""

    counts: list[int]
    """Numbers of haloes of `LEAST` particles and more."""
    dispersion: float
    """Rms velocity of particles within haloes of 50 and more, relative to these, km/s."""


class Measured(NamedTuple):
    """What is compared of one snapshot."""

    x: np.ndarray
    """Positions (3, N), Mpc/h."""
    haloes: Haloes
    poles: Multipoles


def measure(domain: Domain, cosmology: Cosmology, snapshot: Snapshot) -> Measured:
    """What a snapshot shows."""
    x = domain.add_lattice(snapshot.disp)
    u = snapshot.vel * np.float32(cosmology.velocity_unit(snapshot.D))
    a = float(cosmology.a_of_D(snapshot.D))
    return Measured(x, haloes(domain, x, u), _poles(domain, cosmology, a, x, u))


def beside(domain: Domain, one: Measured, other: Measured) -> dict:
    """How one snapshot differs from another: P and r at `WAVENUMBERS`, haloes, their dispersion,
    and the rms deviation of P0 and P2 to `REDSHIFT_SPACE`."""
    spectra = particle_spectra(domain, 4 * domain.n_side, one.x, other.x)
    low = (one.poles.k > 0.1) & (one.poles.k < REDSHIFT_SPACE)
    scale = other.poles.P0[low]
    return {
        "P": [float(spectra.at(k).ratio) - 1 for k in WAVENUMBERS],
        "r_missing": [1 - float(spectra.at(k).r) for k in WAVENUMBERS],
        "haloes": [[a, b] for a, b in zip(one.haloes.counts, other.haloes.counts, strict=True)],
        "dispersion": one.haloes.dispersion / other.haloes.dispersion,
        "monopole": float(np.mean((one.poles.P0[low] - scale) / scale)),
        "quadrupole": float(np.mean((one.poles.P2 - other.poles.P2)[low] / scale)),
    }


def cells(row: dict) -> list[str]:
    """P, r and haloes of `beside` as cells of a table."""
    power = " / ".join(f"{100 * value:+.1f}" for value in row["P"])
    missing = " / ".join(f"{100 * value:.3f}" for value in row["r_missing"])
    return [power, missing, ", ".join(f"{a}/{b}" for a, b in row["haloes"])]


def haloes(domain: Domain, x: np.ndarray, u: np.ndarray) -> Haloes:
    """Haloes of particles at x (3, N) in Mpc/h with velocities u in km/s."""
    x = into_box(x, domain.box_size)
    group = friends(x, domain.box_size, LINKING_LENGTH * domain.cell)
    counts = np.bincount(group)
    inside = counts[group] >= 50
    squares = np.zeros(np.count_nonzero(inside))
    for part in u:
        mean = np.bincount(group, part) / counts
        squares += (part - mean[group])[inside] ** 2
    numbers = [int(np.count_nonzero(counts >= least)) for least in LEAST]
    return Haloes(numbers, float(np.sqrt(squares.mean())) if len(squares) else np.nan)


def _poles(
    domain: Domain, cosmology: Cosmology, a: float, x: np.ndarray, u: np.ndarray
) -> Multipoles:
    """Multipoles in redshift space, on a mesh of twice the particles."""
    N = x.shape[1]
    header = Header(domain.box_size, a, cosmology.Omega_m, cosmology.h, N, 0.0)
    x = into_box(x, domain.box_size)
    grid = Grid(domain.box_size, 2 * domain.n_side, domain.threads)
    return multipoles(grid, Particles(header, x, u, np.arange(N, dtype=np.uint64)))
