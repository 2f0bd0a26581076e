"""Pixels of HEALPix maps, in ring order (Gorski et al. 2005, astro-ph/0409513)."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_ATAN = tuple(
    np.float32(c)
    for c in (
        0.6366197719672928,
        -0.21220642246511276,
        0.12731238735379616,
        -0.09065168046772668,
        0.06728962008703954,
        -0.03836465062249857,
    )
)
"""Coefficients in x^2 of 2 atan(x) / (pi x) up to x = tan(pi / 8), from Chebyshev's points."""
_EIGHTH = np.float32(0.41421356237309503)
"""tan(pi / 8)."""
_QUARTER, _HALF, _BELT, _THREE_QUARTERS = (np.float32(x) for x in (0.25, 0.5, 2.0 / 3.0, 0.75))
_ONE, _TWO, _THREE, _FOUR = (np.float32(x) for x in (1.0, 2.0, 3.0, 4.0))
_ZERO, _TINY = np.float32(0.0), np.float32(1e-30)


@njit(cache=True, error_model="numpy", forceinline=True)
def _quarters(x, y):
    """The angle of (x, y) in quarters of a turn, from 0 to less than 4; float32 all."""
    across, up = abs(x), abs(y)
    low, high = (up, across) if across > up else (across, up)
    steep = low > _EIGHTH * high
    tangent = (low - high if steep else low) / (low + high if steep else high + _TINY)
    z = tangent * tangent
    series = _ATAN[4] + z * _ATAN[5]
    series = _ATAN[2] + z * (_ATAN[3] + z * series)
    series = _ATAN[0] + z * (_ATAN[1] + z * series)
    angle = tangent * series + (_HALF if steep else _ZERO)
    angle = _ONE - angle if up > across else angle
    angle = _TWO - angle if x < _ZERO else angle
    angle = _FOUR - angle if y < _ZERO else angle
    return _ZERO if angle >= _FOUR else angle


@njit(cache=True, error_model="numpy", forceinline=True)
def ring_pixel(n, x, y, z):
    """The pixel in whose direction (x, y, z) is, int32; one of the equator for no direction.

    In float32, as n, which is n_side: directions are good to 2e-7, a thousandth of the smallest
    pixels there are. What holds on the belt and on the caps is computed for all, for the compiler
    makes branches of choices between much, and then does one at a time.
    """
    square = x * x + y * y
    all_squares = square + z * z + _TINY
    r = math.sqrt(all_squares)
    height = z / r
    quarter = _quarters(x, y)
    steep = abs(height)
    # the belt
    up = np.floor(n * (_HALF + quarter - _THREE_QUARTERS * height))
    down = np.floor(n * (_HALF + quarter + _THREE_QUARTERS * height))
    belt_ring = n + _ONE + up - down
    odd = belt_ring - _TWO * np.floor(_HALF * belt_ring)
    belt_turn = np.floor(_HALF * (up + down - n + _TWO - odd))
    belt_turn -= _FOUR * n * np.floor(belt_turn * (_QUARTER / n))  # n is a power of two
    # the caps
    part = quarter - np.floor(quarter)
    radius = n * math.sqrt(_THREE * square / (all_squares + r * abs(z)))
    ring = np.floor(part * radius) + np.floor((_ONE - part) * radius) + _ONE
    ring = n if ring > n else ring
    turn = np.floor(quarter * ring)
    turn = turn - _FOUR * ring if turn >= _FOUR * ring else turn
    # numbers of pixels, beyond what float32 knows
    side, i, j = np.int32(n), np.int32(ring), np.int32(belt_ring)
    belt = 2 * side * (side - 1) + (j - 1) * 4 * side + np.int32(belt_turn)
    north = 2 * i * (i - 1) + np.int32(turn)
    south = 12 * side * side - 2 * i * (i + 1) + np.int32(turn)
    cap = np.int32(south) + np.int32(height > _ZERO) * np.int32(north - south)
    return np.int32(belt + np.int32(steep > _BELT) * np.int32(cap - belt))
