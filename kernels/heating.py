"""Dense particles, picked from all, and their velocities relative to what is near."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def pick(rows, indices, e, w, delta, lattice, first, cell, edges, x, sums):
    """Positions of particles, and their shares and these times velocity.

    Parameters
    ----------
    rows : array (M, 6) float32
        The frame's displacement and velocity; the velocity becomes the particle's.
    indices : array (M,) int64
    e, w : array (3, N) float32
        Residual displacement and velocity.
    delta : array (N,) float32
    lattice, first, cell
        As for `kernels.particles.positions`.
    edges : array float32
        1 + delta; shares rise from none to one between the first two, in the logarithm.
    x : array (3, M) float32
    sums : array (M, 4) float32
    """
    _, ny, nz = lattice
    low, slope = np.log(edges[0]), np.float32(1) / np.log(edges[1] / edges[0])
    for i in prange(indices.size):
        p = indices[i]
        rise = slope * (np.log(np.float32(1) + delta[p]) - low)
        share = min(max(rise, np.float32(0)), np.float32(1))
        sums[i, 0] = share
        for c in range(3):
            number = first + p // (ny * nz) if c == 0 else p // nz % ny if c == 1 else p % nz
            x[c, i] = np.float32(cell * number) + rows[i, c] + e[c, p]
            rows[i, 3 + c] += w[c, p]
            sums[i, 1 + c] = share * rows[i, 3 + c]


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def warm(rows, near, indices, delta, edges, h, w):
    """Add h times the velocity relative to the mean of what is near.

    Parameters
    ----------
    rows : array (M, 6) float32
        From `pick`.
    near : array (3, M) float32
        Mean velocities.
    indices : array (M,) int64
    delta : array (N,) float32
    edges : array (F,) float32
        1 + delta at which h is known.
    h : array (F,) float32
        Linear in the logarithm in between.
    w : array (3, N) float32
    """
    logs, last = np.log(edges), edges.size - 1
    for i in prange(indices.size):
        p = indices[i]
        value = np.log(np.float32(1) + delta[p])
        j = 0
        while j < last - 1 and value > logs[j + 1]:
            j += 1
        t = (value - logs[j]) / (logs[j + 1] - logs[j])
        t = min(max(t, np.float32(0)), np.float32(1))
        factor = h[j] + t * (h[j + 1] - h[j])
        for c in range(3):
            w[c, p] += factor * (rows[i, 3 + c] - near[c, i])
