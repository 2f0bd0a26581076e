"""Where particles cross an observer's light cone, and HEALPix maps of them.

Lattice sites of all copies of the box are numbered without end, site (i, j, l) at cell * (i, j, l).
What is done for each particle of a row of the lattice is without branches and calls, for the
compiler to do several at once.
"""

from __future__ import annotations

import math

import numpy as np
from coca.kernels.healpix import ring_pixel
from numba import njit, prange

NEWTON_STEPS = 2
"""Newton's steps with the place: each leaves a thousandth of the error, particles are so slow."""
CONE_SLACK = 1e-2
"""Mpc/h by which cones are wider where particles are chosen to be tried: more than round-off."""
_ONE = np.float32(1.0)


@njit(cache=True)
def _weights(t, H):
    """Weights in Hermite's cubic, at a part t of an interval H, of positions and velocities at its
    start and its end; at t of 0 and 1 the ends' positions alone, without round-off."""
    rise = t * t * (3.0 - 2.0 * t)
    return 1.0 - rise, H * t * (1.0 - t) ** 2, rise, H * t * t * (t - 1.0)


@njit(parallel=True, cache=True)
def row_reach(before, after, H, lattice):
    """How far from their sites the particles of each row of a lattice (nx, ny, nz) come at most in
    an interval: no farther than the four points that span their cubics; array (nx, ny).

    Parameters are as for `crossings`.
    """
    nx, ny, nz = lattice
    (disp_a, vel_a), (disp_b, vel_b) = before, after
    reach = np.empty((nx, ny))
    third = H / 3.0
    for row in prange(nx * ny):
        most = 0.0
        for p in range(row * nz, (row + 1) * nz):
            start = end = leaving = coming = 0.0
            for c in range(3):
                x, y = float(disp_a[c, p]), float(disp_b[c, p])
                start += x * x
                end += y * y
                leaving += (x + third * vel_a[c, p]) ** 2
                coming += (y - third * vel_b[c, p]) ** 2
            most = max(most, max(max(start, end), max(leaving, coming)))
        reach[row // ny, row % ny] = math.sqrt(most)
    return reach


@njit(cache=True, error_model="numpy")
def _along_cone(x, y, window, away, edge):
    """Ends along z of the part of a line at (x, y) that is within `away` of a cone of less than
    half the sky, or further than that inside of what a larger one leaves; between -edge and edge.

    With h along the axis and t off it, points of the first have c t <= away + s h, those of the
    second -c t <= -(away + s h), c and s cosine and sine of the cone. Both are convex: a range of
    z, which the roots of the squares' difference bound.
    """
    nx, ny, nz, c, s = window[6], window[7], window[8], window[9], window[10]
    sign, m = (1.0 if c >= 0.0 else -1.0), x * nx + y * ny
    at_0 = away + s * m
    k2 = nz * nz - c * c
    k1 = at_0 * s * nz + c * c * m * nz
    k0 = at_0 * at_0 - c * c * (x * x + y * y - m * m)
    one = other = 0.0
    q = -(k1 + math.copysign(math.sqrt(max(k1 * k1 - k2 * k0, 0.0)), k1))
    if q != 0.0:
        one, other = q / k2, k0 / q
    below = min(max(min(one, other), -edge), edge)
    above = min(max(max(one, other), -edge), edge)
    low, high = edge, -edge
    for a, b in ((-edge, below), (below, above), (above, edge)):
        z = 0.5 * (a + b)
        inside = k2 * z * z + 2.0 * k1 * z + k0 >= 0.0 and sign * (at_0 + s * nz * z) >= 0.0
        if b > a and inside:
            low, high = min(low, a), max(high, b)
    return low, high


@njit(cache=True)
def _clipped(begin, end, first, last):
    """A range within another."""
    begin = max(begin, first)
    return begin, max(min(end, last), begin)


@njit(cache=True)
def _without(begin, end, first, last):
    """A range without another, but where it would fall in two."""
    if first <= begin:
        return min(max(begin, last), end), end
    return begin, (min(first, end) if last >= end else end)


@njit(cache=True)
def _row_sites(i, j, cell, observer, near, far, window, away):
    """Ranges of l, two of them and the second perhaps empty, of sites between two distances of the
    observer and within `away` of a window."""
    low, below, above, high = _row_shell(i, j, cell, observer, near, far)
    if low >= high:
        return low, below, above, high
    z = observer[2]
    first = int(np.ceil((z + (window[2] - away)) / cell))
    last = int(np.floor((z + (window[5] + away)) / cell)) + 1
    low, below = _clipped(low, below, first, last)
    above, high = _clipped(above, high, first, last)
    if window[9] > -1.0:
        x, y = i * cell - observer[0], j * cell - observer[1]
        a, b = _along_cone(x, y, window, away + CONE_SLACK, far)
        first, last = int(np.ceil((z + a) / cell)), int(np.floor((z + b) / cell)) + 1
        if window[9] >= 0.0:
            low, below = _clipped(low, below, first, last)
            above, high = _clipped(above, high, first, last)
        elif first < last:
            low, below = _without(low, below, first, last)
            above, high = _without(above, high, first, last)
    return low, below, above, high


@njit(cache=True)
def _row_shell(i, j, cell, observer, near, far):
    """Ranges of l, two of them and the second perhaps empty, between two distances of the
    observer."""
    square = (i * cell - observer[0]) ** 2 + (j * cell - observer[1]) ** 2
    if far <= 0.0 or square >= far * far:
        return 0, 0, 0, 0
    outer = math.sqrt(far * far - square)
    low = int(np.ceil((observer[2] - outer) / cell))
    high = int(np.floor((observer[2] + outer) / cell)) + 1
    if near <= 0.0 or square >= near * near:
        return low, high, high, high
    inner = math.sqrt(near * near - square)
    below = int(np.floor((observer[2] - inner) / cell)) + 1
    above = max(int(np.ceil((observer[2] + inner) / cell)), below)
    return low, below, above, high


@njit(cache=True)
def _copies(site, n, cell, low, high):
    """Sites of a lattice's copies along an axis between two places, as a range."""
    first = int(np.ceil((low / cell - site) / n))
    last = int(np.floor((high / cell - site) / n))
    return range(site + first * n, site + (last + 1) * n, n)


@njit(parallel=True, cache=True)
def candidates(reach, box, observer, chi_a, chi_b, window):
    """Numbers of particles, of all copies, that may cross between two radii of the cone, for each
    row of the lattice; array (nx * n,) int64.

    Parameters
    ----------
    reach : array (nx, n) float64
        How far this rank's particles are from their sites at most, see `row_reach`.
    box : tuple of int, int and float
        Lattice planes before this rank's, points per dimension n, and their distance in Mpc/h.
    observer : array (3,) float64
    chi_a, chi_b : float
        From the larger to the smaller.
    window : array (11,) float64
        See `coca.light_cone.replicas.View`.
    """
    first, n, cell = box
    low, high = window[:3], window[3:6]
    counts = np.zeros(reach.size, np.int64)
    for row in prange(reach.size):
        away = reach[row // n, row % n] + 1e-3
        near, far = chi_b - away, chi_a + away
        x, y = observer[0], observer[1]
        for i in _copies(first + row // n, n, cell, x + (low[0] - away), x + (high[0] + away)):
            for j in _copies(row % n, n, cell, y + (low[1] - away), y + (high[1] + away)):
                a, b, c, d = _row_sites(i, j, cell, observer, near, far, window, away)
                counts[row] += b - a + d - c
    return counts


@njit(cache=True)
def _row_paths(before, after, H, parts, start, paths):
    """Displacements of a row of particles at two parts of an interval, and how far they are bent
    in between, into `paths` (9, n)."""
    (disp_a, vel_a), (disp_b, vel_b) = before, after
    t_a, t_b = parts
    a0, a1, a2, a3 = _weights(t_a, H)
    b0, b1, b2, b3 = _weights(t_b, H)
    m0, m1, m2, m3 = _weights(0.5 * (t_a + t_b), H)
    end = start + paths.shape[1]
    for c in range(3):
        xs, vs = disp_a[c][start:end], vel_a[c][start:end]
        ys, ws = disp_b[c][start:end], vel_b[c][start:end]
        ats_a, ats_b, bends = paths[c], paths[3 + c], paths[6 + c]
        for k in range(xs.size):
            x, v, y, w = float(xs[k]), float(vs[k]), float(ys[k]), float(ws[k])
            at_a = a0 * x + a1 * v + a2 * y + a3 * w
            at_b = b0 * x + b1 * v + b2 * y + b3 * w
            middle = m0 * x + m1 * v + m2 * y + m3 * w
            ats_a[k], ats_b[k] = at_a, at_b
            bends[k] = 2.0 * (at_a + at_b - 2.0 * middle)


@njit(cache=True)
def _place(low, own, x, y, cell, z, ramp, paths, tried, begin, end):
    """Put particles of sites l in a row, from `low` on, which is number `own` of the row, among
    those to be tried, (9, M) for what `paths` has: from the observer, who is at z along the row; x
    and y are the row's."""
    m, first = end - begin, float(low)
    for c in range(9):
        to, of = tried[c][begin:end], paths[c][own : own + m]
        if c >= 6:
            for k in range(to.size):
                to[k] = of[k]
        elif c % 3 == 2:
            for k in range(to.size):
                to[k] = ((first + ramp[k]) * cell - z) + of[k]
        else:
            site = y if c % 3 else x
            for k in range(to.size):
                to[k] = site + of[k]


@njit(cache=True)
def _leave_out(site, n, own, cell, cube, paths, tried, where, far):
    """Put images of particles that are not in a cube at the piece's start where none crosses; by
    numbers of boxes, so that of all images of a particle one is in it."""
    begin, end = where
    side = cube[3]
    for k in range(end - begin):
        outside = False
        for c in range(3):
            here = site[c] % n if c < 2 else own + k
            boxes = np.floor((here * cell + paths[c][own + k] - cube[c]) / side)
            outside |= int(boxes) + site[c] // n != 0
        if outside:
            for c in range(6):
                tried[c][begin + k] = 2.0 * far


@njit(cache=True, error_model="numpy", forceinline=True)
def _newton(s, start, rise, chi_a, k1, k2, k3):
    """A step of Newton's to where start + rise s is the cone's radius."""
    ahead = start + s * rise - (chi_a + s * (k1 + s * (k2 + s * k3)))
    return s - ahead / (rise - (k1 + s * (2.0 * k2 + s * (3.0 * k3))))


@njit(cache=True, error_model="numpy")
def _try(tried, path, turn, n_side, pixel, passed):
    """Pixels of particles, or -1, and the part of the piece of path that has passed.

    `path` has the cone's radius at the ends, and the coefficients of the cubic that says when it is
    smaller by so much than at the start. The part is found in two steps, as if distances changed
    evenly: particles move so little in a piece that where they are is not changed by 1e-4 Mpc/h.
    """
    chi_a, chi_b, k1, k2, k3 = (
        np.float32(path[0]), np.float32(path[1]), np.float32(path[2]), np.float32(path[3]),
        np.float32(path[4]),
    )  # fmt: skip
    n, x, y, z = np.float32(n_side), int(turn[0]), int(turn[1]), int(turn[2])
    sign0, sign1, sign2 = np.float32(turn[3]), np.float32(turn[4]), np.float32(turn[5])
    least, axis0, axis1, axis2, cosine = (
        np.float32(turn[6]), np.float32(turn[7]), np.float32(turn[8]), np.float32(turn[9]),
        np.float32(turn[10]),
    )  # fmt: skip
    at0, at1, at2 = tried[x], tried[y], tried[z]
    to0, to1, to2 = tried[3 + x], tried[3 + y], tried[3 + z]
    bend0, bend1, bend2 = tried[6 + x], tried[6 + y], tried[6 + z]
    for k in range(pixel.size):
        a0, a1, a2, b0, b1, b2 = at0[k], at1[k], at2[k], to0[k], to1[k], to2[k]
        r_a = math.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
        r_b = math.sqrt(b0 * b0 + b1 * b1 + b2 * b2)
        gap = chi_a - r_a
        s = gap * (k1 + gap * (k2 + gap * k3))
        gap -= s * (r_b - r_a)
        s = gap * (k1 + gap * (k2 + gap * k3))
        bend = s * (s - _ONE)
        h0 = sign0 * (a0 + s * (b0 - a0) + bend * bend0[k])
        h1 = sign1 * (a1 + s * (b1 - a1) + bend * bend1[k])
        h2 = sign2 * (a2 + s * (b2 - a2) + bend * bend2[k])
        seen = (h0 >= least) & (h1 >= least) & (h2 >= least)
        r = math.sqrt(h0 * h0 + h1 * h1 + h2 * h2)
        seen &= axis0 * h0 + axis1 * h1 + axis2 * h2 >= cosine * r
        seen &= (r_a < chi_a) & (r_b >= chi_b)
        pixel[k] = np.int32(np.int32(seen) * (ring_pixel(n, h0, h1, h2) + 1) - 1)
        passed[k] = s


@njit(cache=True, forceinline=True)
def _of_velocity(t, H, evenly):
    """Weights in the velocity at a part t of an interval H of displacements and velocities at its
    start and its end: those of the cubic's derivative, or of velocities that change evenly."""
    slope = 0.0 if evenly else 6.0 * t * (1.0 - t) / H
    first = 1.0 - t if evenly else (1.0 - t) * (1.0 - 3.0 * t)
    last = t if evenly else t * (3.0 * t - 2.0)
    return -slope, first, slope, last


@njit(cache=True, forceinline=True)
def _note(motion, distance, radial, t, units):
    """Write the motion of a particle that crosses, see `crossings`."""
    shift = radial * (units[2] + t * (units[3] - units[2]))
    motion[0] = radial * (units[0] + t * (units[1] - units[0]))
    motion[1] = distance + min(max(shift, -units[4]), units[4])
    motion[2] = t


@njit(cache=True, error_model="numpy")
def _move(tried, before, after, H, parts, units, evenly, pixel, passed, particle, motion):
    """How fast particles are along the line of sight where they cross; see `crossings`."""
    (disp_a, vel_a), (disp_b, vel_b) = before, after
    for k in range(pixel.size):
        if pixel[k] < 0:
            continue
        p, s = particle[k], passed[k]
        bend, t = s * (s - _ONE), parts[0] + s * (parts[1] - parts[0])
        w0, w1, w2, w3 = _of_velocity(t, H, evenly)
        square = along = 0.0
        for c in range(3):
            here = tried[c, k] + s * (tried[3 + c, k] - tried[c, k]) + bend * tried[6 + c, k]
            speed = w1 * vel_a[c, p] + w3 * vel_b[c, p]
            if not evenly:
                speed += w0 * disp_a[c, p] + w2 * disp_b[c, p]
            square += here * here
            along += here * speed
        r = math.sqrt(square)
        _note(motion[k], r, along / max(r, 1e-30), t, units)


@njit(cache=True, error_model="numpy")
def _details(
    tried, paths, start, before, after, H, parts, path, units, evenly, pixel, passed, particle,
    motion, at,
):  # fmt: skip
    """Where particles cross, and how fast; see `crossings`. Newton's method with the place goes on
    from the part of the piece that is known nearly."""
    (disp_a, vel_a), (disp_b, vel_b) = before, after
    chi_a, _, k1, k2, k3 = path
    piece = parts[1] - parts[0]
    for k in range(pixel.size):
        if pixel[k] < 0:
            continue
        p, s = particle[k], float(passed[k])
        for step in range(NEWTON_STEPS + 1):
            last = step == NEWTON_STEPS
            t = parts[0] + s * piece
            w0, w1, w2, w3 = _weights(t, H)
            v0, v1, v2, v3 = _of_velocity(t, H, evenly and last)
            square = along = 0.0
            for c in range(3):
                here = (
                    float(tried[c, k]) - paths[c, p - start] + w0 * disp_a[c, p] + w1 * vel_a[c, p]
                )
                here += w2 * disp_b[c, p] + w3 * vel_b[c, p]
                speed = v0 * disp_a[c, p] + v1 * vel_a[c, p] + v2 * disp_b[c, p] + v3 * vel_b[c, p]
                at[k, c], at[k, 3 + c] = here, speed
                square += here * here
                along += here * speed
            r = math.sqrt(square)
            if not last:
                rise = along / max(r, 1e-30) * piece * H
                s = min(max(_newton(s, r - s * rise, rise, chi_a, k1, k2, k3), 0.0), 1.0)
        _note(motion[k], r, along / max(r, 1e-30), t, units)


@njit(cache=True)
def _piece(path):
    """The cubic of the cone's radius between two radii, of slopes over the piece: radii, and
    coefficients."""
    chi_a, slope_a, chi_b, slope_b = path
    fall = chi_b - chi_a
    return (
        chi_a,
        chi_b,
        slope_a,
        3.0 * fall - 2.0 * slope_a - slope_b,
        slope_a + slope_b - 2.0 * fall,
    )


@njit(cache=True)
def _inverse(path):
    """The cubic of the part of the piece when the cone's radius has fallen by so much: radii, and
    coefficients."""
    chi_a, slope_a, chi_b, slope_b = path
    fall = chi_a - chi_b
    start, end = -fall / slope_a, -fall / slope_b
    return (
        chi_a, chi_b, start / fall, (3.0 - 2.0 * start - end) / fall**2,
        (start + end - 2.0) / fall**3,
    )  # fmt: skip


@njit(parallel=True, cache=True)
def crossings(
    rows, ends, reach, before, after, box, observer, H, parts, path, view, n_side, units, evenly,
    out,
):  # fmt: skip
    """Find particles that cross the cone in a piece of an interval.

    One crosses that is inside the cone at the piece's start and not at its end. Within the piece,
    between which and the cone's depth there is hardly a motion, the path is the parabola through
    the cubic's ends and middle.

    Parameters
    ----------
    rows : tuple of int
        Of this rank's lattice, from and to.
    ends : array (rows + 1,) int64
        Places in `out` of the rows' candidates, sums over those of `candidates`.
    reach, box, observer
        See `candidates`.
    before, after : tuple of two arrays (3, N) float32
        Displacement and velocity dx/dD at the ends of the interval, Mpc/h.
    H : float
        The interval in D.
    parts : tuple of float
        Where in the interval the piece begins and ends, from 0 to 1.
    path : tuple of float
        Radius of the cone and its derivative in the part of the piece, at its start and its end.
    view : tuple of arrays
        Window, turn and cube, see `coca.light_cone.replicas.View`. Of a cube particles are seen
        that are in it at the piece's start, each once.
    n_side : int
    units : tuple of float
        What a radial velocity dx/dD of 1 Mpc/h is in km/s at the start and at the end of the
        interval, by how many Mpc/h redshift space moves it at both, and by how many at most.
    evenly : bool
        Velocities change evenly between the ends, and are not the cubic's derivative.
    out : tuple of arrays
        Pixels (M,) int32, -1 where none crosses. Where not of length 0: numbers of particles among
        this rank's, (M,) int64, and (M, 3) float32 for the radial velocity in km/s, the distance in
        redshift space in Mpc/h and the part of the interval that has passed; and (M, 6) float32 for
        position from the observer in Mpc/h and velocity dx/dD, with which the part is found more
        exactly. Each has a place for each candidate.
    """
    first, n, cell = box
    pixel, particle, motion, at = out
    piece, inverse = _piece(path), _inverse(path)
    ramp = np.arange(n).astype(np.float64)
    window, turn, cube = view
    low_end, high_end, one_copy = window[:3], window[3:6], cube[3] > 0.0
    for r in prange(rows[1] - rows[0]):
        row, count = rows[0] + r, ends[r + 1] - ends[r]
        if count:
            paths, tried = np.empty((9, n), np.float32), np.empty((9, count), np.float32)
            passed = np.empty(count, np.float32)
            _row_paths(before, after, H, parts, row * n, paths)
            away = reach[row // n, row % n] + 1e-3
            near, far = path[2] - away, path[0] + away
            k = 0
            from_x, to_x = observer[0] + (low_end[0] - away), observer[0] + (high_end[0] + away)
            from_y, to_y = observer[1] + (low_end[1] - away), observer[1] + (high_end[1] + away)
            for i in _copies(first + row // n, n, cell, from_x, to_x):
                for j in _copies(row % n, n, cell, from_y, to_y):
                    low, below, above, high = _row_sites(
                        i, j, cell, observer, near, far, window, away
                    )
                    x, y = i * cell - observer[0], j * cell - observer[1]
                    for begin, end in ((low, below), (above, high)):
                        l = begin
                        while l < end:
                            own = l % n
                            m = min(end - l, n - own)
                            where = k, k + m
                            _place(l, own, x, y, cell, observer[2], ramp, paths, tried, *where)
                            if one_copy:
                                _leave_out((i, j, l), n, own, cell, cube, paths, tried, where, far)
                            if particle.size:
                                for q in range(m):
                                    particle[ends[r] + k + q] = row * n + own + q
                            k += m
                            l += m
            mine = slice(ends[r], ends[r + 1])
            _try(tried, inverse, turn, n_side, pixel[mine], passed)
            if at.size:
                _details(
                    tried, paths, row * n, before, after, H, parts, piece, units, evenly,
                    pixel[mine], passed, particle[mine], motion[mine], at[mine],
                )  # fmt: skip
            elif particle.size:
                _move(
                    tried, before, after, H, parts, units, evenly, pixel[mine], passed,
                    particle[mine], motion[mine],
                )  # fmt: skip


@njit(parallel=True, cache=True)
def paint(pixel, values, parts, counts, sums):
    """Add particles to a map: one to its pixel's count, its value to the sum.

    The pixels are parted among threads, so that nobody adds where another one does, and sums are
    the same for any number of threads.

    Parameters
    ----------
    pixel : array (M,) int32
        Of none where it is -1.
    values : array (M,) float
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
