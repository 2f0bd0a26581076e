"""The fitted step over particles, and the sums from which it is fitted.

A particle's features are its residual displacement e, H w, H^2 s and the H^2 s of the step before,
for a step H in D. A matrix for each class of density now and before turns them into e and H w
at the step's end.
"""

from __future__ import annotations

import numpy as np
from coca.kernels.constants import FEATURES, TARGETS
from coca.kernels.lanes import each, eight
from numba import njit, prange

BLOCK = 512
RAMP = 0.06
"""How far from an edge, relative to it, matrices go over from one class to the next."""


@njit(parallel=True, cache=True, fastmath=True)
def classify(delta, edges, out):
    """Number of edges below 1 + delta for every particle; `out` is uint8."""
    for b in prange((delta.size + BLOCK - 1) // BLOCK):
        part, number = delta[b * BLOCK : (b + 1) * BLOCK], out[b * BLOCK : (b + 1) * BLOCK]
        number[:] = 0
        for edge in edges:
            least = edge - np.float32(1.0)
            for p in range(part.size):
                number[p] += np.uint8(part[p] > least)


@njit(cache=True)
def graded_classes(delta, edges):
    """Class of every particle (N,) as a number that rises steadily from class to class over
    `RAMP` of an edge to either side."""
    out = np.empty(delta.size, np.float32)
    _fill_graded(delta, edges, out)
    return out


@njit(fastmath=True)
def _fill_graded(delta, edges, out):
    """Fill `out` with what `graded_classes` gives."""
    out[:] = np.float32(0)
    for edge in edges:
        slope = np.float32(0.5 / (RAMP * edge))
        least = np.float32(edge * (1.0 - RAMP) - 1.0)
        for i in range(delta.size):
            rise = slope * (delta[i] - least)
            out[i] += min(max(rise, np.float32(0)), np.float32(1))


@njit(fastmath=True)
def _interpolate(matrices, number, rows, now, then, out):
    """Elements of the matrices of particles, (TARGETS * FEATURES, M), from those of all classes,
    flat, eight elements each."""
    width = np.uint64(TARGETS * FEATURES)
    before = np.uint64(number) * width
    for i in range(rows.size):
        k = np.uint64(rows[i]) * width
        low, above = eight(matrices, k), eight(matrices, k + width)
        low = low + (above - low) * now[i]
        k += before
        high, above = eight(matrices, k), eight(matrices, k + width)
        high = high + (above - high) * now[i]
        m0, m1, m2, m3, m4, m5, m6, m7 = each(low + (high - low) * then[i])
        out[0, i], out[1, i], out[2, i], out[3, i] = m0, m1, m2, m3
        out[4, i], out[5, i], out[6, i], out[7, i] = m4, m5, m6, m7


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def step(e, w, s, before, delta, delta_before, edges, edges_before, matrices, H, c):
    """Take e and w to the step's end in place, and leave H^2 c s in `before`.

    Between classes matrices go over steadily: round-off must not move a particle far.

    Parameters
    ----------
    e, w : array (3, N) float32
        At the middle of the step, and at its start.
    s : array (3, N) float32
        Residual acceleration over c.
    before : array (3, N) float32
        H^2 c s of the step before.
    delta, delta_before : array (N,) float32
        Density contrast at the particles, now and a step before.
    edges, edges_before : array float32
        Between the classes, in 1 + delta.
    matrices : array (classes before, classes now, TARGETS, FEATURES) float32
    H, c : float

    Returns
    -------
    tuple of float
        Sums over particles of |s|^2 and of |s / (1 + y)|^2, where y = c (1 + delta) / 3 (H/2)^2.
    """
    h, impulse, inverse = np.float32(H), np.float32(H * H * c), np.float32(1.0 / H)
    phase, zero, one = np.float32(c / 3.0 * 0.25 * H * H), np.float32(0), np.float32(1)
    n, last, number = e.shape[1], np.float32(matrices.shape[0] - 2), matrices.shape[1]
    flat = np.ascontiguousarray(matrices).reshape(-1)
    residual = error = 0.0
    for b in prange((n + BLOCK - 1) // BLOCK):
        low, high = b * BLOCK, min(n, (b + 1) * BLOCK)
        size = high - low
        now, then = np.empty(size, np.float32), np.empty(size, np.float32)
        rows = np.empty(size, np.uint32)  # unsigned: no wrapping around, so gathers vectorise
        _fill_graded(delta[low:high], edges, now)
        _fill_graded(delta_before[low:high], edges_before, then)
        for i in range(size):
            j, k = min(np.floor(then[i]), last), min(np.floor(now[i]), np.float32(number - 2))
            rows[i] = np.uint32(j) * np.uint32(number) + np.uint32(k)
            then[i] -= j
            now[i] -= k
        m = np.empty((TARGETS * FEATURES, size), np.float32)
        _interpolate(flat, number, rows, now, then, m)
        m0, m1, m2, m3, m4, m5, m6, m7 = m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7]
        squares, shares = now, then  # no longer needed
        squares[:] = zero
        for axis in range(e.shape[0]):  # not 3, of which LLVM would make three copies
            e_, w_ = e[axis, low:high], w[axis, low:high]
            s_, before_ = s[axis, low:high], before[axis, low:high]
            for i in range(size):
                squares[i] += s_[i] * s_[i]
                f0, f1, f2, f3 = e_[i], h * w_[i], impulse * s_[i], before_[i]
                e_[i] = m0[i] * f0 + m1[i] * f1 + m2[i] * f2 + m3[i] * f3
                w_[i] = inverse * (m4[i] * f0 + m5[i] * f1 + m6[i] * f2 + m7[i] * f3)
                before_[i] = f2
        for i in range(size):
            share = one / (one + phase * max(zero, one + delta[low + i]))
            shares[i] = squares[i] * share * share
        residual += np.sum(squares)
        error += np.sum(shares)
    return residual, error


@njit(parallel=True, cache=True)
def moments(e, w, s, before, now_class, before_class, H, c, end_e, end_w, shape):
    """Sums over the particles of each class of features times features and targets.

    Parameters as in `step`, with the class numbers (N,) uint8 of the particles, what e and w should
    be at the step's end, and how many classes there are before and now.

    Returns
    -------
    sums : array (*shape, FEATURES, FEATURES + TARGETS)
    counts : array shape
    """
    n, chunks = e.shape[1], 16
    sums = np.zeros((chunks, shape[0], shape[1], FEATURES, FEATURES + TARGETS))
    counts = np.zeros((chunks, shape[0], shape[1]))
    for chunk in prange(chunks):
        row = np.empty(FEATURES + TARGETS)
        for p in range(chunk * n // chunks, (chunk + 1) * n // chunks):
            b, k = before_class[p], now_class[p]
            counts[chunk, b, k] += 1
            for axis in range(3):
                row[0], row[1] = e[axis, p], H * w[axis, p]
                row[2], row[3] = H * H * c * s[axis, p], before[axis, p]
                row[4], row[5] = end_e[axis, p], H * end_w[axis, p]
                for i in range(FEATURES):
                    for j in range(FEATURES + TARGETS):
                        sums[chunk, b, k, i, j] += row[i] * row[j]
    return sums.sum(axis=0), counts.sum(axis=0)
