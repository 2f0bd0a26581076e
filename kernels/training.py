"""What a training iteration does with fields and particles beside the network."""

from __future__ import annotations

import numpy as np
from coca.kernels.assignment import _cell, _wrap
from coca.kernels.constants import CIC
from numba import njit, prange


@njit(parallel=True, cache=True)
def gather_folded(source, x, y, z, axes, flips, vectors, out):
    """The image of fields under a symmetry of the lattice, folded.

    Parameters
    ----------
    source : array (n^3, channels) uint16
        bfloat16 numbers.
    x, y, z : array (n,) int64
        Cell (i, j, l) of the image is the cell x[i] + y[j] + z[l] of the source.
    axes : array (3,) int64
        Component of the source's vectors of each of the image's.
    flips : array (3,) uint16
        0x8000, the bit of the sign, for components that change it; otherwise 0.
    vectors : int
        Vectors among the channels, which come first; the others are scalars.
    out : array (n/2, n/2, n/2, 8, c <= channels) uint16
        Overwritten with the image's first channels, 2 x 2 x 2 cells together.
    """
    m, channels, pitch = out.shape[0], out.shape[-1], source.shape[1]
    field, image = source.reshape(-1), out.reshape(-1)
    first, second, third = axes
    flip0, flip1, flip2 = flips
    for block in prange(m * m):
        i, j = block // m, block % m
        for l in range(m):
            for cell in range(8):
                a, b, c = 2 * i + cell // 4, 2 * j + cell // 2 % 2, 2 * l + cell % 2
                o = (x[a] + y[b] + z[c]) * pitch
                to = ((block * m + l) * 8 + cell) * channels
                for v in range(0, 3 * vectors, 3):
                    image[to + v] = field[o + v + first] ^ flip0
                    image[to + v + 1] = field[o + v + second] ^ flip1
                    image[to + v + 2] = field[o + v + third] ^ flip2
                for channel in range(3 * vectors, channels):
                    image[to + channel] = field[o + channel]


@njit(parallel=True, cache=True, fastmath=True)
def trajectory_errors(
    outputs, scale, source, x, y, z, axes, signs, first, of_psi, of_targets, errors, disp
):
    """Errors of coefficients, and true and emulated displacements, of a simulation's image.

    Rows of fields are cells of a folded field, N = 8 m^3 of them.

    Parameters
    ----------
    outputs : array (m, m, m, 8, 3 K) float32
        Emulated coefficients of time functions, over their scale.
    scale : array (3 K,) float32
        In Mpc/h.
    source : array (N, first + 3 J) uint16
        bfloat16 numbers: from 0, Psi1 and Psi2; from `first`, true coefficients
        in Mpc/h, those of each component together.
    x, y, z, axes
        As for `gather_folded`.
    signs : array (3,) float32
        Of the image's components.
    of_psi : array (2,) float32
        Weights of Psi1 and Psi2 in the displacement.
    of_targets : array (J,) float32
        Weights of coefficients.
    errors : array (m, m, m, 8, 3 K) float32
        Overwritten with the errors of the coefficients.
    disp : array (2, 3, N) float32
        Overwritten with true and emulated displacements, in the lattice's order.
    """
    m, K, J = outputs.shape[0], outputs.shape[-1] // 3, of_targets.size
    n, pitch = 2 * m, source.shape[1]
    output, error, field = outputs.reshape(-1), errors.reshape(-1), source.reshape(-1)
    for block in prange(m * m):
        i, j = block // m, block % m
        for l in range(m):
            for cell in range(8):
                a, b, d = 2 * i + cell // 4, 2 * j + cell // 2 % 2, 2 * l + cell % 2
                o, p = (x[a] + y[b] + z[d]) * pitch, (a * n + b) * n + d
                row = ((block * m + l) * 8 + cell) * 3 * K
                for c in range(3):
                    component = o + first + axes[c] * J
                    target = field[component : component + J]
                    psi, sign = field[o + axes[c] : o + axes[c] + 4], signs[c]
                    true = of_psi[0] * _number(psi[0]) + of_psi[1] * _number(psi[3])
                    for k in range(J):
                        true += of_targets[k] * _number(target[k])
                    change = np.float32(0)
                    for k in range(K):
                        q, i_q = 3 * k + c, np.uint64(row + 3 * k + c)  # unsigned: not from the end
                        off = scale[q] * output[i_q] - sign * _number(target[k])
                        error[i_q] = off
                        change += of_targets[k] * off
                    true *= sign
                    disp[0, c, p], disp[1, c, p] = true, true + change


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
    n, slopes = 2 * m, out.reshape(-1)
    for block in prange(m * m):
        i, j = block // m, block % m
        for l in range(m):
            for cell in range(8):
                p = ((2 * i + cell // 4) * n + 2 * j + cell // 2 % 2) * n + 2 * l + cell % 2
                row = ((block * m + l) * 8 + cell) * columns
                f = force[0, p], force[1, p], force[2, p]
                for k in range(0, columns, 3):
                    for c in range(3):
                        slope = slopes[row + k + c] + weights[k + c] * f[c]
                        slopes[row + k + c] = scale[k + c] * slope


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
