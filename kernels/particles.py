"""Fused loops over particles: frames, drift and kick without temporaries."""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(parallel=True, cache=True, fastmath=True)
def add_terms(fields, weights, out):
    """Add sum_j weights[j] * fields[j] to `out`.

    Parameters
    ----------
    fields : tuple of arrays (3, N) float32
    weights : array (len(fields),) float32
    out : array (3, N) float32
    """
    block = 4096
    blocks = (out.shape[1] + block - 1) // block
    for b in prange(3 * blocks):
        c, low = b // blocks, b % blocks * block
        part = out[c, low : low + block]
        for j in range(len(fields)):
            field, w = fields[j][c, low : low + block], weights[j]
            for p in range(part.size):
                part[p] += w * field[p]


@njit(parallel=True, cache=True)
def products(a, b, c, d):
    """Sums over arrays (3, N) float32 of the products of a, c, b - a and d - c, array (4, 4)."""
    n, chunks = a.shape[1], 64
    sums = np.zeros((chunks, 4, 4))
    for chunk in prange(chunks):
        u = np.empty(4)
        for i in range(3):
            for p in range(chunk * n // chunks, (chunk + 1) * n // chunks):
                u[0], u[1], u[2], u[3] = a[i, p], c[i, p], b[i, p] - a[i, p], d[i, p] - c[i, p]
                for j in range(4):
                    for k in range(4):
                        sums[chunk, j, k] += u[j] * u[k]
    return sums.sum(axis=0)


@njit(parallel=True, cache=True, fastmath=True)
def axpy(scale, x, y):
    """Add scale * x to y; both flat float32 arrays."""
    a = np.float32(scale)
    for p in prange(y.size):
        y[p] += a * x[p]


@njit(parallel=True, cache=True, fastmath=True)
def positions(disp, lattice, first, cell, out):
    """Add the Lagrangian lattice q = cell * (first + i, j, l) to displacements, (3, N) float32.

    `lattice` is the number of points (nx, ny, nz), N of them.
    """
    nx, ny, nz = lattice
    for i in prange(nx):
        for j in range(ny):
            for m in range(nz):
                p = (i * ny + j) * nz + m
                out[0, p] = disp[0, p] + np.float32(cell * (first + i))
                out[1, p] = disp[1, p] + np.float32(cell * j)
                out[2, p] = disp[2, p] + np.float32(cell * m)


@njit(parallel=True, cache=True, fastmath=True)
def linear_kick(vel, acc, alpha, beta):
    """v <- alpha v - beta g in place, (3, N) float32."""
    a, b = np.float32(alpha), np.float32(beta)
    for p in prange(vel.shape[1]):
        for c in range(3):
            vel[c, p] = a * vel[c, p] - b * acc[c, p]


@njit(parallel=True, cache=True, fastmath=True)
def residual_kick(w, s, delta, decay, impulse, phase, gain):
    """w <- gain_w decay w - gain_s impulse s in place, for each particle.

    With y = phase (1 + delta), the squared phase (frequency * step / 2)^2 in the particle's
    neighbourhood, and x = gain y: gain_s = 1 / (1 + x) and gain_w = 1 / (1 + x^(3/2)); gain = 0
    is the explicit kick.

    Parameters
    ----------
    w, s : array (3, N) float32
        Residual velocity and residual acceleration.
    delta : array (N,) float32
        Density contrast at the particles.
    decay, impulse, phase, gain : float

    Returns
    -------
    tuple of float
        Sums over particles of |s|^2 and of |s / (1 + y)|^2.
    """
    residual = error = 0.0
    for p in prange(w.shape[1]):
        y = phase * max(np.float32(0.0), np.float32(1.0) + delta[p])
        x = gain * y
        gain_s = 1.0 / (1.0 + x)
        gain_w = 1.0 / (1.0 + x * np.sqrt(x))
        squares = 0.0
        for c in range(3):
            squares += s[c, p] * s[c, p]
            w[c, p] = np.float32(gain_w * decay * w[c, p] - gain_s * impulse * s[c, p])
        residual += squares
        error += squares / (1.0 + y) ** 2
    return residual, error
