"""Particles picked from all, their means over what is near, and their way in sub-steps.

A particle on its way has a row of 16 numbers, a line of cache: its position and velocity at
POSITION and VELOCITY, what they are compared with at the step's end, END and END_VELOCITY, and in
the middle of the next step, AHEAD; and at SHARE how much of its sub-steps it takes. Once compared,
the last three hold the differences.

Means are taken on a coarse mesh, CIC both ways, in an array (planes + 1, m, m, 4 c) of sums over
particles in each cell, the mass first: `planes` own planes along x from number `first` on, and a
ghost plane above. Sums come in fours, since so many are added at a time.
"""

from __future__ import annotations

import numpy as np
from coca.kernels.assignment import _TILE, _bounds, _cell, _tiles
from coca.kernels.constants import CIC
from coca.kernels.lanes import each, four, put
from numba import get_num_threads, njit, prange

ROW = 16
POSITION, VELOCITY, END, END_VELOCITY, AHEAD, SHARE = 0, 3, 6, 9, 12, 15
CHANGES = 9
"""Differences in a row, from END on."""
BLOCK = 512


@njit(parallel=True, cache=True)
def above(delta, least, lattice):
    """Particles (M,) int64 of density contrast above `least`, tile by tile of the lattice that they
    started from, so that those of a halo stand together."""
    tiles, bound = _tiles(lattice, _TILE), np.float32(least)
    starts = np.zeros(tiles + 1, np.int64)
    for t in prange(tiles):
        x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, _TILE)
        count = 0
        for i in range(x0, x1):
            for j in range(y0, y1):
                row = (i * lattice[1] + j) * lattice[2]
                for p in range(row + z0, row + z1):
                    count += delta[p] > bound
        starts[t + 1] = count
    starts = np.cumsum(starts)
    out = np.empty(starts[-1], np.int64)
    for t in prange(tiles):
        x0, x1, y0, y1, z0, z1 = _bounds(t, lattice, _TILE)
        place = starts[t]
        for i in range(x0, x1):
            for j in range(y0, y1):
                row = (i * lattice[1] + j) * lattice[2]
                for p in range(row + z0, row + z1):
                    if delta[p] > bound:
                        out[place] = p
                        place += 1
    return out


@njit(parallel=True, cache=True)
def add_at(values, indices, out):
    """out[c, indices[i]] += values[c, i]; every particle at most once in `indices`."""
    for i in prange(indices.size):
        for c in range(out.shape[0]):
            out[c, indices[i]] += values[c, i]


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def gather_terms(fields, weights, indices, rows):
    """Sums over j of weights[r, j] fields[j][:, p] for each particle p of `indices`, at 3 r of its
    row.

    Parameters
    ----------
    fields : tuple of arrays (3, N) float32
    weights : array (R, len(fields)) float32
    indices : array (M,) int64
    rows : array (M, 3 R or more) float32
    """
    for i in prange(indices.size):
        p = indices[i]
        for r in range(weights.shape[0]):
            for c in range(3):
                total = np.float32(0)
                for j in range(len(fields)):
                    total += weights[r, j] * fields[j][c, p]
                rows[i, 3 * r + c] = total


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def start(
    rows,
    indices,
    e,
    w,
    s,
    delta,
    lattice,
    first,
    cell,
    times,
    alpha,
    impulse,
    scales,
    rise,
    middle,
    sums,
):
    """Put particles where a step begins, and what the explicit step gives them where it ends.

    Parameters
    ----------
    rows : array (M, ROW) float32
        What the frame gives: its displacement and velocity at the step's start and at its end, and
        what it takes off the straight way after that. Completed in place.
    indices : array (M,) int64
    e, w, s : array (3, N) float32
        Residual displacement in the middle of the step, residual velocity at its start, residual
        acceleration over c.
    delta : array (N,) float32
    lattice, first, cell
        As for `kernels.particles.positions`.
    times : tuple of float
        In D from the step's start to its middle, and from there to its end.
    alpha, impulse : float
        The explicit kick is w <- alpha w - impulse s.
    scales : tuple of float
        Of w and of s as displacements, and the squared displacement at which half is taken.
    rise : tuple of float
        Density contrast at which particles take nothing of their sub-steps, and its inverse
        distance to where they take all.
    middle : array (3, M) float32
        Gets the positions in the middle of the step.
    sums : array (M, 4) float32
        Gets the share and that times velocity.
    """
    to_middle, to_end = np.float32(times[0]), np.float32(times[1])
    a, b = np.float32(alpha), np.float32(impulse)
    w_scale, s_scale, half = np.float32(scales[0]), np.float32(scales[1]), np.float32(scales[2])
    least, slope = np.float32(rise[0]), np.float32(rise[1])
    _, ny, nz = lattice
    for i in prange(indices.size):
        p = indices[i]
        squares = np.float32(0)
        for c in range(3):
            f, g = w_scale * w[c, p], s_scale * s[c, p]
            squares += e[c, p] * e[c, p] + f * f + g * g
        share = min(max(slope * (delta[p] - least), np.float32(0)), np.float32(1))
        share *= squares / (squares + half)
        rows[i, SHARE] = sums[i, 0] = share
        for c in range(3):
            number = first + p // (ny * nz) if c == 0 else p // nz % ny if c == 1 else p % nz
            q = np.float32(cell * number)
            kicked = a * w[c, p] - b * s[c, p]
            x = q + rows[i, POSITION + c] + e[c, p] - to_middle * w[c, p]
            v = rows[i, VELOCITY + c] + w[c, p]
            rows[i, POSITION + c], rows[i, VELOCITY + c] = x, v
            rows[i, END + c] += q + e[c, p] + to_end * kicked
            rows[i, END_VELOCITY + c] += kicked
            middle[c, i] = x + to_middle * v
            sums[i, 1 + c] = share * v


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def drift(rows, time, flow, lag, out):
    """Move particles on, and say where that is in a mesh left behind: out = x - lag flow."""
    t, back = np.float32(time), np.float32(lag)
    for i in prange(rows.shape[0]):
        for c in range(3):
            x = rows[i, POSITION + c] + t * rows[i, VELOCITY + c]
            rows[i, POSITION + c] = x
            out[c, i] = x - back * flow[c, i]


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def kick(rows, g, alpha, beta, time):
    """v <- alpha v - beta g, and then x += time v."""
    a, b, t = np.float32(alpha), np.float32(beta), np.float32(time)
    for i in prange(rows.shape[0]):
        for c in range(3):
            v = a * rows[i, VELOCITY + c] - b * g[c, i]
            rows[i, VELOCITY + c] = v
            rows[i, POSITION + c] += t * v


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def compare(rows, time):
    """Differences from what the rows have at the step's end; AHEAD becomes what they will be
    compared with `time` later, straight on from here."""
    t = np.float32(time)
    for i in prange(rows.shape[0]):
        for c in range(3):
            x, v = rows[i, POSITION + c], rows[i, VELOCITY + c]
            rows[i, END + c] = x - rows[i, END + c]
            rows[i, END_VELOCITY + c] = v - rows[i, END_VELOCITY + c]
            rows[i, AHEAD + c] += x + t * v


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def weigh(rows, sums):
    """Compare with AHEAD, and fill sums (M, 12) float32 with the share and that times changes."""
    for i in prange(rows.shape[0]):
        share = rows[i, SHARE]
        sums[i, 0], sums[i, 10], sums[i, 11] = share, np.float32(0), np.float32(0)
        for c in range(3):
            rows[i, AHEAD + c] = rows[i, POSITION + c] - rows[i, AHEAD + c]
        for c in range(CHANGES):
            sums[i, 1 + c] = share * rows[i, END + c]


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def settle(rows, out):
    """What particles take of their changes, in the place of the means (CHANGES, M) that are taken
    out of these."""
    for i in prange(rows.shape[0]):
        for c in range(CHANGES):
            out[c, i] = rows[i, SHARE] * (rows[i, END + c] - out[c, i])


def deposit(x, inverse_cell, rows, mesh, first):
    """Add particles of this slab to the coarse mesh; the others are left out.

    Parameters
    ----------
    x : array (3, M) float32
        Positions in Mpc/h.
    inverse_cell : float
        Coarse cells per Mpc/h.
    rows : array (M, 4 c) float32
        What to add, mass first.
    mesh : array (planes + 1, m, m, 4 c) float32
    first : int
        Number of its first plane.
    """
    parts = min(get_num_threads(), len(mesh))
    _deposit(x, inverse_cell, rows, mesh, first, parts, rows.shape[1] // 4)


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _deposit(x, inverse_cell, rows, mesh, first, parts, fours):
    """Each thread owns some planes: the order of the sums does not depend on their number."""
    length, m = mesh.shape[0], mesh.shape[1]
    flat, source, one = mesh.reshape(-1), rows.reshape(-1), np.float32(1)
    width = np.uint64(4 * fours)
    for s in prange(parts):
        a, b = s * length // parts, (s + 1) * length // parts
        for p in range(x.shape[1]):
            i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
            if i + 1 >= length or i + 1 < a or i >= b:
                continue
            j, fy = _cell(x[1, p], inverse_cell, CIC, m)
            k, fz = _cell(x[2, p], inverse_cell, CIC, m)
            j1, k1 = (j + 1) % m, (k + 1) % m
            row = np.uint64(p) * width
            for upper in range(2):
                if i + upper < a or i + upper >= b:
                    continue
                line, line1 = ((i + upper) * m + j) * m, ((i + upper) * m + j1) * m
                w = fx if upper else one - fx
                w0, w1 = w * (one - fy), w * fy
                low, high = np.uint64(line + k) * width, np.uint64(line + k1) * width
                low1, high1 = np.uint64(line1 + k) * width, np.uint64(line1 + k1) * width
                for f in range(fours):
                    o = np.uint64(4 * f)
                    lanes = four(source, row + o)
                    put(flat, low + o, four(flat, low + o) + lanes * (w0 * (one - fz)))
                    put(flat, high + o, four(flat, high + o) + lanes * (w0 * fz))
                    put(flat, low1 + o, four(flat, low1 + o) + lanes * (w1 * (one - fz)))
                    put(flat, high1 + o, four(flat, high1 + o) + lanes * (w1 * fz))


def average(x, inverse_cell, mesh, first, out):
    """Mean values (c, M) by mass at the particles of this slab; arguments as for `deposit`."""
    _average(x, inverse_cell, mesh, first, mesh.shape[3] // 4, out)


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _average(x, inverse_cell, mesh, first, fours, out):
    length, m = mesh.shape[0], mesh.shape[1]
    flat, one = mesh.reshape(-1), np.float32(1)
    width = np.uint64(4 * fours)
    for block in prange((x.shape[1] + BLOCK - 1) // BLOCK):
        for p in range(block * BLOCK, min(x.shape[1], (block + 1) * BLOCK)):
            i, fx = _cell(x[0, p], inverse_cell, CIC, m, first)
            if i + 1 >= length:
                continue
            j, fy = _cell(x[1, p], inverse_cell, CIC, m)
            k, fz = _cell(x[2, p], inverse_cell, CIC, m)
            j1, k1 = (j + 1) % m, (k + 1) % m
            ex, ey, ez = one - fx, one - fy, one - fz
            inverse = np.float32(0)
            low, low1 = (i * m + j) * m, (i * m + j1) * m
            upper, upper1 = low + m * m, low1 + m * m
            for f in range(fours):
                o = np.uint64(4 * f)
                sums = four(flat, np.uint64(low + k) * width + o) * (ex * ey * ez)
                sums += four(flat, np.uint64(low + k1) * width + o) * (ex * ey * fz)
                sums += four(flat, np.uint64(low1 + k) * width + o) * (ex * fy * ez)
                sums += four(flat, np.uint64(low1 + k1) * width + o) * (ex * fy * fz)
                sums += four(flat, np.uint64(upper + k) * width + o) * (fx * ey * ez)
                sums += four(flat, np.uint64(upper + k1) * width + o) * (fx * ey * fz)
                sums += four(flat, np.uint64(upper1 + k) * width + o) * (fx * fy * ez)
                sums += four(flat, np.uint64(upper1 + k1) * width + o) * (fx * fy * fz)
                a, b, c, d = each(sums)
                if f == 0:
                    inverse = one / a if a > 0 else np.float32(0)
                else:
                    out[4 * f - 1, p] = inverse * a
                if 4 * f < out.shape[0]:
                    out[4 * f, p] = inverse * b
                if 4 * f + 1 < out.shape[0]:
                    out[4 * f + 1, p] = inverse * c
                if 4 * f + 2 < out.shape[0]:
                    out[4 * f + 2, p] = inverse * d
