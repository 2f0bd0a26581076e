"""Where particles cross an observer's light cone, and HEALPix maps of them.

Lattice sites of all copies of the box are numbered without end, site (i, j, l) at cell * (i, j, l).
Pixels are in ring order (Gorski et al. 2005, astro-ph/0409513).
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

NEWTON_STEPS = 4
"""Particles are so slow that each step of Newton's leaves a thousandth of the error."""


@njit(cache=True)
def ring_pixel(n_side, x, y, z):
    """The pixel in whose direction (x, y, z) is; that of the pole for no direction."""
    transverse = np.hypot(x, y)
    r = np.hypot(transverse, z)
    if r == 0.0:
        return 0
    height = z / r
    quarter = np.arctan2(y, x) * (2.0 / np.pi)
    if quarter < 0.0:
        quarter += 4.0
    if quarter >= 4.0:
        quarter = 0.0
    steep = abs(height)
    if steep <= 2.0 / 3.0:
        up = int(n_side * (0.5 + quarter - 0.75 * height))
        down = int(n_side * (0.5 + quarter + 0.75 * height))
        ring = n_side + 1 + up - down
        turn = (up + down - n_side + 2 - (ring & 1)) // 2 % (4 * n_side)
        return 2 * n_side * (n_side - 1) + (ring - 1) * 4 * n_side + turn
    part = quarter - int(quarter)
    radius = n_side * transverse / r * np.sqrt(3.0 / (1.0 + steep))
    ring = min(int(part * radius) + int((1.0 - part) * radius) + 1, n_side)
    turn = int(quarter * ring) % (4 * ring)
    if height > 0.0:
        return 2 * ring * (ring - 1) + turn
    return 12 * n_side * n_side - 2 * ring * (ring + 1) + turn


@njit(parallel=True, cache=True)
def row_reach(disp, lattice):
    """How far the particles of each row of a lattice (nx, ny, nz) are from their sites at most,
    array (nx, ny)."""
    nx, ny, nz = lattice
    reach = np.empty((nx, ny))
    for row in prange(nx * ny):
        most = 0.0
        for p in range(row * nz, (row + 1) * nz):
            square = float(disp[0, p]) ** 2 + float(disp[1, p]) ** 2 + float(disp[2, p]) ** 2
            most = max(most, square)
        reach[row // ny, row % ny] = np.sqrt(most)
    return reach


@njit(cache=True)
def _row_sites(i, j, cell, observer, near, far):
    """Ranges of l, two of them and the second perhaps empty, between two distances of the
    observer."""
    square = (i * cell - observer[0]) ** 2 + (j * cell - observer[1]) ** 2
    if far <= 0.0 or square >= far * far:
        return 0, 0, 0, 0
    outer = np.sqrt(far * far - square)
    low = int(np.ceil((observer[2] - outer) / cell))
    high = int(np.floor((observer[2] + outer) / cell)) + 1
    if near <= 0.0 or square >= near * near:
        return low, high, high, high
    inner = np.sqrt(near * near - square)
    below = int(np.floor((observer[2] - inner) / cell)) + 1
    above = max(int(np.ceil((observer[2] + inner) / cell)), below)
    return low, below, above, high


@njit(cache=True)
def _length(x):
    return np.sqrt(x[0] * x[0] + x[1] * x[1] + x[2] * x[2])


@njit(cache=True)
def _crossing(x, v, y, w, H, path, at, speed):
    """The part of an interval that has passed when a particle crosses the cone; where it is then,
    and its velocity, in `at` and `speed`.

    Its path is the cubic through position and velocity, x and v and then y and w, at the ends of
    an interval H in D; `path` has the cone's radius and dchi/dD at the ends.
    """
    chi_a, slope_a, chi_b, slope_b = path
    gap = chi_a - _length(x)
    t = gap / (gap + _length(y) - chi_b)
    for step in range(NEWTON_STEPS + 1):
        rise, slope = t * t * (3 - 2 * t), 6 * t * (1 - t) / H
        a, b = H * t * (1 - t) ** 2, H * t * t * (t - 1)
        da, db = (1 - t) * (1 - 3 * t), t * (3 * t - 2)
        along = 0.0
        for c in range(3):
            at[c] = (1 - rise) * x[c] + rise * y[c] + a * v[c] + b * w[c]
            speed[c] = slope * (y[c] - x[c]) + da * v[c] + db * w[c]
            along += at[c] * speed[c]
        r = _length(at)
        if step == NEWTON_STEPS or r == 0.0:
            break
        chi = (1 - rise) * chi_a + rise * chi_b + a * slope_a + b * slope_b
        fall = slope * (chi_b - chi_a) + da * slope_a + db * slope_b
        t = min(max(t - (r - chi) / (H * (along / r - fall)), 0.0), 1.0)
    return t


@njit(cache=True)
def _cross_row(row, sites, start, ranges, before, after, q, cell, H, path, octant, out):
    """Try the particles of a row of the lattice, of which the first are at `start`; see
    `crossings`."""
    n, n_side = sites
    (disp_a, vel_a), (disp_b, vel_b) = before, after
    pixel, at, particle = out
    low, below, above, high = ranges
    x, v, y, w = np.empty(3), np.empty(3), np.empty(3), np.empty(3)
    here, speed = np.empty(3), np.empty(3)
    for l in range(low, high):
        if below <= l < above:
            continue
        p = start + l % n
        x[0], x[1], x[2] = q[0], q[1], l * cell + q[2]
        for c in range(3):
            y[c] = x[c] + disp_b[c, p]
            x[c] += disp_a[c, p]
        if _length(x) < path[0] and _length(y) >= path[2]:
            for c in range(3):
                v[c], w[c] = vel_a[c, p], vel_b[c, p]
            t = _crossing(x, v, y, w, H, path, here, speed)
            if not octant or min(here[0], here[1], here[2]) >= 0.0:
                along = 0.0
                for c in range(3):
                    at[row, c], at[row, 3 + c] = here[c], speed[c]
                    along += here[c] * speed[c]
                at[row, 6], at[row, 7] = along / max(_length(here), 1e-30), t
                pixel[row] = ring_pixel(n_side, here[0], here[1], here[2])
                particle[row] = p
                row += 1


@njit(cache=True)
def candidates(reach, box, planes, observer, chi_a, chi_b):
    """Where in a list of all particles that may cross between two radii of the cone those of each
    row of the lattice begin.

    Parameters
    ----------
    reach : array (nx, n) float64
        How far this rank's particles are from their sites at most, see `row_reach`.
    box : tuple of int, int and float
        Lattice planes before this rank's, points per dimension n, and their distance in Mpc/h.
    planes : array (P,) int64
        Numbers of the lattice planes to search, all copies of this rank's.
    observer : array (3,) float64
    chi_a, chi_b : float
        From the larger to the smaller.

    Returns
    -------
    rows : array (R, 6) int64
        Of each row that has any: i, j and the two ranges of l.
    ends : array (R + 1,) int64
    """
    first, n, cell = box
    widest = chi_a + reach.max() + 1.0
    j_low = int(np.ceil((observer[1] - widest) / cell))
    j_high = int(np.floor((observer[1] + widest) / cell)) + 1
    rows = np.empty((len(planes) * max(j_high - j_low, 0), 6), np.int64)
    ends = np.zeros(len(rows) + 1, np.int64)
    k = 0
    for i in planes:
        for j in range(j_low, j_high):
            away = reach[i % n - first, j % n] + 1e-3
            ranges = _row_sites(i, j, cell, observer, chi_b - away, chi_a + away)
            low, below, above, high = ranges
            if below - low + high - above > 0:
                rows[k, 0], rows[k, 1] = i, j
                rows[k, 2], rows[k, 3], rows[k, 4], rows[k, 5] = low, below, above, high
                ends[k + 1] = ends[k] + below - low + high - above
                k += 1
    return rows[:k], ends[: k + 1]


@njit(parallel=True, cache=True)
def crossings(rows, ends, before, after, box, observer, H, path, octant, n_side, out):
    """Find particles that cross the cone in an interval.

    One crosses that is inside the cone at the interval's start and not at its end.

    Parameters
    ----------
    rows, ends : arrays
        From `candidates`.
    before, after : tuple of two arrays (3, N) float32
        Displacement and velocity dx/dD at the ends, Mpc/h.
    box, observer
        See `candidates`.
    H : float
        The interval in D.
    path : tuple of float
        Radius of the cone and its derivative in D at the start, and at the end.
    octant : bool
        Only particles that are in the positive octant from the observer.
    n_side : int
    out : tuple of arrays
        Pixels (M,) int64, -1 before; (M, 8) float32 for position from the observer in Mpc/h,
        velocity dx/dD, its radial part, and the part of the interval that has passed; and numbers
        of particles among this rank's, (M,) int64. Each has a place for each candidate.
    """
    first, n, cell = box
    for r in prange(len(rows)):
        i, j = rows[r, 0], rows[r, 1]
        start = ((i % n - first) * n + j % n) * n
        q = (i * cell - observer[0], j * cell - observer[1], -observer[2])
        ranges = (rows[r, 2], rows[r, 3], rows[r, 4], rows[r, 5])
        _cross_row(
            ends[r], (n, n_side), start, ranges, before, after, q, cell, H, path, octant, out
        )


@njit(parallel=True, cache=True)
def paint(pixel, values, parts, counts, sums):
    """Add particles to a map: one to its pixel's count, its value to the sum.

    The pixels are parted among threads, so that nobody adds where another one does, and sums are
    the same for any number of threads.

    Parameters
    ----------
    pixel : array (M,) int64
    values : array (M,) float64
    parts : int
        Of the map, each painted by one thread.
    counts : array (n_pixels,) int32
    sums : array (n_pixels,) or (0,) float64
        None are made where it is empty.
    """
    for part in prange(parts):
        low, high = counts.size * part // parts, counts.size * (part + 1) // parts
        for k in range(pixel.size):
            if low <= pixel[k] < high:
                counts[pixel[k]] += 1
                if sums.size:
                    sums[pixel[k]] += values[k]
