"""Friends-of-friends haloes, their catalogue and their mass function."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from coca.cosmology.background import Cosmology
from coca.files.snapshot_reader import Header, Particles
from coca.files.tables import write_columns

LINKING_LENGTH = 0.2
"""Linking length in units of the mean distance between particles."""
FEWEST = 20
"""Particles of a halo."""
PIECE = 2**18
"""Particles whose friends are looked for at a time: what bounds the memory."""
BINS_PER_DECADE = 5


Columns = dict[str, tuple[str, np.ndarray]]
"""Data sets by name, each a unit and values."""


class Haloes(NamedTuple):
    """Haloes from heavy to light; H of them."""

    mass: np.ndarray
    """Msun/h, (H,) float64."""
    centre: np.ndarray
    """Centre of mass (3, H) float32 in Mpc/h, in [0, box_size)."""
    velocity: np.ndarray
    """Mean peculiar velocity (3, H) float32 in km/s."""
    particles: np.ndarray
    """Number of particles, (H,) int64."""
    ids: np.ndarray
    """Identifiers of the particles, those of the first halo first, uint64."""
    members: np.ndarray
    """The particles' numbers among all, in the same order, int64."""


class MassFunction(NamedTuple):
    """Haloes by mass."""

    mass: np.ndarray
    """Logarithmic middle of each bin, Msun/h."""
    haloes: np.ndarray
    """Number of haloes."""
    dn_dlnM: np.ndarray
    """Haloes per volume and ln M, (h/Mpc)^3."""
    error: np.ndarray
    """Poisson error of dn_dlnM, of the same unit."""


def find_haloes(particles: Particles, linking_length: float = LINKING_LENGTH) -> Haloes:
    """Friends-of-friends haloes of FEWEST particles or more.

    Parameters
    ----------
    particles : Particles
    linking_length : float
        In units of the mean distance between particles.
    """
    header, x, u, ids = particles
    L = header.box_size
    length = linking_length * L / len(ids) ** (1 / 3)
    member, label, sizes = _members(friends(x, L, length))
    order = np.argsort(-sizes, kind="stable")
    by_halo = np.argsort(np.argsort(order)[label], kind="stable")
    first = np.zeros(len(sizes), np.int64)
    first[label[::-1]] = member[::-1]
    offset = x[:, member] - x[:, first[label]]
    offset -= np.float32(L) * np.rint(offset / np.float32(L))
    mean = np.array([_mean(part, label, sizes) for part in offset]).reshape(3, -1)
    velocity = np.array([_mean(part[member], label, sizes) for part in u]).reshape(3, -1)
    centre = np.mod(x[:, first] + mean, L).astype(np.float32)
    centre[centre >= L] = 0.0
    velocity = velocity.astype(np.float32)
    return Haloes(
        header.mass * sizes[order],
        centre[:, order],
        velocity[:, order],
        sizes[order],
        ids[member[by_halo]],
        member[by_halo],
    )


def as_particles(header: Header, haloes: Haloes) -> Particles:
    """Haloes as particles, of one mass whatever theirs, for statistics of particles."""
    numbers = np.arange(len(haloes.mass), dtype=np.uint64)
    header = header._replace(particles=len(numbers))
    return Particles(header, haloes.centre, haloes.velocity, numbers)


def friends(x: np.ndarray, box_size: float, length: float) -> np.ndarray:
    """Number (N,) int32 of the group of each particle: those joined by steps below `length`.

    Pairs are looked for in slabs of particles along x, each with what lies just above it, and only
    what they join is kept; memory grows with N, and not with the number of pairs.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in [0, box_size), Mpc/h.
    box_size, length : float
        Mpc/h.
    """
    N = x.shape[1]
    order = np.argsort(x[0], kind="stable")
    sorted_x = x[0, order].astype(np.float64)
    links = [_links(x, order, sorted_x, low, box_size, length) for low in range(0, N, PIECE)]
    a, b = np.concatenate(links, axis=1)
    graph = coo_matrix((np.ones(len(a), bool), (a, b)), (N, N))
    return connected_components(graph, directed=False)[1]


def _links(
    x: np.ndarray, order: np.ndarray, sorted_x: np.ndarray, low: int, L: float, length: float
) -> np.ndarray:
    """Pairs (2, E) of particles, one for each that a slab joins to others, with which it joins."""
    N, high = len(order), min(low + PIECE, len(order))
    reach = sorted_x[high - 1] + length
    above = order[high : np.searchsorted(sorted_x, reach, "right")]
    around = order[: min(low, np.searchsorted(sorted_x, reach - L, "right"))]
    here = np.concatenate([order[low:high], above, around])
    where = x[:, here].T.astype(np.float64)
    where[len(here) - len(around) :, 0] += L
    periods = [L if high - low == N else 0.0, L, L]
    pairs = cKDTree(where, boxsize=periods).query_pairs(length, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs), bool), pairs.T), (len(here), len(here)))
    label = connected_components(graph, directed=False)[1]
    first = np.unique(label, return_index=True)[1][label]
    joined = np.flatnonzero(first != np.arange(len(here)))
    return np.array([here[joined], here[first[joined]]])


def _members(group: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Particles in haloes, the halo of each, and the haloes' numbers of particles."""
    counts = np.bincount(group)
    halo = np.where(counts >= FEWEST, np.cumsum(counts >= FEWEST) - 1, -1)
    member = np.flatnonzero(halo[group] >= 0)
    return member, halo[group[member]], counts[counts >= FEWEST]


def _mean(values: np.ndarray, label: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    return np.bincount(label, values, len(sizes)) / sizes


def mass_function(header: Header, haloes: Haloes) -> MassFunction:
    """Number density of haloes in bins of mass from the lightest possible halo on."""
    least = FEWEST * header.mass * (1 - 1e-6)  # against round-off
    decades = np.log10(haloes.mass.max() / least) if len(haloes.mass) else 0.0
    bins = int(BINS_PER_DECADE * decades) + 1
    edges = least * 10 ** (np.arange(bins + 1) / BINS_PER_DECADE)
    counts, _ = np.histogram(haloes.mass, edges)
    volume = header.box_size**3 * np.log(10) / BINS_PER_DECADE
    middles = np.sqrt(edges[1:] * edges[:-1])
    return MassFunction(middles, counts, counts / volume, np.sqrt(counts) / volume)


def tinker08(cosmology: Cosmology, z: float, mass: np.ndarray) -> np.ndarray:
    """dn/dlnM of Tinker et al. 2008 for 200 times the mean density, from colossus.

    Parameters
    ----------
    cosmology : Cosmology
    z : float
        Redshift.
    mass : array
        Msun/h.

    Returns
    -------
    array
        (h/Mpc)^3.

    Raises
    ------
    ImportError
        colossus is not installed.
    """
    from colossus.lss.mass_function import massFunction

    set_colossus(cosmology)
    return massFunction(mass, z, mdef="200m", model="tinker08", q_out="dndlnM")


def set_colossus(cosmology: Cosmology) -> None:
    """Make this the cosmology of colossus, which is global to it; ImportError without it."""
    from colossus.cosmology import cosmology as colossus

    c = cosmology
    parameters: dict[str, Any] = {"flat": True, "H0": 100 * c.h, "Om0": c.Omega_m, "Ob0": c.Omega_b}
    parameters |= {"sigma8": c.sigma_8, "ns": c.n_s, "relspecies": False}
    if not c.background.is_lambda:
        parameters |= {"de_model": "w0wa", "w0": c.w0, "wa": c.wa}
    colossus.setCosmology("coca", params=parameters, persistence="")


def write_catalogue(
    path: Path,
    header: Header,
    haloes: Haloes,
    with_particles: bool = False,
    more: Columns | None = None,
) -> None:
    """Write haloes as HDF5, with units as attributes of each data set.

    `with_particles` adds /ParticleIDs, halo after halo, and /Offset, where each begins there;
    `more` has further columns, one value a halo.
    """
    columns = {
        "Mass": ("Msun/h", haloes.mass),
        "Centre": ("Mpc/h, comoving", haloes.centre.T),
        "Velocity": ("km/s, peculiar", haloes.velocity.T),
        "Particles": ("count", haloes.particles),
        **(more or {}),
    }
    if with_particles:
        offset = np.cumsum(haloes.particles) - haloes.particles
        columns |= {"Offset": ("count", offset), "ParticleIDs": ("identifier", haloes.ids)}
    attributes = {
        "Finder": "friends of friends",
        "LinkingLength": LINKING_LENGTH,
        "BoxSize": header.box_size,
        "Redshift": header.redshift,
        "Omega_m": header.Omega_m,
    }
    write_columns(path, columns, attributes)
