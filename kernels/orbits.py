"""Particles picked from all, their means over what is near, and their way in sub-steps.

Means are taken on a coarse mesh, CIC both ways, in an array (planes + 1, m, m, 1 + c) of the mass
and of c values times mass in each cell: `planes` own planes along x from number `first` on, and a
ghost plane above.
"""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange

from kernels.assignment import _TILE, CIC, _bounds, _cell, _tiles

BLOCK = 512


@njit(cache=True)
def above(delta, least, lattice):
    """Particles (M,) int64 of density contrast above `least`, tile by tile of the lattice that they
    started from, so that those of a halo stand together."""
    out, count = np.empty(delta.size, np.int64), 0
    bound = np.float32(least)
    for t in range(_tiles(lattice, _TILE)):
        x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, _TILE)
        for i in range(x0, x1):
            for j in range(y0, y1):
                row = (i * lattice[1] + j) * lattice[2]
                for p in range(row + z0, row + z1):
                    out[count] = p
                    count += delta[p] > bound
    return out[:count].copy()


@njit(parallel=True, cache=True)
def picked(field, who):
    """The vectors (3, M) float32 of particles `who` of a field (3, N)."""
    out = np.empty((3, who.size), np.float32)
    for i in prange(who.size):
        for c in range(3):
            out[c, i] = field[c, who[i]]
    return out


@njit(parallel=True, cache=True)
def add_at(values, who, out):
    """out[c, who[i]] += values[c, i]; every particle at most once in `who`."""
    for i in prange(who.size):
        for c in range(out.shape[0]):
            out[c, who[i]] += values[c, i]


@njit(parallel=True, cache=True)
def lattice_points(who, lattice, first, cell, out):
    """Add the points q = cell * (first + i, j, l) that particles `who` started from to `out`."""
    _, ny, nz = lattice
    for i in prange(who.size):
        p = who[i]
        out[0, i] += np.float32(cell * (first + p // (ny * nz)))
        out[1, i] += np.float32(cell * (p // nz % ny))
        out[2, i] += np.float32(cell * (p % nz))


@njit(parallel=True, cache=True, fastmath=True)
def drift(x, v, time, flow, lag, out):
    """x += time v in place, and where that is in a mesh left behind: out = x - lag flow."""
    t, back = np.float32(time), np.float32(lag)
    for i in prange(x.shape[1]):
        for c in range(3):
            x[c, i] += t * v[c, i]
            out[c, i] = x[c, i] - back * flow[c, i]


def deposit(x, inverse_cell, rows, mesh, first):
    """Add particles of this slab to the coarse mesh; the others are left out.

    Parameters
    ----------
    x : array (3, M) float32
        Positions in Mpc/h.
    inverse_cell : float
        Coarse cells per Mpc/h.
    rows : array (M, 1 + c) float32
        Mass, and values times mass.
    mesh : array (planes + 1, m, m, 1 + c) float32
    first : int
        Number of its first plane.
    """
    _deposit(x, inverse_cell, rows, mesh, first, min(get_num_threads(), len(mesh)))


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _deposit(x, inverse_cell, rows, mesh, first, parts):
    """Each thread owns some planes: the order of the sums does not depend on their number."""
    length, m, width = mesh.shape[0], mesh.shape[1], np.uint64(mesh.shape[3])
    flat, source, one = mesh.reshape(-1), rows.reshape(-1), np.float32(1)
    for s in prange(parts):
        a, b = s * length // parts, (s + 1) * length // parts
        for p in range(x.shape[1]):
            i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
            if i + 1 >= length or i + 1 < a or i >= b:
                continue
            j, fy = _cell(x[1, p], inverse_cell, CIC, m)
            k, fz = _cell(x[2, p], inverse_cell, CIC, m)
            j1, k1 = (j + 1) % m, (k + 1) % m
            row = np.uint64(p) * width
            for d in range(8):
                plane = i + (d >> 2)
                if plane < a or plane >= b:
                    continue
                w = (fx if d & 4 else one - fx) * (fy if d & 2 else one - fy)
                w *= fz if d & 1 else one - fz
                line = (plane * m + (j1 if d & 2 else j)) * m + (k1 if d & 1 else k)
                cell = np.uint64(line) * width
                for c in range(width):
                    flat[cell + c] += w * source[row + c]


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def average(x, inverse_cell, mesh, first, out):
    """Mean values (c, M) by mass at the particles of this slab; arguments as for `deposit`."""
    length, m, width = mesh.shape[0], mesh.shape[1], np.uint64(mesh.shape[3])
    flat, one = mesh.reshape(-1), np.float32(1)
    blocks = (x.shape[1] + BLOCK - 1) // BLOCK
    for block in prange(blocks):
        sums = np.empty(width, np.float32)
        for p in range(block * BLOCK, min(x.shape[1], (block + 1) * BLOCK)):
            i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
            if i + 1 >= length:
                continue
            j, fy = _cell(x[1, p], inverse_cell, CIC, m)
            k, fz = _cell(x[2, p], inverse_cell, CIC, m)
            j1, k1 = (j + 1) % m, (k + 1) % m
            sums[:] = np.float32(0)
            for d in range(8):
                w = (fx if d & 4 else one - fx) * (fy if d & 2 else one - fy)
                w *= fz if d & 1 else one - fz
                line = ((i + (d >> 2)) * m + (j1 if d & 2 else j)) * m + (k1 if d & 1 else k)
                cell = np.uint64(line) * width
                for c in range(width):
                    sums[c] += w * flat[cell + c]
            inverse = one / sums[0] if sums[0] > 0 else np.float32(0)
            for c in range(out.shape[0]):
                out[c, p] = inverse * sums[c + 1]
