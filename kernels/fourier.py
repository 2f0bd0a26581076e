"""Fused loops over the modes of a real field: arrays of numpy's rfftn layout, (n, n, n//2+1), or
some of their rows along y.

Those that multiply take blocks of columns, see `coca.parallel.fft`, and run on the calling thread
alone.

`kf` is the fundamental wavenumber 2 pi / box in h/Mpc. Modes are numbered by integers
(i, j, l) with k = kf * (i, j, l). The component of a gradient along an axis vanishes at
that axis's Nyquist plane, where a real field has no derivative.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

CHUNKS = 32
"""Parts of a sum, whatever the number of threads."""


@njit(inline="always")
def _signed(i, n):
    return np.int64(i) if i <= n // 2 else np.int64(i) - n


@njit(inline="always")
def _sinc(k, cell):
    x = 0.5 * k * cell
    return 1.0 if x == 0.0 else np.sin(x) / x


@njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def inverse_laplacian(block, first, kf, scale, assignment):
    """Multiply columns in place by -scale / (k^2 W(k)^2), the zero mode by 0.

    Parameters
    ----------
    block : array (n, width) complex64
        Consecutive columns of modes.
    first : int
        Number of the first column.
    kf, scale : float
    assignment : int
        W = prod_i sinc(k_i cell / 2)^assignment: 0 for none, 2 for CIC, 3 for TSC.
    """
    n = block.shape[0]
    nz = n // 2 + 1
    cell = 2.0 * np.pi / (kf * n)
    k2_yz = np.empty(block.shape[1], np.float32)
    factor_yz = np.empty(block.shape[1], np.float32)
    for c in range(block.shape[1]):
        ky, kz = kf * _signed((first + c) // nz, n), kf * ((first + c) % nz)
        k2_yz[c] = ky * ky + kz * kz
        factor_yz[c] = -scale * (_sinc(ky, cell) * _sinc(kz, cell)) ** (-2 * assignment)
    for i in range(n):
        kx = kf * _signed(i, n)
        k2_x = np.float32(kx * kx)
        factor_x = np.float32(_sinc(kx, cell) ** (-2 * assignment))
        zero_mode = i == 0 and first == 0
        if zero_mode:
            block[0, 0] = 0.0
            k2_yz[0] = 1.0
        for c in range(block.shape[1]):
            block[i, c] *= factor_x * factor_yz[c] / (k2_x + k2_yz[c])
        if zero_mode:
            k2_yz[0] = 0.0


@njit
def _axis_factors(index, n):
    """Factors of one axis, in units of the cell: wavenumber k, that of central differences of order
    4, d, and U^2 / (sum U^2)^2 of the window U of TSC, with all its aliases."""
    k = 2.0 * np.pi / n * _signed(index, n)
    d = 0.0 if 2 * index == n else (8.0 * np.sin(k) - np.sin(2.0 * k)) / 6.0
    s2 = np.sin(0.5 * k) ** 2
    window = _sinc(k, 1.0) ** 3 / (1.0 - s2 + 2.0 / 15.0 * s2 * s2)
    return k, d, window * window


@njit(cache=True, nogil=True, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
def cloud_inverse_laplacian(block, first, kf, scale, cloud, step):
    """Multiply columns in place by the potential of round clouds, whose central differences of
    order 4, read by TSC, are nearest to its gradient when particles were assigned by TSC.

    With C the transform of a cloud, d the wavenumbers of the differences and U the window of TSC,
    the factor is that of Hockney & Eastwood (1981, section 8-3-3), its reference force free of
    aliases:

        -scale (d k) C(k) / (k^2 d^2) U^2 / (sum over aliases of U^2)^2

    Parameters
    ----------
    block, first, kf, scale
        As for `inverse_laplacian`.
    cloud : array float32
        C at (k cell)^2 = 0, step, 2 step, ... to beyond 3 pi^2.
    step : float
    """
    n = block.shape[0]
    nz = n // 2 + 1
    width, tiny, inverse = block.shape[1], np.float32(1e-20), np.float32(1.0 / step)
    yz = np.empty((4, width), np.float32)
    cell = 2.0 * np.pi / (kf * n)
    for c in range(width):
        ky, dy, wy = _axis_factors((first + c) // nz % n, n)
        kz, dz, wz = _axis_factors((first + c) % nz, n)
        yz[0, c], yz[1, c], yz[2, c] = ky * ky + kz * kz, ky * dy + kz * dz, dy * dy + dz * dz
        yz[3, c] = -scale * cell * cell * wy * wz
    for i in range(n):
        kx, dx, wx = _axis_factors(i, n)
        k2_x, kd_x, d2_x = np.float32(kx * kx), np.float32(kx * dx), np.float32(dx * dx)
        w_x = np.float32(wx)
        for c in range(width):
            k2, kd, d2 = k2_x + yz[0, c], kd_x + yz[1, c], d2_x + yz[2, c]
            place = k2 * inverse
            m = np.int32(place)
            smooth = cloud[m] + (place - np.float32(m)) * (cloud[m + 1] - cloud[m])
            block[i, c] *= w_x * yz[3, c] * kd * smooth / (k2 * d2 + tiny)


@njit(cache=True, nogil=True, fastmath=True)
def gradient(block, first, kf, axis, scale):
    """Multiply columns in place by i k_axis scale; arguments as for `inverse_laplacian`."""
    n = block.shape[0]
    nz = n // 2 + 1
    k_yz = np.zeros(block.shape[1], np.float32)
    for c in range(block.shape[1]):
        index = (first + c) // nz if axis == 1 else (first + c) % nz
        if axis != 0 and 2 * index != n:
            k_yz[c] = scale * kf * _signed(index, n)
    for i in range(n):
        k_x = np.float32(scale * kf * _signed(i, n) if axis == 0 and 2 * i != n else 0.0)
        for c in range(block.shape[1]):
            k = k_x + k_yz[c]
            value = block[i, c]
            block[i, c] = complex(-k * value.imag, k * value.real)


@njit(cache=True, nogil=True, fastmath=True)
def hessian(block, first, kf, axis0, axis1):
    """Multiply columns in place by -k_axis0 k_axis1; arguments as for `inverse_laplacian`."""
    n = block.shape[0]
    nz = n // 2 + 1
    for i in range(n):
        for c in range(block.shape[1]):
            j, m = (first + c) // nz, (first + c) % nz
            index0 = i if axis0 == 0 else (j if axis0 == 1 else m)
            index1 = i if axis1 == 0 else (j if axis1 == 1 else m)
            k = kf * _signed(index0, n) * kf * _signed(index1, n)
            if axis0 != axis1 and (2 * index0 == n or 2 * index1 == n):
                k = 0.0
            block[i, c] *= np.float32(-k)


@njit(parallel=True, cache=True)
def divergence(psi_k, first, kf, scale, out):
    """Write scale * sum_axis i k_axis psi_k[axis] to `out`, rows along y from number `first`."""
    n = out.shape[0]
    for i in prange(n):
        kx = 0.0 if 2 * i == n else kf * _signed(i, n)
        for j in range(out.shape[1]):
            ky = 0.0 if 2 * (first + j) == n else kf * _signed(first + j, n)
            for m in range(out.shape[2]):
                kz = 0.0 if 2 * m == n else kf * m
                dot = kx * psi_k[0, i, j, m] + ky * psi_k[1, i, j, m] + kz * psi_k[2, i, j, m]
                out[i, j, m] = np.complex64(scale * complex(-dot.imag, dot.real))


@njit(cache=True, nogil=True, fastmath=True)
def gaussian_filter(block, first, kf, radius, scale):
    """Multiply columns in place by scale * exp(-(k radius)^2 / 2), see `inverse_laplacian`."""
    n = block.shape[0]
    nz = n // 2 + 1
    factor_yz = np.empty(block.shape[1], np.float32)
    for c in range(block.shape[1]):
        ky, kz = kf * _signed((first + c) // nz, n), kf * ((first + c) % nz)
        factor_yz[c] = scale * np.exp(-0.5 * (ky * ky + kz * kz) * radius * radius)
    for i in range(n):
        factor_x = np.float32(np.exp(-0.5 * (kf * _signed(i, n) * radius) ** 2))
        for c in range(block.shape[1]):
            block[i, c] *= factor_x * factor_yz[c]


@njit(parallel=True, cache=True)
def binned_power(a_k, b_k, first, kf, window_order):
    """Sums over the modes of each shell int(|k| / kf), both halves of Fourier space counted.

    Parameters
    ----------
    a_k, b_k : array (n, rows, n//2+1) complex64
        Modes, some of the rows along y.
    first : int
        Number of their first row.
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
    sums = np.zeros((CHUNKS, 5, shells))
    for chunk in prange(CHUNKS):
        _add_power(a_k, b_k, first, kf, window, chunk, sums[chunk])
    return sums.sum(axis=0)


@njit(cache=True)
def _add_power(a_k, b_k, first, kf, window, chunk, sums):
    """Add a chunk of the planes to the sums of `binned_power`."""
    n, shells = a_k.shape[0], sums.shape[1]
    for i in range(chunk * n // CHUNKS, (chunk + 1) * n // CHUNKS):
        si = _signed(i, n)
        for j in range(a_k.shape[1]):
            sj = _signed(first + j, n)
            for m in range(a_k.shape[2]):
                k = np.sqrt(float(si * si + sj * sj + m * m))
                shell = int(k)
                if shell >= shells:
                    continue
                twice = 1.0 if m == 0 or 2 * m == n else 2.0
                w = twice / (window[i] * window[first + j] * window[m]) ** 2
                a, b = a_k[i, j, m], b_k[i, j, m]
                sums[0, shell] += twice
                sums[1, shell] += twice * k * kf
                sums[2, shell] += w * (a.real * a.real + a.imag * a.imag)
                sums[3, shell] += w * (b.real * b.real + b.imag * b.imag)
                sums[4, shell] += w * (a.real * b.real + a.imag * b.imag)
