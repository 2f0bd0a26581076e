"""What a training iteration does with fields and particles beside the network."""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from coca.kernels.assignment import CIC, _cell, _wrap


@njit(parallel=True, cache=True)
def gather_folded(source, x, y, z, columns, flips, out):
    """Cells of a field in another order, with channels in another order or of opposite sign.

    Cell (i, j, l) of the image is the cell x[i] + y[j] + z[l] of the source.

    Parameters
    ----------
    source : array (n^3, channels) uint16
        bfloat16 numbers.
    x, y, z : array (n,) int64
    columns : array (c,) int64
        Channel of the source of each of the image's.
    flips : array (c,) uint16
        0x8000, the bit of the sign, where it changes; otherwise 0.
    out : array (n/2, n/2, n/2, 8, c) uint16
        Overwritten with the image, 2 x 2 x 2 cells together.
    """
    m = out.shape[0]
    for block in prange(m * m):
        i, j = block // m, block % m
        for l in range(m):
            for part in range(8):
                a, b, c = part // 4, part // 2 % 2, part % 2
                cell = x[2 * i + a] + y[2 * j + b] + z[2 * l + c]
                row, image = source[cell], out[i, j, l, part]
                for channel in range(columns.size):
                    image[channel] = row[columns[channel]] ^ flips[channel]


@njit(parallel=True, cache=True, fastmath=True)
def trajectory_errors(outputs, scale, inputs, targets, of_inputs, of_targets, errors, x):
    """Errors of coefficients, what they amount to, and true and emulated displacements.

    Rows are cells of a folded field, N = 8 m^3 of them.

    Parameters
    ----------
    outputs : array (m, m, m, 8, 3 K) float32
        Emulated coefficients of time functions, over their scale.
    scale : array (3 K,) float32
        In Mpc/h.
    inputs : array (m, m, m, 8, channels) uint16
        bfloat16 numbers, of which the first six are Psi1 and Psi2.
    targets : array (m, m, m, 8, 3 J) uint16
        True coefficients in bfloat16, Mpc/h.
    of_inputs : array (2,) float32
        Weights of Psi1 and Psi2 in the displacement.
    of_targets : array (J,) float32
        Weights of coefficients.
    errors : array (m, m, m, 8, 3 K) float32
        Overwritten with the errors of the coefficients.
    x : array (2, 3, N) float32
        Overwritten with true and emulated displacements, in the lattice's order.
    """
    m, columns = outputs.shape[0], outputs.shape[-1]
    n, functions = 2 * m, targets.shape[-1] // 3
    for block in prange(m * m):
        i, j = block // m, block % m
        for l in range(m):
            for cell in range(8):
                e, target = errors[i, j, l, cell], targets[i, j, l, cell]
                output, psi = outputs[i, j, l, cell], inputs[i, j, l, cell]
                for q in range(columns):
                    e[q] = scale[q] * output[q] - _number(target[q])
                p = ((2 * i + cell // 4) * n + 2 * j + cell // 2 % 2) * n + 2 * l + cell % 2
                for c in range(3):
                    true = of_inputs[0] * _number(psi[c]) + of_inputs[1] * _number(psi[3 + c])
                    change = np.float32(0)
                    for k in range(functions):
                        true += of_targets[k] * _number(target[3 * k + c])
                    for k in range(columns // 3):
                        change += of_targets[k] * e[3 * k + c]
                    x[0, c, p], x[1, c, p] = true, true + change


@njit(parallel=True, cache=True, fastmath=True)
def add_force(force, weights, scale, out):
    """Add the derivative in positions to that in coefficients, and multiply by the scale.

    Parameters
    ----------
    force : array (3, N) float32
        Derivative in each particle's position.
    weights : array (3 K,) float32
        Of coefficients in the position.
    scale : array (3 K,) float32
    out : array (m, m, m, 8, 3 K) float32
        Derivative in coefficients, overwritten with that in outputs; see `trajectory_errors`.
    """
    m, columns = out.shape[0], out.shape[-1]
    n = 2 * m
    for block in prange(m * m):
        i, j = block // m, block % m
        for l in range(m):
            for cell in range(8):
                row = out[i, j, l, cell]
                p = ((2 * i + cell // 4) * n + 2 * j + cell // 2 % 2) * n + 2 * l + cell % 2
                for k in range(columns // 3):
                    for c in range(3):
                        q = 3 * k + c
                        row[q] = scale[q] * (row[q] + weights[q] * force[c, p])


@njit
def _number(bits):
    """The number that a bfloat16 stands for."""
    return np.uint32(np.uint32(bits) << np.uint32(16)).view(np.float32)


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def read_slopes(x, inverse_cell, mesh, out):
    """Derivative of a mesh's CIC interpolation in the position, at the particles.

    With that of a function of the density in each cell as the mesh, this is that of the function
    in each particle's position.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in Mpc/h, anywhere.
    inverse_cell : float
        Cells per Mpc/h.
    mesh : array (m, m, p >= m) float32
    out : array (3, N) float32
        Overwritten with the derivatives per Mpc/h.
    """
    m, one, scale = mesh.shape[0], np.float32(1), np.float32(inverse_cell)
    for p in prange(x.shape[1]):
        i, fx = _cell(x[0, p], inverse_cell, CIC, m)
        j, fy = _cell(x[1, p], inverse_cell, CIC, m)
        k, fz = _cell(x[2, p], inverse_cell, CIC, m)
        i1, j1, k1 = _wrap(i + 1, m), _wrap(j + 1, m), _wrap(k + 1, m)
        ex, ey, ez = one - fx, one - fy, one - fz
        a, b = mesh[i, j, k], mesh[i, j, k1]
        c, d = mesh[i, j1, k], mesh[i, j1, k1]
        e, f = mesh[i1, j, k], mesh[i1, j, k1]
        g, h = mesh[i1, j1, k], mesh[i1, j1, k1]
        along_x = ((e - a) * ez + (f - b) * fz) * ey + ((g - c) * ez + (h - d) * fz) * fy
        along_y = ((c - a) * ez + (d - b) * fz) * ex + ((g - e) * ez + (h - f) * fz) * fx
        along_z = ((b - a) * ey + (d - c) * fy) * ex + ((f - e) * ey + (h - g) * fy) * fx
        out[0, p], out[1, p], out[2, p] = scale * along_x, scale * along_y, scale * along_z
