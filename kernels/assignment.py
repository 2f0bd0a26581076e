"""Assignment of particles to a slab of a periodic mesh and interpolation from it.

Clouds are given by the cells they touch, relative to the first whose weight is looked up:
CIC touches the cell below a particle and the next, TSC the nearest and its two neighbours
(Hockney & Eastwood 1981).

A slab is some of the planes along x of a mesh of m^3 cells, with ghost planes before and after
them for what clouds touch beyond: an array (ghosts + planes + more, m, p) with p >= m, of which
[..., :m] counts. It is described by the tuple (first, planes, ghosts): the number of its first own
plane, how many there are, and the ghost planes before. Particles whose cell, the one
that clouds are counted from, is in none of its planes are left out.

Particles are visited in tiles of the lattice they started from, since those that started
together are still close: a tile's part of the mesh stays in a core's cache. When painting,
every thread owns a slab of the mesh and takes from each tile what falls into it, so that no
two threads write to one address, nothing is buffered, and the sum in a cell has the same order
on any number of threads.
"""

from __future__ import annotations

import math

import numpy as np
from coca.kernels.constants import CIC
from numba import get_num_threads, njit, prange
from numba.extending import overload

_TILE = (16, 16, 128)
_RUN = (1, 1, 1024)
_FAR = np.float32(1e15)


def paint(x, inverse_cell, mesh, slab, cloud=CIC, lattice=None, clear=True):
    """Number density of particles, in particles per cell.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in Mpc/h, anywhere: they are wrapped into the box.
    inverse_cell : float
        Cells per Mpc/h.
    mesh : array (planes with ghosts, m, p) float32
        Overwritten with the result, ghost planes with what they have to hand on.
    slab : tuple of int
        (first, planes, ghosts), see above.
    cloud : {CIC, TSC}
    lattice : tuple of int, optional
        Lagrangian lattice (nx, ny, nz) in whose order the particles stand; a help for speed.
    clear : bool
        Otherwise the result is added to what is in the mesh.

    Raises
    ------
    FloatingPointError
        Some positions are not finite.
    """
    lattice, tile = _tiling(x, lattice)
    extents, bad = _extents(x, inverse_cell, lattice, tile)
    _raise_if(bad)
    parts = min(get_num_threads(), mesh.shape[0])
    if cloud == CIC:
        _paint_cic(x, inverse_cell, lattice, tile, mesh, slab, extents, parts, clear)
    else:
        _paint(x, inverse_cell, lattice, tile, cloud, mesh, slab, extents, parts, clear)


def read(x, inverse_cell, mesh, slab, out, cloud=CIC, lattice=None):
    """Interpolate a mesh at the particles: the adjoint of `paint`.

    Parameters
    ----------
    x, inverse_cell, mesh, slab, cloud, lattice
        As for `paint`; the mesh is kept, and its ghost planes hold their neighbours' values.
    out : array (N,) float32
        Overwritten with the values at the particles of the slab.

    Raises
    ------
    FloatingPointError
        Some positions are not finite.
    """
    _raise_if(_read(x, inverse_cell, *_tiling(x, lattice), cloud, mesh, slab, out))


def _tiling(x, lattice):
    """The lattice and its tiles; without a lattice, runs of particles."""
    if lattice is None:
        return (1, 1, x.shape[1]), _RUN
    if math.prod(lattice) != x.shape[1]:
        raise ValueError(f"found {x.shape[1]} particles on a lattice of {lattice}")
    return lattice, _TILE


def _raise_if(bad: int) -> None:
    if bad:
        raise FloatingPointError("positions are not finite")


def _weights(offset, cloud):
    """Weights of a cloud's cells, of an offset from the lower or the nearest cell."""
    raise NotImplementedError


@overload(_weights, inline="always")
def _typed_weights(offset, cloud):
    if cloud.count == 2:
        return lambda offset, cloud: (np.float32(1) - offset, offset)

    def tsc(offset, cloud):
        half = np.float32(0.5)
        below, above = half - offset, half + offset
        return half * below * below, np.float32(0.75) - offset * offset, half * above * above

    return tsc


def _middle(cloud):
    """Where in its first cell a particle changes over to the next."""
    raise NotImplementedError


@overload(_middle, inline="always")
def _typed_middle(cloud):
    middle = 0.0 if cloud.count == 2 else 0.5
    return lambda cloud: middle


@njit(fastmath={"contract", "nsz"})
def _cell(x, inverse_cell, cloud, m, first=0):
    """Cell in 0..m-1 after the first, and offset from it; NaN where x is not finite."""
    u = np.float64(x) * inverse_cell + _middle(cloud)
    low = np.floor(u)
    i = np.int64(low) - first
    if i < 0 or i >= m:
        i %= m
    return i, np.float32(u - low - _middle(cloud))


@njit
def _finite(x, p):
    """Whether the position of particle p is a number of cells that can be counted."""
    return abs(x[0, p]) + abs(x[1, p]) + abs(x[2, p]) < _FAR


@njit(fastmath={"contract", "nsz"})
def _wrap(i, m):
    """Index of a cell less than m away from the mesh."""
    if i < 0:
        return i + m
    if i >= m:
        return i - m
    return i


@njit(fastmath={"contract", "nsz"})
def _tiles(lattice, tile):
    tx = (lattice[0] + tile[0] - 1) // tile[0]
    ty = (lattice[1] + tile[1] - 1) // tile[1]
    return tx * ty * ((lattice[2] + tile[2] - 1) // tile[2])


@njit(fastmath={"contract", "nsz"})
def _bounds(t, lattice, tile):
    """Corners of tile t of the lattice."""
    ty = (lattice[1] + tile[1] - 1) // tile[1]
    tz = (lattice[2] + tile[2] - 1) // tile[2]
    x0, y0, z0 = t // (ty * tz) * tile[0], t // tz % ty * tile[1], t % tz * tile[2]
    x1, y1, z1 = x0 + tile[0], y0 + tile[1], z0 + tile[2]
    return x0, min(lattice[0], x1), y0, min(lattice[1], y1), z0, min(lattice[2], z1)


@njit(parallel=True, cache=True)
def _extents(x, inverse_cell, lattice, tile):
    """Planes along x that each tile's clouds may touch, unwrapped; and how many are bad."""
    extents = np.empty((_tiles(lattice, tile), 2), np.int64)
    bad = 0
    for t in prange(extents.shape[0]):
        x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, tile)
        low, high = _FAR, -_FAR
        finite = True
        for i in range(x0, x1):
            for j in range(y0, y1):
                row = (i * lattice[1] + j) * lattice[2]
                for p in range(row + z0, row + z1):
                    finite &= _finite(x, p)
                    low, high = min(low, x[0, p]), max(high, x[0, p])
        bad += not finite
        extents[t, 0] = np.int64(np.floor(low * inverse_cell)) - 1
        extents[t, 1] = np.int64(np.floor(high * inverse_cell)) + 2
    return extents, bad


@njit(fastmath={"contract", "nsz"})
def _touches(low, high, a, b, m):
    """Whether planes low to high, wrapped, may be among planes a to b - 1 of -m to 2m - 1."""
    if high - low >= m:
        return True
    first = low % m if low < 0 or low >= m else low
    last = first + high - low
    return (first < b and last >= a) or last >= a + m


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _paint(x, inverse_cell, lattice, tile, cloud, mesh, slab, extents, parts, clear):
    first, planes, ghosts = slab
    length, m, pitch = mesh.shape
    flat = mesh.reshape(-1)
    for s in prange(parts):
        a, b = s * length // parts - ghosts, (s + 1) * length // parts - ghosts
        if clear:
            mesh[a + ghosts : b + ghosts] = np.float32(0)
        for t in range(extents.shape[0]):
            if not _touches(extents[t, 0] - first, extents[t, 1] - first, a, b, m):
                continue
            x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, tile)
            for u in range(x0, x1):
                for v in range(y0, y1):
                    row = (u * lattice[1] + v) * lattice[2]
                    for p in range(row + z0, row + z1):
                        i0, fx = _cell(x[0, p], inverse_cell, cloud, m, first)
                        if i0 >= planes or i0 + cloud[0] >= b or i0 + cloud[-1] < a:
                            continue
                        j0, fy = _cell(x[1, p], inverse_cell, cloud, m)
                        k0, fz = _cell(x[2, p], inverse_cell, cloud, m)
                        wx, wy, wz = _weights(fx, cloud), _weights(fy, cloud), _weights(fz, cloud)
                        whole = k0 + cloud[0] >= 0 and k0 + cloud[-1] < m
                        for c in range(len(cloud)):
                            i = i0 + cloud[c]
                            if i < a or i >= b:
                                continue
                            for d in range(len(cloud)):
                                line = ((i + ghosts) * m + _wrap(j0 + cloud[d], m)) * pitch
                                w = wx[c] * wy[d]
                                if whole:
                                    base = np.uint64(line + k0 + cloud[0])
                                    for e in range(len(cloud)):
                                        flat[base + np.uint64(e)] += w * wz[e]
                                else:
                                    for e in range(len(cloud)):
                                        flat[np.uint64(line + _wrap(k0 + cloud[e], m))] += w * wz[e]


@njit(fastmath={"contract", "nsz"})
def _deposit(flat, line, k0, k1, w, ez, fz):
    """Share a weight between two cells of a line along z."""
    flat[np.uint64(line + k0)] += w * ez
    flat[np.uint64(line + k1)] += w * fz


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _paint_cic(x, inverse_cell, lattice, tile, mesh, slab, extents, parts, clear):
    """`_paint` for CIC, without loops over a cloud."""
    first, planes, ghosts = slab
    length, m, pitch = mesh.shape
    flat = mesh.reshape(-1)
    one = np.float32(1)
    for s in prange(parts):
        a, b = s * length // parts - ghosts, (s + 1) * length // parts - ghosts
        if clear:
            mesh[a + ghosts : b + ghosts] = np.float32(0)
        for t in range(extents.shape[0]):
            if not _touches(extents[t, 0] - first, extents[t, 1] - first, a, b, m):
                continue
            x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, tile)
            for u in range(x0, x1):
                for v in range(y0, y1):
                    row = (u * lattice[1] + v) * lattice[2]
                    for p in range(row + z0, row + z1):
                        i0, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
                        lower, upper = a <= i0 < b, a <= i0 + 1 < b
                        if i0 >= planes or not (lower or upper):
                            continue
                        j0, fy = _cell(x[1, p], inverse_cell, CIC, m)
                        k0, fz = _cell(x[2, p], inverse_cell, CIC, m)
                        j1 = j0 + 1 if j0 + 1 < m else 0
                        k1 = k0 + 1 if k0 + 1 < m else 0
                        ey, ez = one - fy, one - fz
                        j0, j1 = j0 * pitch, j1 * pitch
                        i0 += ghosts
                        if lower:
                            plane, w = i0 * m * pitch, one - fx
                            _deposit(flat, plane + j0, k0, k1, w * ey, ez, fz)
                            _deposit(flat, plane + j1, k0, k1, w * fy, ez, fz)
                        if upper:
                            plane = (i0 + 1) * m * pitch
                            _deposit(flat, plane + j0, k0, k1, fx * ey, ez, fz)
                            _deposit(flat, plane + j1, k0, k1, fx * fy, ez, fz)


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _read(x, inverse_cell, lattice, tile, cloud, mesh, slab, out):
    first, planes, ghosts = slab
    m = mesh.shape[1]
    bad = 0
    for t in prange(_tiles(lattice, tile)):
        x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, tile)
        finite = True
        for u in range(x0, x1):
            for v in range(y0, y1):
                row = (u * lattice[1] + v) * lattice[2]
                for p in range(row + z0, row + z1):
                    finite &= _finite(x, p)
                for p in range(row + z0, row + z1):
                    i0, fx = _cell(x[0, p], inverse_cell, cloud, m, first)
                    if i0 >= planes:
                        continue
                    j0, fy = _cell(x[1, p], inverse_cell, cloud, m)
                    k0, fz = _cell(x[2, p], inverse_cell, cloud, m)
                    wx, wy, wz = _weights(fx, cloud), _weights(fy, cloud), _weights(fz, cloud)
                    total = np.float32(0)
                    for c in range(len(cloud)):
                        i = i0 + ghosts + cloud[c]
                        for d in range(len(cloud)):
                            j = _wrap(j0 + cloud[d], m)
                            line = np.float32(0)
                            for e in range(len(cloud)):
                                line += wz[e] * mesh[i, j, _wrap(k0 + cloud[e], m)]
                            total += wx[c] * wy[d] * line
                    out[p] = total
        bad += not finite
    return bad
