"""The fitted step over particles, and the sums from which it is fitted.

A particle's features are its residual displacement e, H w, H^2 s and the H^2 s of the step before,
for a step H in D. A matrix for each class of density now and before turns them into e and H w
at the step's end.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

FEATURES = 4
TARGETS = 2
BLOCK = 2048


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


@njit(parallel=True, cache=True, fastmath=True)
def step(e, w, s, before, now_class, before_class, matrices, H, c):
    """Take e and w to the step's end in place, and leave H^2 c s in `before`.

    Parameters
    ----------
    e, w : array (3, N) float32
        At the middle of the step, and at its start.
    s : array (3, N) float32
        Residual acceleration over c.
    before : array (3, N) float32
        H^2 c s of the step before.
    now_class, before_class : array (N,) uint8
    matrices : array (classes before, classes now, TARGETS, FEATURES) float32
    H, c : float
    """
    h, impulse, inverse = np.float32(H), np.float32(H * H * c), np.float32(1.0 / H)
    n, classes = e.shape[1], np.uint32(matrices.shape[1])
    columns = np.ascontiguousarray(matrices.reshape(-1, TARGETS * FEATURES).T)
    m0, m1, m2, m3 = columns[0], columns[1], columns[2], columns[3]
    m4, m5, m6, m7 = columns[4], columns[5], columns[6], columns[7]
    for b in prange((n + BLOCK - 1) // BLOCK):
        low, high = b * BLOCK, min(n, (b + 1) * BLOCK)
        rows = np.empty(BLOCK, np.uint32)  # unsigned: no wrapping around, so gathers vectorise
        for i in range(high - low):
            rows[i] = before_class[low + i] * classes + now_class[low + i]
        for axis in range(3):
            e_, w_ = e[axis, low:high], w[axis, low:high]
            s_, before_ = s[axis, low:high], before[axis, low:high]
            for i in range(high - low):
                k = rows[i]
                f0, f1, f2, f3 = e_[i], h * w_[i], impulse * s_[i], before_[i]
                e_[i] = m0[k] * f0 + m1[k] * f1 + m2[k] * f2 + m3[k] * f3
                w_[i] = inverse * (m4[k] * f0 + m5[k] * f1 + m6[k] * f2 + m7[k] * f3)
                before_[i] = f2


@njit(parallel=True, cache=True)
def moments(e, w, s, before, now_class, before_class, H, c, end_e, end_w, shape):
    """Sums over the particles of each class of features times features and targets.

    Parameters as in `step`, with what e and w should be at the step's end and the numbers of
    classes before and now.

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


@njit(parallel=True, cache=True, fastmath=True)
def residual_sums(s, delta, phase):
    """Sums over particles of |s|^2 and of |s / (1 + y)|^2, y = phase (1 + delta)."""
    residual = error = 0.0
    for p in prange(s.shape[1]):
        y = phase * max(np.float32(0.0), np.float32(1.0) + delta[p])
        squares = s[0, p] ** 2 + s[1, p] ** 2 + s[2, p] ** 2
        residual += squares
        error += squares / (1.0 + y) ** 2
    return residual, error
