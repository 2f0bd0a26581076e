"""Loops of statistics over particles and modes; on the calling thread alone, unless they say
otherwise."""

from __future__ import annotations

import numpy as np
from coca.kernels.fourier import _signed, _sinc
from numba import njit, prange


@njit(cache=True)
def paint_weighted(x, weights, inverse_cell, mesh):
    """Add the weights of particles to a mesh with CIC.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in [0, box_size], Mpc/h.
    weights : array (N,) float32
    inverse_cell : float
        Cells per Mpc/h.
    mesh : array (m, m, p >= m) float32
    """
    m = mesh.shape[0]
    for p in range(x.shape[1]):
        u, v, w = x[0, p] * inverse_cell, x[1, p] * inverse_cell, x[2, p] * inverse_cell
        i, j, l = int(u), int(v), int(w)
        for a in range(2):
            for b in range(2):
                for c in range(2):
                    part = (
                        (u - i if a else 1 - u + i)
                        * (v - j if b else 1 - v + j)
                        * (w - l if c else 1 - w + l)
                    )
                    mesh[(i + a) % m, (j + b) % m, (l + c) % m] += weights[p] * part


@njit(parallel=True, cache=True)
def binned_multipoles(a_k, kf, axis, window_order):
    """Sums over the modes of each shell int(|k| / kf), with Legendre polynomials of the angle.

    Parameters
    ----------
    a_k : array (n, n, n//2+1) complex64
    kf : float
    axis : int
        Line of sight.
    window_order : int
        Powers of the cloud-in-cell window by which the field is divided.

    Returns
    -------
    array (5, n//2+1) float64
        Number of modes, sum of k, and of |a|^2 L_l(mu) for l = 0, 2, 4.
    """
    n = a_k.shape[0]
    shells = n // 2 + 1
    cell = 2.0 * np.pi / (kf * n)
    window = np.array([_sinc(kf * _signed(i, n), cell) ** (2 * window_order) for i in range(n)])
    sums = np.zeros((n, 5, shells))
    for i in prange(n):
        si = _signed(i, n)
        for j in range(n):
            sj = _signed(j, n)
            for m in range(shells):
                k2 = float(si * si + sj * sj + m * m)
                k = np.sqrt(k2)
                shell = int(k)
                if shell == 0 or shell >= shells:
                    continue
                along = si if axis == 0 else (sj if axis == 1 else m)
                mu2 = along * along / k2
                twice = 1.0 if m == 0 or 2 * m == n else 2.0
                a = a_k[i, j, m]
                power = twice * (a.real * a.real + a.imag * a.imag)
                power /= (window[i] * window[j] * window[m]) ** 2
                sums[i, 0, shell] += twice
                sums[i, 1, shell] += twice * k * kf
                sums[i, 2, shell] += power
                sums[i, 3, shell] += power * 0.5 * (3.0 * mu2 - 1.0)
                sums[i, 4, shell] += power * 0.125 * ((35.0 * mu2 - 30.0) * mu2 + 3.0)
    return sums.sum(axis=0)
