"""Which particles lie in whose slab of the mesh, and carrying their values there and back."""

from __future__ import annotations

import numpy as np
from coca.kernels.assignment import _cell, _finite
from coca.kernels.constants import CIC
from numba import get_num_threads, njit, prange


def destinations(x, inverse_cell, m, planes, cloud=CIC):
    """The owner of each particle's cell, counted.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in Mpc/h, anywhere.
    inverse_cell : float
        Cells per Mpc/h.
    m : int
        Cells of the mesh per dimension.
    planes : int
        Planes along x of every owner, which divides m.
    cloud : {CIC, TSC}

    Returns
    -------
    counts : array (chunks, m // planes) int64
        Particles of each chunk of the array in each owner's slab.
    bad : int
        Positions that are not finite, which are counted nowhere.
    """
    return _destinations(x, inverse_cell, m, planes, cloud, get_num_threads())


@njit(parallel=True, cache=True)
def _destinations(x, inverse_cell, m, planes, cloud, chunks):
    counts = np.zeros((chunks, m // planes), np.int64)
    n, bad = x.shape[1], 0
    for chunk in prange(chunks):
        for p in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            if _finite(x, p):
                i, _ = _cell(x[0, p], inverse_cell, cloud, m)
                counts[chunk, i // planes] += 1
            else:
                bad += 1
    return counts, bad


@njit(parallel=True, cache=True)
def depart(x, inverse_cell, m, planes, cloud, rank, starts, rows, indices):
    """Write the positions of the particles outside a rank's slab by owner.

    Parameters
    ----------
    x, inverse_cell, m, planes, cloud
        As for `destinations`.
    rank : int
        Whose particles stay.
    starts : array (chunks, owners) int64
        Where each chunk's particles for each owner begin; overwritten.
    rows : array (M, 3) float32
        Overwritten with positions.
    indices : array (M,) int64
        Overwritten with the number of each in `x`.
    """
    n, chunks = x.shape[1], starts.shape[0]
    for chunk in prange(chunks):
        for p in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            i, _ = _cell(x[0, p], inverse_cell, cloud, m)
            owner = i // planes
            if owner != rank:
                row = starts[chunk, owner]
                starts[chunk, owner] += 1
                indices[row] = p
                for c in range(3):
                    rows[row, c] = x[c, p]


@njit(parallel=True, cache=True)
def return_values(rows, indices, column, out):
    """Write a column of rows (M, c) to the particles that they belong to, out[indices]."""
    for row in prange(indices.size):
        out[indices[row]] = rows[row, column]
