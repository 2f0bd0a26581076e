"""Gaussian modes from a counter: the value at a wavevector depends on it and the seed alone.

Random bits are Philox4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405) with the
seed as key and the integer wavevector as counter; so a mode is the same whatever the
resolution, and whichever rank or thread draws it.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange, uint32, uint64


@njit(cache=True)
def philox4x32(c0, c1, c2, c3, k0, k1):
    """Ten rounds of Philox4x32: four 32-bit counters and two key words to four random words."""
    low = uint64(0xFFFFFFFF)
    x0, x1, x2, x3 = uint64(c0), uint64(c1), uint64(c2), uint64(c3)
    a, b = uint64(k0), uint64(k1)
    for _ in range(10):
        p = uint64(0xD2511F53) * x0
        q = uint64(0xCD9E8D57) * x2
        x0, x1, x2, x3 = (
            (q >> uint64(32)) ^ x1 ^ a,
            q & low,
            (p >> uint64(32)) ^ x3 ^ b,
            p & low,
        )
        a = (a + uint64(0x9E3779B9)) & low
        b = (b + uint64(0xBB67AE85)) & low
    return uint32(x0), uint32(x1), uint32(x2), uint32(x3)


@njit(inline="always")
def _mode(i, j, m, k0, k1):
    """Complex Gaussian of unit variance <|z|^2> = 1 at wavevector (i, j, m), by Box-Muller."""
    r0, r1, r2, r3 = philox4x32(i & 0xFFFFFFFF, j & 0xFFFFFFFF, m, 0, k0, k1)
    u = (float(r0) * 2.0**-32 + float(r1) + 0.5) * 2.0**-32
    v = (float(r2) * 2.0**-32 + float(r3) + 0.5) * 2.0**-32
    r = np.sqrt(-np.log(min(u, 1.0 - 2.0**-53)))  # u rounds to one or more once in 2^33 draws
    return r * np.cos(2.0 * np.pi * v), r * np.sin(2.0 * np.pi * v)


@njit(parallel=True, cache=True)
def gaussian_modes(out, first, seed, fixed_amplitude):
    """Fill `out` with Hermitian unit-variance Gaussian modes.

    Parameters
    ----------
    out : array (n, rows, n//2+1) complex64
        Overwritten. The zero mode and the Nyquist planes are set to zero.
    first : int
        Number of the first of the rows along y.
    seed : int
        Non-negative, below 2^63.
    fixed_amplitude : bool
        Set every |z| to one and keep the phase (Angulo & Pontzen 2016).
    """
    n = out.shape[0]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32
    for a in prange(n):
        i = np.int64(a) if a < n // 2 else np.int64(a) - n
        for row in range(out.shape[1]):
            b = first + row
            j = np.int64(b) if b < n // 2 else np.int64(b) - n
            for m in range(out.shape[2]):
                if 2 * a == n or 2 * b == n or 2 * m == n or (i == 0 and j == 0 and m == 0):
                    out[a, row, m] = 0.0
                    continue
                conjugate = m == 0 and (i < 0 or (i == 0 and j < 0))
                if conjugate:
                    re, im = _mode(-i, -j, 0, k0, k1)
                    im = -im
                else:
                    re, im = _mode(i, j, m, k0, k1)
                if fixed_amplitude:
                    r = np.sqrt(re * re + im * im)
                    re, im = re / r, im / r
                out[a, row, m] = np.complex64(complex(re, im))
