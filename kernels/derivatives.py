"""Sums over shells and particles and their derivatives, for descent in `coca.step_fitting`."""

from __future__ import annotations

import numpy as np
from coca.kernels.constants import FEATURES, TARGETS
from coca.kernels.fitted import _fill_graded
from numba import njit, prange

CHUNKS = 16


@njit(parallel=True, cache=True, fastmath=True)
def cloud_derivative(x, field, scale, out):
    """Sum over cells of a field times the derivative of each particle's cloud (CIC).

    Parameters
    ----------
    x : array (3, N) float32
        Positions, anywhere.
    field : array (m, m, m) float32
    scale : float
        Cells per unit of length.
    out : array (3, N) float32
        Overwritten.
    """
    m = field.shape[0]
    for p in prange(x.shape[1]):
        u, v, w = x[0, p] * scale, x[1, p] * scale, x[2, p] * scale
        i, j, k = np.floor(u), np.floor(v), np.floor(w)
        a, b, c = np.float32(u - i), np.float32(v - j), np.float32(w - k)
        i0, j0, k0 = np.int64(i) % m, np.int64(j) % m, np.int64(k) % m
        i1, j1, k1 = (i0 + 1) % m, (j0 + 1) % m, (k0 + 1) % m
        one = np.float32(1.0)
        f00 = field[i0, j0, k0] * (one - c) + field[i0, j0, k1] * c
        f01 = field[i0, j1, k0] * (one - c) + field[i0, j1, k1] * c
        f10 = field[i1, j0, k0] * (one - c) + field[i1, j0, k1] * c
        f11 = field[i1, j1, k0] * (one - c) + field[i1, j1, k1] * c
        out[0, p] = scale * ((f10 - f00) * (one - b) + (f11 - f01) * b)
        out[1, p] = scale * ((f01 - f00) * (one - a) + (f11 - f10) * a)
        g00 = field[i0, j0, k1] - field[i0, j0, k0]
        g01 = field[i0, j1, k1] - field[i0, j1, k0]
        g10 = field[i1, j0, k1] - field[i1, j0, k0]
        g11 = field[i1, j1, k1] - field[i1, j1, k0]
        low, high = g00 * (one - b) + g01 * b, g10 * (one - b) + g11 * b
        out[2, p] = scale * (low * (one - a) + high * a)


@njit(parallel=True, cache=True, fastmath=True)
def shell_sums(a, b, number, shells):
    """Sums of |a|^2 and of Re(a b*) over the modes of each shell, both halves of Fourier space.

    Parameters
    ----------
    a, b : array (m, m, m//2+1) complex64
    number : array (m, m, m//2+1) uint16
        The shell of each mode; from `shells` on it is left out.
    shells : int

    Returns
    -------
    array (2, shells) float64
    """
    m, last = a.shape[0], a.shape[2] - 1
    sums = np.zeros((m, 2, shells))
    for i in prange(m):
        for j in range(m):
            for k in range(last + 1):
                shell = number[i, j, k]
                if shell < shells:
                    weight = 1.0 if k == 0 or k == last else 2.0
                    p, q = a[i, j, k], b[i, j, k]
                    sums[i, 0, shell] += weight * (p.real * p.real + p.imag * p.imag)
                    sums[i, 1, shell] += weight * (p.real * q.real + p.imag * q.imag)
    return sums.sum(axis=0)


@njit(parallel=True, cache=True, fastmath=True)
def shell_derivative(a, b, number, factors, out):
    """Derivative with respect to `a` of the sum of `factors` (2, shells) times `shell_sums`, as a
    field (m, m, m//2+1) complex64 whose inverse transform counts each half column twice."""
    m, shells = a.shape[0], factors.shape[1]
    for i in prange(m):
        for j in range(m):
            for k in range(a.shape[2]):
                shell = number[i, j, k]
                if shell < shells:
                    own, cross = np.float32(2.0 * factors[0, shell]), np.float32(factors[1, shell])
                    out[i, j, k] = own * a[i, j, k] + cross * b[i, j, k]
                else:
                    out[i, j, k] = 0.0


@njit(parallel=True, cache=True, fastmath=True)
def matrix_derivative(
    e, w, s, before, delta, delta_before, edges, edges_before, H, c, end_e, end_w
):
    """Derivative with respect to the matrices of `kernels.fitted.step`.

    Parameters as there, with the derivatives (3, N) with respect to e and w at the step's end.

    Returns
    -------
    array (classes before, classes now, TARGETS, FEATURES) float64
    """
    n, shape = e.shape[1], (edges_before.size + 1, edges.size + 1)
    h, impulse, inverse = np.float32(H), np.float32(H * H * c), np.float32(1.0 / H)
    sums = np.zeros((CHUNKS, shape[0], shape[1], TARGETS, FEATURES))
    for chunk in prange(CHUNKS):
        low, high = chunk * n // CHUNKS, (chunk + 1) * n // CHUNKS
        now, then = np.empty(high - low, np.float32), np.empty(high - low, np.float32)
        _fill_graded(delta[low:high], edges, now)
        _fill_graded(delta_before[low:high], edges_before, then)
        own = np.empty((TARGETS, FEATURES))
        for p in range(low, high):
            own[:] = 0.0
            for axis in range(3):
                f = (e[axis, p], h * w[axis, p], impulse * s[axis, p], before[axis, p])
                g = (end_e[axis, p], inverse * end_w[axis, p])
                for t in range(TARGETS):
                    for i in range(FEATURES):
                        own[t, i] += g[t] * f[i]
            j = min(np.int64(then[p - low]), shape[0] - 2)
            k = min(np.int64(now[p - low]), shape[1] - 2)
            y, z = then[p - low] - j, now[p - low] - k
            for t in range(TARGETS):
                for i in range(FEATURES):
                    sums[chunk, j, k, t, i] += (1 - y) * (1 - z) * own[t, i]
                    sums[chunk, j, k + 1, t, i] += (1 - y) * z * own[t, i]
                    sums[chunk, j + 1, k, t, i] += y * (1 - z) * own[t, i]
                    sums[chunk, j + 1, k + 1, t, i] += y * z * own[t, i]
    return sums.sum(axis=0)
