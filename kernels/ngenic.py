"""Gaussian modes as N-GenIC draws them from a seed: those of 2LPTic and of the codes that follow.

Random numbers are those of RANLUX in double precision at its first level of luxury (Luescher 1994,
arXiv:hep-lat/9309020), which the GNU Scientific Library calls ranlxd1: integers below 2^48 with
x_n = x_{n-5} - x_{n-12} - borrow, of which each 202 end with twelve that are used. One generator,
of the seed, draws a seed for each line of modes along z; a generator of that seed draws a phase and
an amplitude for each of the line's modes, from k_z = 0 on.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

KEPT, DRAWN, LAG = 12, 202, 5
"""Numbers of a state, numbers drawn for them to be new, and the short lag of the recurrence."""
BASE = 1 << 48
BITS, TAP = 31, 18
"""Bits of a seed, and the lag of the shift register that fills the first state with them."""


@njit(cache=True)
def start(state, seed):
    """Fill the state (12) int64 of a generator from a seed of 31 bits, of which 0 means 1."""
    bits = np.empty(BITS, np.int64)
    for b in range(BITS):
        bits[b] = (max(seed, 1) >> b) & 1
    at = 0
    for i in range(KEPT):
        state[i] = 0
        for _ in range(48):
            state[i] = 2 * state[i] + 1 - bits[at]
            bits[at] ^= bits[(at + TAP) % BITS]
            at = (at + 1) % BITS


@njit(cache=True)
def renew(state, oldest, borrow):
    """Draw 202 numbers, the last twelve of which are the new state.

    Parameters
    ----------
    state : array (12,) int64
        A ring, replaced.
    oldest : int
        Where its oldest number stands.
    borrow : int
        0 or 1, of the number before.

    Returns
    -------
    int
        Where the oldest number of the new state stands.
    int
        The borrow of its newest.
    """
    for _ in range(DRAWN):
        x = state[(oldest + KEPT - LAG) % KEPT] - state[oldest] - borrow
        borrow = np.int64(x < 0)
        state[oldest] = x + BASE * borrow
        oldest = (oldest + 1) % KEPT
    return oldest, borrow


@njit(cache=True)
def uniform(out, seed):
    """Fill `out` (any number,) float64 with a seed's numbers in [0, 1)."""
    state = np.empty(KEPT, np.int64)
    start(state, seed)
    oldest, borrow = 0, 0
    for first in range(0, out.size, KEPT):
        oldest, borrow = renew(state, oldest, borrow)
        for i in range(first, min(first + KEPT, out.size)):
            out[i] = state[(oldest + i - first) % KEPT] / BASE


@njit(cache=True)
def line_seeds(numbers, n):
    """Seeds of the lines along z, array (n, n) int64 over the wavevectors' x and y.

    Squares about the corners grow by a row and a column each, so that a wavevector has the same
    seed whatever n.

    Parameters
    ----------
    numbers : array (n * n,) float64
        Of the generator of the seed itself.
    n : int
        Even.
    """
    seeds, drawn = np.empty((n, n), np.int64), 0
    for i in range(n // 2):
        for corner in range(4):
            for turned in range(2):
                for j in range(i + turned):
                    a, b = (j, i) if turned else (i, j)
                    # the second corner is that of negative x, the third that of negative y
                    a, b = n - 1 - a if corner & 1 else a, n - 1 - b if corner & 2 else b
                    seeds[a, b] = np.int64(0x7FFFFFFF * numbers[drawn])
                    drawn += 1
    return seeds


@njit(inline="always")
def _mode(phase, amplitude, fixed_amplitude):
    """A mode of unit variance from two numbers in [0, 1)."""
    r = 1.0 if fixed_amplitude else np.sqrt(-np.log(max(amplitude, 0.5 / BASE)))
    return complex(r * np.cos(2.0 * np.pi * phase), r * np.sin(2.0 * np.pi * phase))


@njit(parallel=True, cache=True)
def gaussian_modes(out, first, seeds, fixed_amplitude):
    """Fill `out` with Hermitian unit-variance Gaussian modes.

    Parameters
    ----------
    out : array (n, rows, n//2+1) complex64
        Overwritten. The zero mode and the Nyquist planes are set to zero.
    first : int
        Number of the first of the rows along y.
    seeds : array (n, n) int64
        Of `line_seeds`.
    fixed_amplitude : bool
        Set every |z| to one and keep the phase.
    """
    n, half = out.shape[0], out.shape[0] // 2
    for a in prange(n):
        numbers = np.empty(2 * half)
        for row in range(out.shape[1]):
            b = first + row
            out[a, row, :] = 0.0
            if a == half or b == half:
                continue
            uniform(numbers, seeds[a, b])
            for m in range(1, half):
                mode = _mode(numbers[2 * m], numbers[2 * m + 1], fixed_amplitude)
                out[a, row, m] = np.complex64(mode)
            if a == 0 and b == 0:
                continue
            if a > half or (a == 0 and b > half):
                uniform(numbers[:2], seeds[(n - a) % n, (n - b) % n])
                mode = np.conj(_mode(numbers[0], numbers[1], fixed_amplitude))
            else:
                mode = _mode(numbers[0], numbers[1], fixed_amplitude)
            out[a, row, 0] = np.complex64(mode)
