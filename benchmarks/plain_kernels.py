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
