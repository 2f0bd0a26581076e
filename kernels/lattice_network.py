"""A small network at every particle, of what is measured there and in its Lagrangian neighbourhood.

`fields` is an array (planes, FIELDS, ny, nz) float32 on the particle lattice; `means` (planes,
WIDTHS, AVERAGED, ny, nz) has the first AVERAGED of them averaged over cubes of 2 h + 1 particles a
side, h in `REACHES`. From them come vectors, all in particle spacings, and scalars of these
vectors; the network turns scalars into the coefficients of a sum of the vectors. So what it
gives turns and moves with the particles. The sum is multiplied by a gate, which closes where no
residual acceleration is measured near the particle.

Loops over vectors and scalars end at shapes of arrays, not at constants: of each loop of a known
length LLVM makes a copy a turn, which takes long to compile and gains nothing.
"""

from __future__ import annotations

import numpy as np
from coca.kernels.lanes import put, sixteen
from coca.kernels.lattice_layout import (
    AVERAGED,
    DISPLACEMENT,
    INWARD,
    LOG_BEFORE,
    LOG_DENSITY,
    OUTPUTS,
    REACHES,
    RESIDUAL,
    SCALARS,
    SQUARE,
    VECTORS,
    VELOCITIES,
    VELOCITY,
    WIDTHS,
)
from numba import njit, prange

BLOCK = 256
CLOSED = 1e-3
"""Mean of SQUARE over the middle neighbourhood at which the gate is half open."""
_FLOOR = np.float32(0.05)
_BEND = np.float32(0.3)


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def prepare(fields, residual, scale, delta, before):
    """Fill what follows from displacement and velocity, and from others.

    Parameters
    ----------
    fields : array (planes, FIELDS, ny, nz) float32
        With g over the spacing in the place of INWARD; all but DISPLACEMENT and VELOCITY is filled.
    residual : array (3, planes, ny, nz) float32
    scale : float32
        `residual` times it is S, in spacings.
    delta, before : array (planes, ny, nz) float32
        Density contrast where particles are seen, and at the last step's force.
    """
    one, least = np.float32(1), np.float32(-1)
    for i in prange(fields.shape[0]):
        for j in range(fields.shape[2]):
            for k in range(fields.shape[3]):
                d = max(delta[i, j, k], least)
                inward = np.float32(3) / (np.float32(3) + d)
                square = np.float32(0)
                for c in range(3):
                    fields[i, INWARD + c, j, k] *= inward
                    square += (scale * residual[c, i, j, k]) ** 2
                share = one / (one + np.sqrt(square))
                for c in range(3):
                    fields[i, RESIDUAL + c, j, k] = share * scale * residual[c, i, j, k]
                fields[i, LOG_DENSITY, j, k] = np.log(np.float32(1.05) + d)
                fields[i, SQUARE, j, k] = square * share * share
                fields[i, LOG_BEFORE, j, k] = np.log(np.float32(1.05) + max(before[i, j, k], least))


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"}, error_model="numpy")
def average(padded, reach, means):
    """Fill `means` of some planes from fields (planes + 2 reach, FIELDS, ny, nz) with `reach`
    planes beyond either end, at least the last of `REACHES`; what no vector or scalar is made of
    is left out."""
    nz = padded.shape[3]
    for task in prange(means.shape[0] * AVERAGED):
        t = np.int64(task)
        i, c = t // AVERAGED, t % AVERAGED
        rows, h = padded[i + reach, c].copy(), 0
        along_x = rows.reshape(-1)
        for n in range(means.shape[1]):
            while h < REACHES[n]:
                h += 1
                below, above = padded[i + reach - h, c], padded[i + reach + h, c]
                _add_two(below.reshape(-1), above.reshape(-1), along_x)
            if (n == 0 and c == SQUARE) or (n == 2 and (c == SQUARE or INWARD <= c < LOG_DENSITY)):
                continue
            wide = _wrapped(rows, h)
            along_y = _windows(wide.reshape(-1), h, nz + 2 * h)
            sums = _windows(along_y, h, 1).reshape(wide.shape)
            _scaled(sums, np.float32(1.0 / (2 * h + 1) ** 3), means[i, n, c])


@njit(fastmath={"contract", "nsz"})
def _add_two(a, b, total):
    """Add two arrays to a third."""
    for k in range(total.size):
        total[k] += a[k] + b[k]


@njit(fastmath={"contract", "nsz"})
def _wrapped(rows, h):
    """Rows (ny + 2 h, nz + 2 h) of a periodic array (ny, nz), which begin h before it."""
    ny, nz = rows.shape
    wide = np.empty((ny + 2 * h, nz + 2 * h), np.float32)
    for j in range(ny + 2 * h):
        row, to = rows[(j - h) % ny], wide[j]
        for k in range(h):
            to[k], to[h + nz + k] = row[(k - h) % nz], row[k % nz]
        _copy(row, to[h:])
    return wide


@njit(fastmath={"contract", "nsz"})
def _windows(a, h, stride):
    """Sums of 2 h + 1 numbers so far apart, h a power of two, from each number on but the last
    2 h stride."""
    sums, more, span = np.empty_like(a), np.empty_like(a), 2 * stride
    _sum(a, a[stride:], sums)
    while span <= h * stride:
        _sum(sums, sums[span:], more)
        sums, more, span = more, sums, 2 * span
    _sum(sums, a[span:], more)
    return more


@njit(fastmath={"contract", "nsz"})
def _sum(a, b, out):
    """Sums of the first numbers of two arrays, as many as the second has."""
    for k in range(b.size):
        out[k] = a[k] + b[k]


@njit(fastmath={"contract", "nsz"})
def _scaled(a, scale, out):
    """Fill an array with the first rows and columns of a larger one, scaled."""
    for j in range(out.shape[0]):
        row, to = a[j], out[j]
        for k in range(to.size):
            to[k] = scale * row[k]


@njit(fastmath=True, error_model="numpy")
def _vectors(fields, means, first, end, V):
    """Fill vectors (VELOCITIES, 3, BLOCK) of some particles of a plane."""
    one, count = np.float32(1), end - first
    for c in range(V.shape[1]):
        _copy(fields[INWARD + c, first:end], V[0, c])
        _copy(fields[RESIDUAL + c, first:end], V[1, c])
        for n in range(means.shape[0] - 1):
            _copy(means[n, INWARD + c, first:end], V[2 + n, c])
            _copy(means[n, RESIDUAL + c, first:end], V[4 + n, c])
        disp, vel = fields[DISPLACEMENT + c, first:end], fields[VELOCITY + c, first:end]
        for n in range(means.shape[0]):
            _differences(means[n, DISPLACEMENT + c, first:end], disp, V[6 + n, c])
            _differences(means[n, VELOCITY + c, first:end], vel, V[VECTORS + n, c])
    x, y, z = V[VECTORS + 1, 0], V[VECTORS + 1, 1], V[VECTORS + 1, 2]
    share = np.empty(BLOCK, np.float32)
    for k in range(count):
        share[k] = one / (one + np.sqrt(x[k] * x[k] + y[k] * y[k] + z[k] * z[k]))
    for c in range(V.shape[1]):
        fast, slow = V[VECTORS + 1, c], V[VECTORS - 1, c]
        for k in range(count):
            slow[k] = share[k] * fast[k]


@njit(fastmath=True, error_model="numpy")
def _copy(a, out):
    """Copy numbers."""
    for k in range(a.size):
        out[k] = a[k]


@njit(fastmath=True, error_model="numpy")
def _differences(a, b, out):
    """Differences of numbers."""
    for k in range(a.size):
        out[k] = a[k] - b[k]


@njit(fastmath=True, error_model="numpy")
def _dot(a, b, count, out):
    """Scalar products of vectors (3, BLOCK)."""
    ax, ay, az, bx, by, bz = a[0], a[1], a[2], b[0], b[1], b[2]
    for k in range(count):
        out[k] = ax[k] * bx[k] + ay[k] * by[k] + az[k] * bz[k]


@njit(fastmath=True, error_model="numpy")
def _scalars(fields, means, first, end, V, conditions, X):
    """Fill scalars (SCALARS, BLOCK) of the same particles from their vectors."""
    count = end - first
    _copy(fields[LOG_DENSITY, first:end], X[0])
    _copy(fields[LOG_BEFORE, first:end], X[1])
    for n in range(means.shape[0]):
        _copy(means[n, LOG_DENSITY, first:end], X[2 + n])
    at, inverse = 2 + WIDTHS + VECTORS, np.empty((VECTORS, BLOCK), np.float32)
    for a in range(VECTORS):
        length, own = X[2 + WIDTHS + a], inverse[a]
        _dot(V[a], V[a], count, length)
        for k in range(count):
            norm = np.sqrt(length[k])
            length[k] = norm / (norm + _BEND)
            own[k] = np.float32(1) / (norm + _FLOOR)
        for b in range(a):
            cosine, other = X[at], inverse[b]
            _dot(V[a], V[b], count, cosine)
            for k in range(count):
                cosine[k] *= own[k] * other[k]
            at += 1
    for a in range(conditions.size):
        condition = X[at + a]
        for k in range(count):
            condition[k] = conditions[a]


@njit(fastmath=True, error_model="numpy")
def _gates(means, first, end, gate):
    """Fill how far each particle's gate (BLOCK,) is open."""
    square = means[1, SQUARE, first:end]
    for k in range(end - first):
        gate[k] = square[k] / (square[k] + np.float32(CLOSED))


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def features(fields, means, conditions, first, vectors, scalars):
    """Fill what the network sees and what it moves by.

    Parameters
    ----------
    fields, means
    conditions : array (CONDITIONS,) float32
    first : int
        Number of their first plane in what is filled.
    vectors : array (VELOCITIES, 3, all planes, ny, nz) float32
        Multiplied by the gate.
    scalars : array (SCALARS, all planes, ny, nz) float32
    """
    fields, means = _flat(fields), _flat(means)
    vectors, scalars = _flat(vectors), _flat(scalars)
    for i in prange(fields.shape[0]):
        V = np.empty((VELOCITIES, 3, BLOCK), np.float32)
        X, gate = np.empty((SCALARS, BLOCK), np.float32), np.empty(BLOCK, np.float32)
        for begin in range(0, fields.shape[2], BLOCK):
            end = min(begin + BLOCK, fields.shape[2])
            _vectors(fields[i], means[i], begin, end, V)
            _scalars(fields[i], means[i], begin, end, V, conditions, X)
            for a in range(SCALARS):
                _copy(X[a, : end - begin], scalars[a, first + i, begin:])
            _gates(means[i], begin, end, gate)
            for a in range(VELOCITIES):
                for c in range(3):
                    for k in range(end - begin):
                        vectors[a, c, first + i, begin + k] = gate[k] * V[a, c, k]


@njit(fastmath=True, error_model="numpy")
def _flat(array):
    """An array with its last two axes, of a plane, in one."""
    shape = array.shape
    return array.reshape((*shape[:-2], shape[-2] * shape[-1]))


@njit(fastmath=True, error_model="numpy")
def _layer(weights, bias, count, x, out):
    """Fill out (m, BLOCK) with weights (m, n) times x (n, BLOCK) and the bias (m,), m a multiple of
    four: four rows and sixteen particles at a time stay in registers."""
    rows, inputs = weights.shape
    x, out, row = x.reshape(-1), out.reshape(-1), np.uint64(BLOCK)
    for o in range(0, rows, 4):
        b0, b1, b2, b3 = bias[o], bias[o + 1], bias[o + 2], bias[o + 3]
        w0, w1, w2, w3 = weights[o], weights[o + 1], weights[o + 2], weights[o + 3]
        for k in range(np.uint64(0), np.uint64(count), np.uint64(16)):
            at, to = k, np.uint64(o) * row + k
            part = sixteen(x, at)
            l0, l1, l2, l3 = (
                part * w0[0] + b0,
                part * w1[0] + b1,
                part * w2[0] + b2,
                part * w3[0] + b3,
            )
            for i in range(1, inputs):
                at += row
                part = sixteen(x, at)
                l0, l1, l2, l3 = (
                    l0 + part * w0[i],
                    l1 + part * w1[i],
                    l2 + part * w2[i],
                    l3 + part * w3[i],
                )
            put(out, to, l0)
            put(out, to + row, l1)
            put(out, to + row + row, l2)
            put(out, to + row + row + row, l3)


@njit(fastmath=True, error_model="numpy")
def _hard_swish(x, count):
    """x times its share of the way from -3 to 3 (hard swish), in place."""
    zero, one, sixth, half = np.float32(0), np.float32(1), np.float32(1 / 6), np.float32(0.5)
    for o in range(x.shape[0]):
        for k in range(count):
            x[o, k] *= min(max(x[o, k] * sixth + half, zero), one)


@njit(parallel=True, cache=True, fastmath=True, error_model="numpy")
def move(fields, means, conditions, weights, biases, scale, first, e, w):
    """Add what the network says to displacements and velocities.

    Parameters
    ----------
    fields, means, conditions
        As for `features`.
    weights, biases : tuples of arrays float32
        Of the layers; the last has OUTPUTS outputs or up to three more.
    scale : (float32, float32)
        The spacing, and the spacing over D.
    first : int
        Number of their first plane in what is added to.
    e, w : array (3, all planes, ny, nz) float32
    """
    fields, means, e, w = _flat(fields), _flat(means), _flat(e), _flat(w)
    most = SCALARS
    for bias in biases:
        most = max(most, bias.size)
    for i in prange(fields.shape[0]):
        V, gate = np.empty((VELOCITIES, e.shape[0], BLOCK), np.float32), np.empty(BLOCK, np.float32)
        layers = np.empty((len(weights) + 1, most, BLOCK), np.float32)
        for begin in range(0, fields.shape[2], BLOCK):
            end = min(begin + BLOCK, fields.shape[2])
            count = end - begin
            _vectors(fields[i], means[i], begin, end, V)
            _scalars(fields[i], means[i], begin, end, V, conditions, layers[0])
            for n in range(len(weights)):
                _layer(weights[n], biases[n], count, layers[n], layers[n + 1])
                if n + 1 < len(weights):
                    _hard_swish(layers[n + 1, : biases[n].size], count)
            _gates(means[i], begin, end, gate)
            h = layers[-1, : min(biases[-1].size, OUTPUTS)]
            _add(h, V, gate, count, scale, e[:, first + i, begin:], w[:, first + i, begin:])


@njit(fastmath=True, error_model="numpy")
def _add(h, V, gate, count, scale, e, w):
    """Add vectors times coefficients (OUTPUTS, BLOCK) to rows e and w (3, count and more)."""
    totals = np.empty((2, BLOCK), np.float32)
    for c in range(e.shape[0]):
        for k in range(count):
            totals[0, k] = totals[1, k] = np.float32(0)
        for o in range(h.shape[0]):
            later = o >= VECTORS
            share, vector, total = h[o], V[o - VECTORS if later else o, c], totals[np.int64(later)]
            for k in range(count):
                total[k] += share[k] * vector[k]
        row = e[c]
        for k in range(count):
            row[k] += scale[0] * gate[k] * totals[0, k]
        row = w[c]
        for k in range(count):
            row[k] += scale[1] * gate[k] * totals[1, k]
