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
from numba import get_num_threads, njit, prange
from numba.extending import overload

from kernels.lanes import each, eight, four_sums, numbers, prefetch

CIC, TSC = (0, 1), (-1, 0, 1)
"""The cells of a cloud."""

CENTRAL_DIFFERENCES = {
    4: (np.float32(2 / 3), np.float32(-1 / 12)),
    6: (np.float32(3 / 4), np.float32(-3 / 20), np.float32(1 / 60)),
}
"""Weights of f(+1)-f(-1), f(+2)-f(-2), ... in the derivative of each order."""

_TILE = (16, 16, 128)
_RUN = (1, 1, 1024)
AHEAD = 8
"""How many particles ahead `_read_cic_gradient` asks for their cells where they are in no order."""
_FAR = np.float32(1e15)
_NOTHING = np.empty(0, np.float32)


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


def read_gradient(
    x, inverse_cell, mesh, slab, out, order=4, cloud=CIC, lattice=None, laplacian=_NOTHING
):
    """Interpolate the gradient of a mesh at the particles, by central differences.

    The same as differencing the mesh and reading three components, without their memory;
    and, if asked for, the Laplacian by second differences over next neighbours.

    Parameters
    ----------
    x, inverse_cell, mesh, slab, cloud, lattice
        As for `read`, with order / 2 more ghost planes on either side.
    out : array (3, N) float32
        Overwritten with the gradient per Mpc/h; may be `x` itself.
    order : {4, 6}
        Order of the central differences, which needs a mesh of more than `order` cells.
    laplacian : array (N,) float32, optional
        Overwritten with the Laplacian per (Mpc/h)^2.

    Raises
    ------
    FloatingPointError
        Some positions are not finite.
    """
    weights = CENTRAL_DIFFERENCES[order]
    where = (x, inverse_cell, *_tiling(x, lattice))
    if (order, cloud) == (4, CIC):
        bad = _read_cic_gradient(*where, weights, mesh, slab, out, laplacian)
    else:
        bad = _read_gradient(*where, cloud, weights, mesh, slab, out, laplacian)
    _raise_if(bad)


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


@njit(fastmath={"contract", "nsz"})
def _gradient(phi, i0, j0, k0, wx, wy, wz, cloud, weights):
    """Gradient and Laplacian per cell, indices along y and z wrapped."""
    m, six = phi.shape[1], np.float32(6)
    gx = gy = gz = laplacian = np.float32(0)
    for c in range(len(cloud)):
        i = i0 + cloud[c]
        for d in range(len(cloud)):
            j = _wrap(j0 + cloud[d], m)
            for e in range(len(cloud)):
                k = _wrap(k0 + cloud[e], m)
                w = wx[c] * wy[d] * wz[e]
                neighbours = phi[i + 1, j, k] + phi[i - 1, j, k]
                neighbours += phi[i, _wrap(j + 1, m), k] + phi[i, _wrap(j - 1, m), k]
                neighbours += phi[i, j, _wrap(k + 1, m)] + phi[i, j, _wrap(k - 1, m)]
                laplacian += w * (neighbours - six * phi[i, j, k])
                for h in range(len(weights)):
                    f = w * weights[h]
                    gx += f * (phi[i + h + 1, j, k] - phi[i - h - 1, j, k])
                    gy += f * (phi[i, _wrap(j + h + 1, m), k] - phi[i, _wrap(j - h - 1, m), k])
                    gz += f * (phi[i, j, _wrap(k + h + 1, m)] - phi[i, j, _wrap(k - h - 1, m)])
    return gx, gy, gz, laplacian


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _read_gradient(x, inverse_cell, lattice, tile, cloud, weights, phi, slab, out, laplacian):
    first, planes, ghosts = slab
    m, scale = phi.shape[1], np.float32(inverse_cell)
    wanted = laplacian.size > 0
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
                    i0 += ghosts
                    j0, fy = _cell(x[1, p], inverse_cell, cloud, m)
                    k0, fz = _cell(x[2, p], inverse_cell, cloud, m)
                    wx, wy, wz = _weights(fx, cloud), _weights(fy, cloud), _weights(fz, cloud)
                    gx, gy, gz, l = _gradient(phi, i0, j0, k0, wx, wy, wz, cloud, weights)
                    out[0, p], out[1, p], out[2, p] = scale * gx, scale * gy, scale * gz
                    if wanted:
                        laplacian[p] = scale * scale * l
        bad += not finite
    return bad


@njit(fastmath={"contract", "nsz"})
def _pair(flat, o, there, e, f):
    """Rows between those at o and there."""
    return eight(flat, o) * e + eight(flat, there) * f


@njit(fastmath={"contract", "nsz"})
def _slope(below2, below, here, there, above, above2, e, f, weights):
    """Derivative, interpolated between here and there, from all that it takes."""
    near = (there - below) * e + (above - here) * f
    far = (above - below2) * e + (above2 - below) * f
    return near * weights[0] + far * weights[1]


@njit(fastmath={"contract", "nsz"})
def _bend(below, here, there, above, e, f):
    """Second difference, interpolated between here and there."""
    return (below - here + there - here) * e + (here - there + above - there) * f


@njit(fastmath={"contract", "nsz"})
def _cic_gradient(flat, i, j, k, m, pitch, fx, fy, fz, weights, wanted):
    """`_gradient` of CIC and order 4, from rows of eight cells along z that begin two before the
    particle's, none of which may reach beyond the mesh; the Laplacian only if wanted."""
    one, zero, minus_two = np.float32(1), np.float32(0), np.float32(-2)
    near, far = weights
    ex, ey, ez = one - fx, one - fy, one - fz
    o, sx = np.uint64(i * m * pitch + k - 2), np.uint64(m * pitch)
    here, there = o + np.uint64(j * pitch), o + np.uint64(_wrap(j + 1, m) * pitch)
    a, b = o + np.uint64(_wrap(j - 2, m) * pitch), o + np.uint64(_wrap(j - 1, m) * pitch)
    c, d = o + np.uint64(_wrap(j + 2, m) * pitch), o + np.uint64(_wrap(j + 3, m) * pitch)
    corner, along_y = eight(flat, here), eight(flat, there)
    along_x, across = eight(flat, here + sx), eight(flat, there + sx)
    x0, x1 = corner * ey + along_y * fy, along_x * ey + across * fy
    y0, y1 = corner * ex + along_x * fx, along_y * ex + across * fx
    centre = x0 * ex + x1 * fx
    ya, yb = _pair(flat, a, a + sx, ex, fx), _pair(flat, b, b + sx, ex, fx)
    yc, yd = _pair(flat, c, c + sx, ex, fx), _pair(flat, d, d + sx, ex, fx)
    xa = _pair(flat, here - sx - sx, there - sx - sx, ey, fy)
    xb = _pair(flat, here - sx, there - sx, ey, fy)
    here, there = here + sx + sx, there + sx + sx
    xc, xd = _pair(flat, here, there, ey, fy), _pair(flat, here + sx, there + sx, ey, fy)
    low = numbers((zero, zero, one, zero, zero, zero, zero, zero))
    high = numbers((zero, zero, zero, one, zero, zero, zero, zero))
    between = low * ez + high * fz
    low = numbers((-far, -near, zero, near, far, zero, zero, zero))
    high = numbers((zero, -far, -near, zero, near, far, zero, zero))
    gz = centre * (low * ez + high * fz)
    gx = _slope(xa, xb, x0, x1, xc, xd, ex, fx, weights) * between
    gy = _slope(ya, yb, y0, y1, yc, yd, ey, fy, weights) * between
    if not wanted:
        return each(four_sums(gx, gy, gz, gz))
    low = numbers((zero, one, minus_two, one, zero, zero, zero, zero))
    high = numbers((zero, zero, one, minus_two, one, zero, zero, zero))
    bends = _bend(xb, x0, x1, xc, ex, fx) + _bend(yb, y0, y1, yc, ey, fy)
    laplacian = bends * between + centre * (low * ez + high * fz)
    return each(four_sums(gx, gy, gz, laplacian))


@njit(fastmath={"contract", "nsz"})
def _ask_for(flat, x, p, inverse_cell, m, pitch, slab):
    """Let the cells that `_cic_gradient` takes for particle p come into the cache."""
    first, planes, ghosts = slab
    i = _cell(x[0, p], inverse_cell, CIC, m, first)[0]
    j, k = _cell(x[1, p], inverse_cell, CIC, m)[0], _cell(x[2, p], inverse_cell, CIC, m)[0]
    if i < planes and 2 <= j < m - 3:
        o = ((i + ghosts) * m + j) * pitch + k
        for a in range(-2, 4):
            for b in range(2):
                prefetch(flat, np.uint64(o + (a * m + b) * pitch))
        for a in range(2):
            for b in (-2, -1, 2, 3):
                prefetch(flat, np.uint64(o + (a * m + b) * pitch))


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _read_cic_gradient(x, inverse_cell, lattice, tile, weights, phi, slab, out, laplacian):
    """`_read_gradient` for CIC and order 4, which loads its 20 rows of cells once each."""
    first, planes, ghosts = slab
    m, pitch = phi.shape[1], phi.shape[2]
    flat = phi.reshape(-1)
    one, scale = np.float32(1), np.float32(inverse_cell)
    wanted, ordered, last = laplacian.size > 0, lattice[0] > 1, x.shape[1] - 1
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
                    if not ordered:
                        _ask_for(flat, x, min(p + AHEAD, last), inverse_cell, m, pitch, slab)
                    i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
                    if i >= planes:
                        continue
                    i += ghosts
                    j, fy = _cell(x[1, p], inverse_cell, CIC, m)
                    k, fz = _cell(x[2, p], inverse_cell, CIC, m)
                    if k < 2 or k >= m - 5:
                        wx, wy, wz = (one - fx, fx), (one - fy, fy), (one - fz, fz)
                        gx, gy, gz, l = _gradient(phi, i, j, k, wx, wy, wz, CIC, weights)
                    else:
                        gx, gy, gz, l = _cic_gradient(
                            flat, i, j, k, m, pitch, fx, fy, fz, weights, wanted
                        )
                    out[0, p], out[1, p], out[2, p] = scale * gx, scale * gy, scale * gz
                    if wanted:
                        laplacian[p] = scale * scale * l
        bad += not finite
    return bad
