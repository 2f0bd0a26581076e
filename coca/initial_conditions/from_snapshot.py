"""The particles of another code's snapshot on our lattice.

Identifiers tell the Lagrangian site: counted from 0 or from 1 they are (i n + j) n + l, as ours and
those of N-GenIC and MUSIC. Every rank reads an equal share of the rows, in pieces, and sends each
particle to the rank of its site.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coca.configuration.run import Config
from coca.configuration.sections import START_RANGE
from coca.cosmology.background import LAMBDA, RHO_CRIT, Cosmology
from coca.errors import ConfigError, FileError
from coca.files.snapshot_reader import Files, Header, find_files, read_header, read_ids, read_rows
from coca.frames import SnapshotFrame
from coca.initial_conditions import lpt
from coca.initial_conditions.linear_fields import InitialConditions
from coca.parallel.domain import Domain

KEY = "initial_conditions.snapshot"
EACH, ALL = 2**18, 2**21
"""Most rows that a rank and that all ranks read in a round: nobody is sent more."""
BYTES = 250 * EACH
"""Bytes of the arrays of a round."""
SAME, SAME_REDSHIFT, SAME_MASS = 1e-5, 1e-4, 5e-3
"""Differences to the configuration: relative, of single precision and rounded text; absolute, of
the redshift; relative, of the mass, for which codes know G to some digits."""
MOST_CELLS = 8.0
"""Largest displacement in cells."""
OFFSET_DIGITS = 3
"""Decimals, in cells, of the lattice's offset; a mean below them is the particles' own."""
LEAST_CORRELATION, MOST_GROWTH = 0.9, 0.3
"""Least correlation of displacements and velocities, and most that their growth rate may be off:
beyond, one of them is not what it should be."""
SAME_GROWTH, SAME_SECOND = 5e-3, 5e-3
"""Relative differences of velocities and of second orders of which nothing is said."""


class Displaced(NamedTuple):
    """This rank's particles of a snapshot, in Lagrangian order."""

    disp: np.ndarray
    """x - q - offset, array (3, N) float32, Mpc/h."""
    u: np.ndarray
    """Peculiar velocity, array (3, N) float32, km/s."""
    offset: np.ndarray
    """Offset of the snapshot's lattice from ours, array (3,), Mpc/h."""


def check_header(config: Config, path: Path) -> Header:
    """What the snapshot of a configuration says of itself.

    Raises
    ------
    FileError
        It cannot be read, or is of another box, cosmology or number of particles.
    ConfigError
        It is of another redshift than the configuration's.
    """
    options, cosmology = config.initial_conditions, config.cosmology
    n, header = config.particles, read_header(path, KEY)
    mass = cosmology.Omega_m * RHO_CRIT * (config.box_size / n) ** 3
    if header.particles != n**3:
        raise FileError(f"{KEY}: {path}: found {header.particles} particles, wanted {n}^3")
    for name, found, wanted, same in (
        ("box_size", header.box_size, config.box_size, SAME),
        ("Omega_m", header.Omega_m, cosmology.Omega_m, SAME),
        ("h", header.h, cosmology.h, SAME),
        ("mass of a particle (all matter is in PartType1)", header.mass, mass, SAME_MASS),
    ):
        if not np.isclose(found, wanted, rtol=same, atol=0):
            raise FileError(f"{KEY}: {path}: {name}: found {found:.7g}, wanted {wanted:.7g}")
    dark = header.w0, header.wa
    if dark != tuple(LAMBDA.values()) and not np.allclose(dark, (cosmology.w0, cosmology.wa)):
        raise FileError(
            f"{KEY}: {path}: w0, wa: found {header.w0:g}, {header.wa:g}, wanted {cosmology.w0:g}, "
            f"{cosmology.wa:g}"
        )
    first, last = START_RANGE
    if not first <= 1.0 / max(header.a, 1e-9) - 1.0 <= last:
        raise FileError(
            f"{KEY}: {path}: found a = {header.a:g}, wanted redshifts {first:g} to {last:g}"
        )
    if options.redshift is not None and abs(options.redshift - header.redshift) > SAME_REDSHIFT:
        raise ConfigError(
            f"initial_conditions.redshift: found {options.redshift:g}, wanted none, or "
            f"{header.redshift:.6g}, that of {path}"
        )
    return header


def from_snapshot(domain: Domain, cosmology: Cosmology, path: Path, D: float) -> InitialConditions:
    """Initial conditions from another code's snapshot, on whose particles the run starts.

    With x - q = D Psi1 + D2 Psi2 and v = Psi1 + D2' Psi2 (`coca.initial_conditions.lpt`),

        (D D2' - D2) Psi1 = D2' (x - q) - D2 v,   (D D2' - D2) Psi2 = D v - (x - q).

    Psi1 is the gradient of the density that its divergence gives, and Psi2 is made from it. What
    the snapshot has beside, such as third order, decaying modes, Nyquist waves and the round-off of
    its positions, is kept in the particles at the start, but not in the frame.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    path : Path
        As for `coca.files.snapshot_reader.read_header`.
    D : float
        Growth factor of the snapshot.

    Raises
    ------
    FileError
        See `read_lattice`; or the velocities are not those of growing modes.
    """
    disp, vel, offset = read_lattice(domain, path)
    vel /= np.float32(cosmology.velocity_unit(D))
    growth = _growth(domain, path, disp, vel, D)
    D2, slope, _ = cosmology.D2_of_D(D)
    determinant = D * slope - D2
    psi1 = np.float32(slope / determinant) * disp
    psi1 -= np.float32(D2 / determinant) * vel
    delta_k = lpt.density_of_displacement(domain, psi1)
    psi1, psi2 = lpt.first_order(domain, delta_k), lpt.second_order(domain, delta_k)
    found = D * _product(domain, vel, psi2) - _product(domain, disp, psi2)
    second = found / determinant / _product(domain, psi2, psi2)
    return InitialConditions(
        delta_k, psi1, psi2, SnapshotFrame(D, disp, vel), _remarks(offset, growth, second)
    )


def _growth(domain: Domain, path: Path, disp: np.ndarray, vel: np.ndarray, D: float) -> float:
    """Velocities in those of displacements that grow with D."""
    moments = [_product(domain, *pair) for pair in ((disp, disp), (disp, vel), (vel, vel))]
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.float64(D * moments[1]) / moments[0]
        correlation = np.float64(moments[1]) / np.sqrt(moments[0] * moments[2])
    if not (correlation > LEAST_CORRELATION and abs(growth - 1) < MOST_GROWTH):
        raise FileError(
            f"{KEY}: {path}: found velocities {growth:.3g} times those of growing "
            f"displacements from a lattice, correlated by {correlation:.3g}; wanted 1 and 1"
        )
    return float(growth)


def _product(domain: Domain, a: np.ndarray, b: np.ndarray) -> float:
    """Sum over all particles of the scalar product of vectors (3, N)."""
    return domain.sum(float(np.einsum("cp,cp->", a, b, dtype=np.float64)))


def _remarks(offset: np.ndarray, growth: float, second: float) -> tuple[str, ...]:
    remarks = []
    if offset.any():
        where = ", ".join(f"{value:.6g}" for value in offset)
        remarks.append(
            f"{KEY}: its lattice lies ({where}) Mpc/h from ours: add this to positions of "
            "this run to compare with those of the snapshot's code"
        )
    if abs(growth - 1) > SAME_GROWTH:
        remarks.append(
            f"{KEY}: velocities are {growth:.4f} times those of growing modes in this "
            "cosmology, wanted 1; radiation is neglected here"
        )
    if abs(second - 1) > SAME_SECOND:
        remarks.append(
            f"{KEY}: second-order displacements are {second:.4f} times those of 2LPT, "
            "wanted 1; displacements of first order have 0"
        )
    return tuple(remarks)


def read_lattice(domain: Domain, path: Path) -> Displaced:
    """Displacements and velocities of all particles from their sites.

    The lattice may be another than ours by a constant offset, such as half a cell; it is the mean
    displacement, which is taken away.

    Parameters
    ----------
    domain : Domain
    path : Path
        As for `coca.files.snapshot_reader.read_header`.

    Raises
    ------
    FileError
        The snapshot cannot be read, its identifiers are not each of 0 to N - 1 or of 1 to N once,
        or its particles are not near a lattice in this order.
    """
    files = domain.once(lambda: find_files(path, KEY))
    first = _first_id(domain, files, path)
    disp, u = domain.empty_particles(), domain.empty_particles()
    seen = np.zeros(domain.own_particles, bool)
    for rows in _arrivals(domain, files, path, first):
        own = rows[:, 0].astype(np.int64) - domain.first_particle
        disp[:, own], u[:, own] = rows[:, 1:4].T, rows[:, 4:].T
        seen[own] = True
    with domain.together():
        if not seen.all():
            missing = domain.first_particle + int(np.argmin(seen)) + first
            raise FileError(f"{KEY}: {path}: found no ParticleIDs {missing}, wanted each once")
    return _centred(domain, path, disp, u)


def _first_id(domain: Domain, files: Files, path: Path) -> int:
    """What identifiers are counted from."""
    ends = []
    with domain.together():
        for low, high in _rounds(domain):
            ids = read_ids(files, low, high)
            ends += [int(ids.min()), int(ids.max())]
    ends = [end for part in domain.ranks.gather(ends) for end in part]
    lowest, highest, N = min(ends), max(ends), domain.particles
    if (lowest, highest) not in ((0, N - 1), (1, N)):
        raise FileError(
            f"{KEY}: {path}: found ParticleIDs from {lowest} to {highest}, wanted 0 to {N - 1} or "
            f"1 to {N}"
        )
    return lowest


def _rounds(domain: Domain) -> Iterator[tuple[int, int]]:
    """Rows of this rank's share, as many pieces as every other rank has."""
    end, size = domain.first_particle + domain.own_particles, domain.ranks.size
    step = max(1, min(EACH, ALL // size))
    for low in range(domain.first_particle, end, step):
        yield low, min(low + step, end)


def _arrivals(domain: Domain, files: Files, path: Path, first: int) -> Iterator[np.ndarray]:
    """Rows (M, 7) of this rank's particles: Lagrangian index, displacement, velocity."""
    for low, high in _rounds(domain):
        with domain.together():
            x, u, ids = read_rows(files, low, high)
            if not (np.isfinite(x).all() and np.isfinite(u).all()):
                raise FileError(f"{KEY}: {path}: values that are not finite")
        index = ids.astype(np.int64) - first
        rows = np.column_stack([index, _displacements(domain, x, index).T, u.T])
        yield domain.send_home(rows, index, "initial conditions")


def _displacements(domain: Domain, x: np.ndarray, index: np.ndarray) -> np.ndarray:
    """x - q to the nearest image of the site, in double precision."""
    n = domain.n_side
    disp = x - domain.cell * np.stack([index // n**2, index // n % n, index % n])
    return disp - domain.box_size * np.rint(disp / domain.box_size)


def _centred(domain: Domain, path: Path, disp: np.ndarray, u: np.ndarray) -> Displaced:
    """Without the lattice's offset."""
    mean = domain.sum(disp.sum(axis=1, dtype=np.float64)) / domain.particles
    offset = domain.cell * np.round(mean / domain.cell, OFFSET_DIGITS) + 0.0  # without -0
    disp -= offset[:, None].astype(np.float32)
    farthest = max(domain.ranks.gather(float(np.abs(disp).max()))) / domain.cell
    if farthest > MOST_CELLS:
        raise FileError(
            f"{KEY}: {path}: found a particle {farthest:.3g} cells from its site, wanted at most "
            f"{MOST_CELLS:g} from a lattice in the order (i n + j) n + l of ParticleIDs; a glass "
            "cannot be read"
        )
    return Displaced(disp, u, offset)
