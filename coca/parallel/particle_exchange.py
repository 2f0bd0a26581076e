"""Particles in the slabs of other ranks: their positions go there, what is read comes back."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from coca import kernels
from coca.parallel.ranks import Ranks

OUT, BACK = "positions", "accelerations"
"""What is sent."""


class ParticleExchange:
    """Particles of this rank that are elsewhere, and received from elsewhere.

    Parameters
    ----------
    ranks : Ranks
    rows : array (M, 3) float32
        Positions of those that leave, by destination.
    counts : array (ranks,) int64
        How many go where.
    indices : array (M,) int64
        Which of this rank's particles they are.
    """

    def __init__(self, ranks: Ranks, rows: np.ndarray, counts: np.ndarray, indices: np.ndarray):
        self._ranks, self._counts, self._indices = ranks, counts, indices
        self._arrivals = ranks.exchange(rows, counts, None, OUT)

    @cached_property
    def received(self) -> np.ndarray:
        """Positions (3, G) float32 of the received; waits for them."""
        return np.ascontiguousarray(self._arrivals.wait().T)

    def staying(self, own: int) -> np.ndarray:
        """Which of this rank's particles, of which there are `own`, are in its slab."""
        stay = np.ones(own, bool)
        stay[self._indices] = False
        return np.flatnonzero(stay)

    def bring(self, rows: np.ndarray) -> np.ndarray:
        """Values (G, c) of the received, of which every rank has its own particles', (N, c)."""
        leaving = rows[self._indices]
        return self._ranks.exchange(leaving, self._counts, self._arrivals.counts, OUT).wait()

    def send_back(self, *values: np.ndarray) -> None:
        """Begin to return values (G,) of the received."""
        rows = np.ascontiguousarray(np.stack(values, axis=1))
        self._returns = self._ranks.exchange(rows, self._arrivals.counts, self._counts, BACK)

    def return_values(self, *out: np.ndarray) -> None:
        """Write what was sent back from elsewhere to this rank's particles, each value to its
        array (N,)."""
        rows = self._returns.wait()
        for column, array in enumerate(out):
            kernels.particle_exchange.return_values(rows, self._indices, column, array)


def exchange_particles(
    ranks: Ranks, x: np.ndarray, inverse_cell: float, cells: int, cloud: tuple[int, ...]
) -> ParticleExchange:
    """Send the particles in other ranks' slabs there.

    Parameters
    ----------
    ranks : Ranks
    x : array (3, N) float32
        Positions in Mpc/h.
    inverse_cell : float
        Cells per Mpc/h.
    cells : int
        Of the mesh per dimension.
    cloud : tuple of int
        Of the assignment: says which cell is a particle's.

    Raises
    ------
    FloatingPointError
        Some positions are not finite, on whatever rank.
    """
    if ranks.size == 1:
        none = np.empty(0, np.int64)
        return ParticleExchange(ranks, np.empty((0, 3), np.float32), np.zeros(1, np.int64), none)
    where = (inverse_cell, cells, cells // ranks.size, cloud)
    by_chunk, bad = kernels.particle_exchange.destinations(x, *where)
    if ranks.sum(int(bad)):
        raise FloatingPointError("positions are not finite")
    by_chunk[:, ranks.rank] = 0
    counts = by_chunk.sum(axis=0)
    starts = np.cumsum(counts) - counts + np.cumsum(by_chunk, axis=0) - by_chunk
    rows = np.empty((int(counts.sum()), 3), np.float32)
    indices = np.empty(len(rows), np.int64)
    kernels.particle_exchange.depart(x, *where, ranks.rank, starts, rows, indices)
    return ParticleExchange(ranks, rows, counts, indices)
