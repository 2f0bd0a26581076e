"""Plain twins of what the kernels do with `coca.kernels.lanes`: one number at a time.

`rebuilt` compiles a kernel anew with twins in the place of functions that it calls, so that all
else is the same.
"""

from __future__ import annotations

import types
from collections.abc import Callable

import numpy as np
from coca.kernels.assignment import _cell, _wrap
from coca.kernels.constants import CIC, FEATURES, TARGETS
from coca.kernels.gradient import _derivatives
from coca.kernels.short_range import LISTED
from coca.kernels.substeps import BLOCK
from numba import njit, prange

FAST = {"fastmath": True, "error_model": "numpy"}


def rebuilt(kernel: Callable, **twins: Callable) -> Callable:
    """A kernel compiled anew with `twins` in the place of the functions of these names that it
    calls, itself or through others of its module."""
    return _rebuilt(kernel, dict(twins))


def _rebuilt(kernel: Callable, known: dict[str, Callable]) -> Callable:
    function = kernel.py_func
    scope, changed = dict(function.__globals__), False
    for name in function.__code__.co_names:
        called = scope.get(name)
        ours = getattr(called, "__module__", None) == function.__module__
        if ours and name not in known and hasattr(called, "py_func"):
            known[name] = called  # ends a recursion
            known[name] = _rebuilt(called, known)
        if known.get(name, called) is not called:
            scope[name], changed = known[name], True
    if not changed:
        return kernel
    copy = types.FunctionType(function.__code__, scope, function.__name__)
    options = dict(kernel.targetoptions)
    options.pop("nopython", None)
    return njit(**options)(copy)


@njit(**FAST)
def _pair(flat, o, e, f):
    """Between a cell and the next along z."""
    return e * flat[o] + f * flat[o + np.uint64(1)]


@njit(**FAST)
def _slope_along_z(flat, o, e, f, weights):
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    near = e * (flat[o + one] - flat[o - one]) + f * (flat[o + two] - flat[o])
    far = e * (flat[o + two] - flat[o - two]) + f * (flat[o + three] - flat[o - one])
    return weights[0] * near + weights[1] * far


@njit(**FAST)
def _bend_along_z(flat, o, e, f):
    one, two = np.uint64(1), np.float32(2)
    below = flat[o + one] - two * flat[o] + flat[o - one]
    above = flat[o + one + one] - two * flat[o + one] + flat[o]
    return e * below + f * above


@njit(**FAST)
def _slope(below2, below, here, there, above, above2, e, f, weights):
    near = e * (there - below) + f * (above - here)
    far = e * (above - below2) + f * (above2 - below)
    return weights[0] * near + weights[1] * far


@njit(**FAST)
def _bend(below, here, there, above, e, f):
    two = np.float32(2)
    return e * (below - two * here + there) + f * (here - two * there + above)


@njit(**FAST)
def cic_gradient(flat, i, j, k, m, pitch, fx, fy, fz, weights, wanted):
    """The twin of `gradient._cic_gradient`, which loads each of its 56 cells once."""
    one = np.float32(1)
    ex, ey, ez = one - fx, one - fy, one - fz
    o, sx = np.uint64(i * m * pitch + k), np.uint64(m * pitch)
    here, there = o + np.uint64(j * pitch), o + np.uint64(_wrap(j + 1, m) * pitch)
    a, b = o + np.uint64(_wrap(j - 2, m) * pitch), o + np.uint64(_wrap(j - 1, m) * pitch)
    c, d = o + np.uint64(_wrap(j + 2, m) * pitch), o + np.uint64(_wrap(j + 3, m) * pitch)
    v00, v01 = _pair(flat, here, ez, fz), _pair(flat, there, ez, fz)
    v10, v11 = _pair(flat, here + sx, ez, fz), _pair(flat, there + sx, ez, fz)
    gz = ex * ey * _slope_along_z(flat, here, ez, fz, weights)
    gz += ex * fy * _slope_along_z(flat, there, ez, fz, weights)
    gz += fx * ey * _slope_along_z(flat, here + sx, ez, fz, weights)
    gz += fx * fy * _slope_along_z(flat, there + sx, ez, fz, weights)
    xa = ey * _pair(flat, here - sx - sx, ez, fz) + fy * _pair(flat, there - sx - sx, ez, fz)
    xb = ey * _pair(flat, here - sx, ez, fz) + fy * _pair(flat, there - sx, ez, fz)
    x0, x1 = ey * v00 + fy * v01, ey * v10 + fy * v11
    s = sx + sx
    xc = ey * _pair(flat, here + s, ez, fz) + fy * _pair(flat, there + s, ez, fz)
    s += sx
    xd = ey * _pair(flat, here + s, ez, fz) + fy * _pair(flat, there + s, ez, fz)
    ya = ex * _pair(flat, a, ez, fz) + fx * _pair(flat, a + sx, ez, fz)
    yb = ex * _pair(flat, b, ez, fz) + fx * _pair(flat, b + sx, ez, fz)
    y0, y1 = ex * v00 + fx * v10, ex * v01 + fx * v11
    yc = ex * _pair(flat, c, ez, fz) + fx * _pair(flat, c + sx, ez, fz)
    yd = ex * _pair(flat, d, ez, fz) + fx * _pair(flat, d + sx, ez, fz)
    gx = _slope(xa, xb, x0, x1, xc, xd, ex, fx, weights)
    gy = _slope(ya, yb, y0, y1, yc, yd, ey, fy, weights)
    if not wanted:
        return gx, gy, gz, gz
    laplacian = _bend(xb, x0, x1, xc, ex, fx) + _bend(yb, y0, y1, yc, ey, fy)
    laplacian += ex * ey * _bend_along_z(flat, here, ez, fz)
    laplacian += ex * fy * _bend_along_z(flat, there, ez, fz)
    laplacian += fx * ey * _bend_along_z(flat, here + sx, ez, fz)
    laplacian += fx * fy * _bend_along_z(flat, there + sx, ez, fz)
    return gx, gy, gz, laplacian


@njit(**FAST)
def ask_for_nothing(flat, x, p, inverse_cell, m, pitch, slab):
    """The twin of `gradient._ask_for`."""


@njit(**FAST)
def _line(flat, o, w):
    """Three cells along z."""
    return w[0] * flat[o - np.uint64(1)] + w[1] * flat[o] + w[2] * flat[o + np.uint64(1)]


@njit(**FAST)
def _three(flat, a, b, c, w, wz):
    """Three lines along z."""
    return w[0] * _line(flat, a, wz) + w[1] * _line(flat, b, wz) + w[2] * _line(flat, c, wz)


@njit(**FAST)
def tsc_gradient(flat, i, j, k, m, pitch, wx, wy, wz, weights, wanted):
    """The twin of `gradient._tsc_gradient`."""
    dx, dy = _derivatives(wx, weights[0], weights[1]), _derivatives(wy, weights[0], weights[1])
    dz, two = _derivatives(wz, weights[0], weights[1]), np.float32(2)
    sx, o = np.uint64(m * pitch), np.uint64(i * m * pitch + k)
    ya, yb = np.uint64(_wrap(j - 1, m) * pitch), np.uint64(j * pitch)
    yc = np.uint64(_wrap(j + 1, m) * pitch)
    low = o - sx - sx - sx
    x0 = _three(flat, low + ya, low + yb, low + yc, wy, wz)
    low += sx
    x1 = _three(flat, low + ya, low + yb, low + yc, wy, wz)
    below = low + sx
    x2 = _three(flat, below + ya, below + yb, below + yc, wy, wz)
    x3 = _three(flat, o + ya, o + yb, o + yc, wy, wz)
    above = o + sx
    x4 = _three(flat, above + ya, above + yb, above + yc, wy, wz)
    high = above + sx
    x5 = _three(flat, high + ya, high + yb, high + yc, wy, wz)
    high += sx
    x6 = _three(flat, high + ya, high + yb, high + yc, wy, wz)
    gx = dx[0] * x0 + dx[1] * x1 + dx[2] * x2 + dx[3] * x3 + dx[4] * x4 + dx[5] * x5 + dx[6] * x6
    y0, y6 = np.uint64(_wrap(j - 3, m) * pitch), np.uint64(_wrap(j + 3, m) * pitch)
    y1, y5 = np.uint64(_wrap(j - 2, m) * pitch), np.uint64(_wrap(j + 2, m) * pitch)
    s0 = _three(flat, below + y0, o + y0, above + y0, wx, wz)
    s1 = _three(flat, below + y1, o + y1, above + y1, wx, wz)
    s2 = _three(flat, below + ya, o + ya, above + ya, wx, wz)
    s3 = _three(flat, below + yb, o + yb, above + yb, wx, wz)
    s4 = _three(flat, below + yc, o + yc, above + yc, wx, wz)
    s5 = _three(flat, below + y5, o + y5, above + y5, wx, wz)
    s6 = _three(flat, below + y6, o + y6, above + y6, wx, wz)
    gy = dy[0] * s0 + dy[1] * s1 + dy[2] * s2 + dy[3] * s3 + dy[4] * s4 + dy[5] * s5 + dy[6] * s6
    a, b, c = wz
    gz = bend_z = np.float32(0)
    bends = (a, b - two * a, a - two * b + c, b - two * c, c)
    for e in range(7):
        centre = np.float32(0)
        for plane, w in ((below, wx[0]), (o, wx[1]), (above, wx[2])):
            z = plane + np.uint64(e) - np.uint64(3)
            centre += w * (wy[0] * flat[z + ya] + wy[1] * flat[z + yb] + wy[2] * flat[z + yc])
        gz += dz[e] * centre
        if wanted and 0 < e < 6:
            bend_z += bends[e - 1] * centre
    if not wanted:
        return gx, gy, gz, gz
    laplacian = wx[0] * (x1 - two * x2 + x3) + wx[1] * (x2 - two * x3 + x4) + bend_z
    laplacian += wx[2] * (x3 - two * x4 + x5) + wy[0] * (s1 - two * s2 + s3)
    laplacian += wy[1] * (s2 - two * s3 + s4) + wy[2] * (s3 - two * s4 + s5)
    return gx, gy, gz, laplacian


@njit(**FAST)
def _element(matrices, o, width, before, now, then):
    low = matrices[o] + now * (matrices[o + width] - matrices[o])
    o += before
    high = matrices[o] + now * (matrices[o + width] - matrices[o])
    return low + then * (high - low)


@njit(**FAST)
def interpolate(matrices, number, rows, now, then, out):
    """The twin of `fitted._interpolate`."""
    width = np.uint64(TARGETS * FEATURES)
    before = np.uint64(number) * width
    for i in range(rows.size):
        k = np.uint64(rows[i]) * width
        for f in range(TARGETS * FEATURES):
            out[f, i] = _element(matrices, k + np.uint64(f), width, before, now[i], then[i])


@njit(**FAST)
def _four(flat, o):
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    return flat[o], flat[o + one], flat[o + two], flat[o + three]


@njit(**FAST)
def _add(flat, o, four, weight):
    """Add to four cells after loading all, which lets LLVM see that they go together."""
    a, b, c, d = _four(flat, o)
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    flat[o], flat[o + one] = a + four[0] * weight, b + four[1] * weight
    flat[o + two], flat[o + three] = c + four[2] * weight, d + four[3] * weight


@njit(parallel=True, **FAST)
def deposit(x, inverse_cell, rows, mesh, first, parts, fours):
    """The twin of `substeps._deposit`."""
    length, m = mesh.shape[0], mesh.shape[1]
    flat, source, one = mesh.reshape(-1), rows.reshape(-1), np.float32(1)
    width = np.uint64(4 * len(fours))
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
            for upper in range(2):
                if i + upper < a or i + upper >= b:
                    continue
                line, line1 = ((i + upper) * m + j) * m, ((i + upper) * m + j1) * m
                w = fx if upper else one - fx
                w0, w1 = w * (one - fy), w * fy
                low, high = np.uint64(line + k) * width, np.uint64(line + k1) * width
                low1, high1 = np.uint64(line1 + k) * width, np.uint64(line1 + k1) * width
                for f in range(len(fours)):
                    o = np.uint64(4 * f)
                    four = _four(source, row + o)
                    _add(flat, low + o, four, w0 * (one - fz))
                    _add(flat, high + o, four, w0 * fz)
                    _add(flat, low1 + o, four, w1 * (one - fz))
                    _add(flat, high1 + o, four, w1 * fz)


@njit(**FAST)
def _added(sums, flat, o, weight):
    a, b, c, d = _four(flat, o)
    return (
        sums[0] + weight * a, sums[1] + weight * b, sums[2] + weight * c, sums[3] + weight * d,
    )  # fmt: skip


@njit(parallel=True, **FAST)
def average(x, inverse_cell, mesh, first, fours, out):
    """The twin of `substeps._average`."""
    length, m = mesh.shape[0], mesh.shape[1]
    flat, one, zero = mesh.reshape(-1), np.float32(1), np.float32(0)
    width = np.uint64(4 * len(fours))
    for block in prange((x.shape[1] + BLOCK - 1) // BLOCK):
        for p in range(block * BLOCK, min(x.shape[1], (block + 1) * BLOCK)):
            i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
            if i + 1 >= length:
                continue
            j, fy = _cell(x[1, p], inverse_cell, CIC, m)
            k, fz = _cell(x[2, p], inverse_cell, CIC, m)
            j1, k1 = (j + 1) % m, (k + 1) % m
            ex, ey, ez = one - fx, one - fy, one - fz
            inverse = zero
            low, low1 = (i * m + j) * m, (i * m + j1) * m
            upper, upper1 = low + m * m, low1 + m * m
            for f in range(len(fours)):
                o, sums = np.uint64(4 * f), (zero, zero, zero, zero)
                sums = _added(sums, flat, np.uint64(low + k) * width + o, ex * ey * ez)
                sums = _added(sums, flat, np.uint64(low + k1) * width + o, ex * ey * fz)
                sums = _added(sums, flat, np.uint64(low1 + k) * width + o, ex * fy * ez)
                sums = _added(sums, flat, np.uint64(low1 + k1) * width + o, ex * fy * fz)
                sums = _added(sums, flat, np.uint64(upper + k) * width + o, fx * ey * ez)
                sums = _added(sums, flat, np.uint64(upper + k1) * width + o, fx * ey * fz)
                sums = _added(sums, flat, np.uint64(upper1 + k) * width + o, fx * fy * ez)
                sums = _added(sums, flat, np.uint64(upper1 + k1) * width + o, fx * fy * fz)
                a, b, c, d = sums
                if f == 0:
                    inverse = one / a if a > 0 else zero
                else:
                    out[4 * f - 1, p] = inverse * a
                if 4 * f < out.shape[0]:
                    out[4 * f, p] = inverse * b
                if 4 * f + 1 < out.shape[0]:
                    out[4 * f + 1, p] = inverse * c
                if 4 * f + 2 < out.shape[0]:
                    out[4 * f + 2, p] = inverse * d


@njit(fastmath={"contract", "nsz"})
def part(flat, low, high, axis, pivot, equal):
    """The twin of `short_range._part`."""
    end = low
    for i in range(low, high):
        key = flat[4 * i + axis]
        for c in range(4):
            flat[4 * i + c], flat[4 * end + c] = flat[4 * end + c], flat[4 * i + c]
        end += np.int64(key <= pivot) if equal else np.int64(key < pivot)
    return end


@njit(**FAST)
def _beyond(d, half, box_size, inverse):
    """How far along an axis a distance is beyond a box."""
    return max(abs(d - np.rint(d * inverse) * box_size) - half, np.float32(0))


@njit(**FAST)
def near(flat, count, middle, half, box_size, furthest, numbers):
    """The twin of `short_range._near`."""
    inverse, leaves, kept = np.float32(1) / box_size, flat.view(np.int32), 0
    found, kinds = flat.reshape(7, LISTED), numbers.view(np.int32)
    for s in range(count):
        dx = _beyond(found[0, s] - middle[0], found[3, s] + half[0], box_size, inverse)
        dy = _beyond(found[1, s] - middle[1], found[4, s] + half[1], box_size, inverse)
        dz = _beyond(found[2, s] - middle[2], found[5, s] + half[2], box_size, inverse)
        kinds[kept] = leaves[6 * LISTED + s]
        kept += dx * dx + dy * dy + dz * dz < furthest
    return kept


@njit(fastmath={"contract", "nsz", "reassoc"})
def pack_leaf(flat, leaf, middle, half, shift, scale, box_size, packed, count):
    """The twin of `short_range._pack_leaf`."""
    pitch, width = flat.size // 3, packed.size // 3
    zero, one, inverse = np.float32(0), np.float32(1), np.float32(1) / box_size
    for p in range(leaf * 16, leaf * 16 + 16):
        dx, dy = flat[p] - middle[0], flat[pitch + p] - middle[1]
        dz = flat[2 * pitch + p] - middle[2]
        dx = (dx - np.rint(dx * inverse) * box_size + shift[0]) * scale
        dy = (dy - np.rint(dy * inverse) * box_size + shift[1]) * scale
        dz = (dz - np.rint(dz * inverse) * box_size + shift[2]) * scale
        gx = max(abs(dx) - half[0] * scale, zero)
        gy = max(abs(dy) - half[1] * scale, zero)
        gz = max(abs(dz) - half[2] * scale, zero)
        packed[count], packed[width + count], packed[2 * width + count] = dx, dy, dz
        # not a number, as which the places after the last particle are filled, is not below one
        count += (gx * gx + gy * gy + gz * gz < one) & (dx == dx)
    return count


@njit(**FAST)
def sum_packed(packed, count, tx, ty, tz, inverse_H, cloud):
    """The twin of `short_range._sum_packed`."""
    one, zero, tiny = np.float32(1), np.float32(0), np.float32(1e-20)
    ax = ay = az = total = zero
    width = packed.size // 3
    x, y, z = packed[:width], packed[width : 2 * width], packed[2 * width :]
    for s in range(count):
        dx, dy, dz = x[s] - tx, y[s] - ty, z[s] - tz
        r2 = dx * dx + dy * dy + dz * dz
        inverse = one / np.sqrt(r2 + tiny)
        u, q = min(r2 * inverse * inverse_H, one), min(inverse, inverse_H)
        soft = u * np.float32(21) - np.float32(90)
        soft = soft * u + np.float32(140)
        soft = soft * u - np.float32(84)
        soft = soft * (u * u) + np.float32(14)
        smooth = r2 * cloud[-1] + cloud[-2]
        for k in range(len(cloud) - 3, -1, -1):
            smooth = smooth * r2 + cloud[k]
        f = q * q * q * soft - smooth if r2 < one else zero
        ax, ay, az, total = ax + f * dx, ay + f * dy, az + f * dz, total + f
    return ax, ay, az, total


@njit(fastmath={"contract", "nsz"})
def flush(packed, count, targets, number, inverse_H, cloud, sums):
    """The twin of `short_range._flush`."""
    for t in range(number):
        gx, gy, gz, total = sum_packed(
            packed, count, targets[0, t], targets[1, t], targets[2, t], inverse_H, cloud
        )
        sums[0, t] += gx
        sums[1, t] += gy
        sums[2, t] += gz
        sums[3, t] += total
    return count * number
