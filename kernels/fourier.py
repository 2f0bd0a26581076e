"""Fused loops over the modes of a real field: arrays (n, n, n//2+1) of numpy's rfftn layout.

`kf` is the fundamental wavenumber 2 pi / box in h/Mpc. Modes are numbered by integers
(i, j, l) with k = kf * (i, j, l). The component of a gradient along an axis vanishes at
that axis's Nyquist plane, where a real field has no derivative.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(inline="always")
def _signed(i, n):
    return np.int64(i) if i <= n // 2 else np.int64(i) - n


@njit(inline="always")
def _sinc(k, cell):
    x = 0.5 * k * cell
    return 1.0 if x == 0.0 else np.sin(x) / x


@njit(parallel=True, cache=True, fastmath=True)
def inverse_laplacian(delta_k, kf, scale, window_order):
    """Multiply in place by -scale / (k^2 W(k)), the zero mode by 0.

    W is the cloud-in-cell window, prod_i sinc^2(k_i cell / 2), to the power `window_order`
    (0: none, 1: of one assignment, 2: of assignment and interpolation).
    """
    n = delta_k.shape[0]
    cell = 2.0 * np.pi / (kf * n)
    k2 = np.empty(n, np.float32)
    inverse_window = np.empty(n, np.float32)
    for i in range(n):
        k = kf * _signed(i, n)
        k2[i] = k * k
        inverse_window[i] = _sinc(k, cell) ** (-2 * window_order)
    for i in prange(n):
        for j in range(n):
            k2_ij = k2[i] + k2[j]
            factor = np.float32(-scale) * inverse_window[i] * inverse_window[j]
            if k2_ij == np.float32(0.0):
                delta_k[i, j, 0] = 0.0
            first = 1 if k2_ij == np.float32(0.0) else 0
            for m in range(first, delta_k.shape[2]):
                delta_k[i, j, m] *= factor * inverse_window[m] / (k2_ij + k2[m])


@njit(parallel=True, cache=True)
def gradient(phi_k, kf, axis, out):
    """Write i k_axis phi_k to `out`."""
    n = phi_k.shape[0]
    for i in prange(n):
        for j in range(n):
            for m in range(phi_k.shape[2]):
                index = i if axis == 0 else (j if axis == 1 else m)
                k = 0.0 if 2 * index == n else kf * _signed(index, n)
                value = phi_k[i, j, m]
                out[i, j, m] = np.complex64(complex(-k * value.imag, k * value.real))


@njit(parallel=True, cache=True)
def hessian(phi_k, kf, axis0, axis1, out):
    """Write -k_axis0 k_axis1 phi_k to `out`."""
    n = phi_k.shape[0]
    for i in prange(n):
        for j in range(n):
            for m in range(phi_k.shape[2]):
                index0 = i if axis0 == 0 else (j if axis0 == 1 else m)
                index1 = i if axis1 == 0 else (j if axis1 == 1 else m)
                k0 = kf * _signed(index0, n)
                k1 = kf * _signed(index1, n)
                if axis0 != axis1 and (2 * index0 == n or 2 * index1 == n):
                    k0 = 0.0
                out[i, j, m] = np.float32(-k0 * k1) * phi_k[i, j, m]


@njit(parallel=True, cache=True)
def divergence(psi_k, kf, out):
    """Write sum_axis i k_axis psi_k[axis] to `out`."""
    n = out.shape[0]
    for i in prange(n):
        kx = 0.0 if 2 * i == n else kf * _signed(i, n)
        for j in range(n):
            ky = 0.0 if 2 * j == n else kf * _signed(j, n)
            for m in range(out.shape[2]):
                kz = 0.0 if 2 * m == n else kf * m
                dot = kx * psi_k[0, i, j, m] + ky * psi_k[1, i, j, m] + kz * psi_k[2, i, j, m]
                out[i, j, m] = np.complex64(complex(-dot.imag, dot.real))


@njit(parallel=True, cache=True)
def gaussian_filter(field_k, kf, radius, scale, out):
    """Write scale * exp(-(k radius)^2 / 2) field_k to `out`."""
    n = field_k.shape[0]
    factor = np.array([np.exp(-0.5 * (kf * _signed(i, n) * radius) ** 2) for i in range(n)])
    for i in prange(n):
        for j in range(n):
            ij = scale * factor[i] * factor[j]
            for m in range(field_k.shape[2]):
                out[i, j, m] = np.float32(ij * factor[m]) * field_k[i, j, m]


@njit(parallel=True, cache=True)
def binned_power(a_k, b_k, kf, window_order):
    """Sums over the modes of each shell int(|k| / kf), both halves of Fourier space counted.

    Parameters
    ----------
    a_k, b_k : array (n, n, n//2+1) complex64
    kf : float
    window_order : int
        Powers of the cloud-in-cell window by which each field is divided.

    Returns
    -------
    array (5, n//2+1) float64
        Number of modes, sum of k, of |a|^2, of |b|^2 and of Re(a b*), shells 0 to n//2.
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
            for m in range(a_k.shape[2]):
                k = np.sqrt(float(si * si + sj * sj + m * m))
                shell = int(k)
                if shell >= shells:
                    continue
                twice = 1.0 if m == 0 or 2 * m == n else 2.0
                w = twice / (window[i] * window[j] * window[m]) ** 2
                a, b = a_k[i, j, m], b_k[i, j, m]
                sums[i, 0, shell] += twice
                sums[i, 1, shell] += twice * k * kf
                sums[i, 2, shell] += w * (a.real * a.real + a.imag * a.imag)
                sums[i, 3, shell] += w * (b.real * b.real + b.imag * b.imag)
                sums[i, 4, shell] += w * (a.real * b.real + a.imag * b.imag)
    return sums.sum(axis=0)
