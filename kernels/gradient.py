"""The gradient of a slab of a mesh at particles, by central differences of the cells around each.

Slabs, clouds and tiles are those of `kernels.assignment`.
"""

from __future__ import annotations

import numpy as np
from coca.kernels.assignment import (
    _bounds,
    _cell,
    _finite,
    _raise_if,
    _tiles,
    _tiling,
    _weights,
    _wrap,
)
from coca.kernels.constants import CIC, TSC
from coca.kernels.lanes import each, eight, four_sums, numbers
from numba import njit, prange

CENTRAL_DIFFERENCES = (np.float32(2 / 3), np.float32(-1 / 12))
"""Weights of f(+1)-f(-1) and f(+2)-f(-2) in the derivative, of order 4."""
_NOTHING = np.empty(0, np.float32)


def read_gradient(x, inverse_cell, mesh, slab, out, cloud=CIC, lattice=None, laplacian=_NOTHING):
    """Interpolate the gradient of a mesh at the particles, by central differences of order 4.

    The mesh has five cells across or more. This is the same as differencing the mesh and reading
    three components, without their memory; and, if asked for, the Laplacian by second differences
    over next neighbours.

    Parameters
    ----------
    x, inverse_cell, mesh, slab, cloud, lattice
        As for `read`, with two more ghost planes on either side.
    out : array (3, N) float32
        Overwritten with the gradient per Mpc/h; may be `x` itself.
    laplacian : array (N,) float32, optional
        Overwritten with the Laplacian per (Mpc/h)^2.

    Raises
    ------
    FloatingPointError
        Some positions are not finite.
    """
    kernel = _read_cic_gradient if cloud == CIC else _read_tsc_gradient
    where = (x, inverse_cell, *_tiling(x, lattice))
    _raise_if(kernel(*where, CENTRAL_DIFFERENCES, mesh, slab, out, laplacian))


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


@njit(fastmath={"contract", "nsz"})
def _pair(flat, a, b, e, f, ez, fz):
    """Between a cell and the next along z, at a and at b."""
    one = np.uint64(1)
    return e * (ez * flat[a] + fz * flat[a + one]) + f * (ez * flat[b] + fz * flat[b + one])


@njit(fastmath={"contract", "nsz"})
def _four(flat, a, b, sx, ex, fx, ey, fy):
    """Between cells at a and b and those of the next plane."""
    return ex * (ey * flat[a] + fy * flat[b]) + fx * (ey * flat[a + sx] + fy * flat[b + sx])


@njit(fastmath={"contract", "nsz"})
def _slope(below2, below, here, there, above, above2, e, f, weights):
    """Derivative, interpolated between here and there, from all that it takes."""
    near = e * (there - below) + f * (above - here)
    far = e * (above - below2) + f * (above2 - below)
    return weights[0] * near + weights[1] * far


@njit(fastmath={"contract", "nsz"})
def _bend(below, here, there, above, e, f):
    """Second difference, interpolated between here and there."""
    two = np.float32(2)
    return e * (below - two * here + there) + f * (here - two * there + above)


@njit(fastmath={"contract", "nsz"})
def _cic_gradient(flat, i, j, k, m, pitch, fx, fy, fz, weights, wanted):
    """`_gradient` of CIC, cell by cell; along z none of the two before the particle's and three
    after it may be beyond the mesh. The Laplacian only if wanted."""
    one = np.float32(1)
    ex, ey, ez = one - fx, one - fy, one - fz
    o, sx, next_ = np.uint64(i * m * pitch + k), np.uint64(m * pitch), np.uint64(1)
    here, there = o + np.uint64(j * pitch), o + np.uint64(_wrap(j + 1, m) * pitch)
    a, b = o + np.uint64(_wrap(j - 2, m) * pitch), o + np.uint64(_wrap(j - 1, m) * pitch)
    c, d = o + np.uint64(_wrap(j + 2, m) * pitch), o + np.uint64(_wrap(j + 3, m) * pitch)
    ya, yb = _pair(flat, a, a + sx, ex, fx, ez, fz), _pair(flat, b, b + sx, ex, fx, ez, fz)
    y0 = _pair(flat, here, here + sx, ex, fx, ez, fz)
    y1 = _pair(flat, there, there + sx, ex, fx, ez, fz)
    yc, yd = _pair(flat, c, c + sx, ex, fx, ez, fz), _pair(flat, d, d + sx, ex, fx, ez, fz)
    a, b = here - sx - sx, there - sx - sx
    xa, xb = _pair(flat, a, b, ey, fy, ez, fz), _pair(flat, a + sx, b + sx, ey, fy, ez, fz)
    x0 = _pair(flat, here, there, ey, fy, ez, fz)
    c, d = here + sx, there + sx
    x1, xc = _pair(flat, c, d, ey, fy, ez, fz), _pair(flat, c + sx, d + sx, ey, fy, ez, fz)
    xd = _pair(flat, c + sx + sx, d + sx + sx, ey, fy, ez, fz)
    a, b = here - next_, there - next_
    za = _four(flat, a - next_, b - next_, sx, ex, fx, ey, fy)
    zb, z0 = _four(flat, a, b, sx, ex, fx, ey, fy), _four(flat, here, there, sx, ex, fx, ey, fy)
    c, d = here + next_, there + next_
    z1 = _four(flat, c, d, sx, ex, fx, ey, fy)
    zc = _four(flat, c + next_, d + next_, sx, ex, fx, ey, fy)
    zd = _four(flat, c + next_ + next_, d + next_ + next_, sx, ex, fx, ey, fy)
    gx = _slope(xa, xb, x0, x1, xc, xd, ex, fx, weights)
    gy = _slope(ya, yb, y0, y1, yc, yd, ey, fy, weights)
    gz = _slope(za, zb, z0, z1, zc, zd, ez, fz, weights)
    if not wanted:
        return gx, gy, gz, gz
    laplacian = _bend(xb, x0, x1, xc, ex, fx) + _bend(yb, y0, y1, yc, ey, fy)
    return gx, gy, gz, laplacian + _bend(zb, z0, z1, zc, ez, fz)


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _read_cic_gradient(x, inverse_cell, lattice, tile, weights, phi, slab, out, laplacian):
    """The gradient by CIC."""
    first, planes, ghosts = slab
    m, pitch = phi.shape[1], phi.shape[2]
    flat = phi.reshape(-1)
    one, scale = np.float32(1), np.float32(inverse_cell)
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
                    i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
                    if i >= planes:
                        continue
                    i += ghosts
                    j, fy = _cell(x[1, p], inverse_cell, CIC, m)
                    k, fz = _cell(x[2, p], inverse_cell, CIC, m)
                    if k < 2 or k >= m - 3:
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


@njit(fastmath={"contract", "nsz"})
def _derivatives(w, near, far):
    """Weights in the derivative of order 4 of seven cells, from those of the three in the
    middle."""
    a, b, c = w
    return (
        -far * a,
        -near * a - far * b,
        -near * b - far * c,
        near * a - near * c,
        far * a + near * b,
        far * b + near * c,
        far * c,
    )


@njit(fastmath={"contract", "nsz"})
def _three(flat, a, b, c, w):
    """Rows at a, b and c, weighted."""
    return eight(flat, a) * w[0] + eight(flat, b) * w[1] + eight(flat, c) * w[2]


@njit(fastmath={"contract", "nsz"})
def _tsc_gradient(flat, i, j, k, m, pitch, wx, wy, wz, weights, wanted):
    """`_gradient` of TSC, from rows of eight cells along z that begin three before the
    particle's, none of which may reach beyond the mesh; the Laplacian only if wanted."""
    zero, two = np.float32(0), np.float32(2)
    dx, dy = _derivatives(wx, weights[0], weights[1]), _derivatives(wy, weights[0], weights[1])
    a, b, c, d, e, f, g = _derivatives(wz, weights[0], weights[1])
    across_z = numbers((a, b, c, d, e, f, g, zero))
    along_z = numbers((zero, zero, wz[0], wz[1], wz[2], zero, zero, zero))
    sx, o = np.uint64(m * pitch), np.uint64((i - 3) * m * pitch + k - 3)
    ya = np.uint64(_wrap(j - 1, m) * pitch)
    yb, yc = np.uint64(j * pitch), np.uint64(_wrap(j + 1, m) * pitch)
    x0 = _three(flat, o + ya, o + yb, o + yc, wy)
    gx = x0 * dx[0]
    o += sx
    x1 = _three(flat, o + ya, o + yb, o + yc, wy)
    gx += x1 * dx[1]
    o += sx
    below = o
    x2 = _three(flat, o + ya, o + yb, o + yc, wy)
    gx += x2 * dx[2]
    o += sx
    x3 = _three(flat, o + ya, o + yb, o + yc, wy)
    gx += x3 * dx[3]
    o += sx
    x4 = _three(flat, o + ya, o + yb, o + yc, wy)
    gx += x4 * dx[4]
    o += sx
    x5 = _three(flat, o + ya, o + yb, o + yc, wy)
    gx += x5 * dx[5]
    o += sx
    gx += _three(flat, o + ya, o + yb, o + yc, wy) * dx[6]
    here = below + sx
    above = here + sx
    y1, y5 = np.uint64(_wrap(j - 2, m) * pitch), np.uint64(_wrap(j + 2, m) * pitch)
    y0, y6 = np.uint64(_wrap(j - 3, m) * pitch), np.uint64(_wrap(j + 3, m) * pitch)
    s1 = _three(flat, below + y1, here + y1, above + y1, wx)
    s2 = _three(flat, below + ya, here + ya, above + ya, wx)
    s3 = _three(flat, below + yb, here + yb, above + yb, wx)
    s4 = _three(flat, below + yc, here + yc, above + yc, wx)
    s5 = _three(flat, below + y5, here + y5, above + y5, wx)
    gy = s1 * dy[1] + s2 * dy[2] + s3 * dy[3] + s4 * dy[4] + s5 * dy[5]
    gy += _three(flat, below + y0, here + y0, above + y0, wx) * dy[0]
    gy += _three(flat, below + y6, here + y6, above + y6, wx) * dy[6]
    centre = s2 * wy[0] + s3 * wy[1] + s4 * wy[2]
    gx, gy, gz = gx * along_z, gy * along_z, centre * across_z
    if not wanted:
        return each(four_sums(gx, gy, gz, gz))
    bends = (x1 - x2 * two + x3) * wx[0] + (x2 - x3 * two + x4) * wx[1]
    bends += (x3 - x4 * two + x5) * wx[2] + (s1 - s2 * two + s3) * wy[0]
    bends += (s2 - s3 * two + s4) * wy[1] + (s3 - s4 * two + s5) * wy[2]
    a, b, c = wz[0], wz[1], wz[2]
    bend_z = numbers((zero, a, b - two * a, a - two * b + c, b - two * c, c, zero, zero))
    return each(four_sums(gx, gy, gz, bends * along_z + centre * bend_z))


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _read_tsc_gradient(x, inverse_cell, lattice, tile, weights, phi, slab, out, laplacian):
    """The gradient by TSC, which loads its rows of cells eight at a time."""
    first, planes, ghosts = slab
    m, pitch = phi.shape[1], phi.shape[2]
    flat = phi.reshape(-1)
    scale = np.float32(inverse_cell)
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
                    i, fx = _cell(x[0, p], inverse_cell, TSC, m, first)
                    if i >= planes:
                        continue
                    i += ghosts
                    j, fy = _cell(x[1, p], inverse_cell, TSC, m)
                    k, fz = _cell(x[2, p], inverse_cell, TSC, m)
                    wx, wy, wz = _weights(fx, TSC), _weights(fy, TSC), _weights(fz, TSC)
                    if k < 3 or k >= m - 4:
                        gx, gy, gz, l = _gradient(phi, i, j, k, wx, wy, wz, TSC, weights)
                    else:
                        gx, gy, gz, l = _tsc_gradient(
                            flat, i, j, k, m, pitch, wx, wy, wz, weights, wanted
                        )
                    out[0, p], out[1, p], out[2, p] = scale * gx, scale * gy, scale * gz
                    if wanted:
                        laplacian[p] = scale * scale * l
        bad += not finite
    return bad
