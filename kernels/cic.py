"""Cloud-in-cell assignment and interpolation on a periodic mesh (Hockney & Eastwood 1981)."""

from __future__ import annotations

import numpy as np
from numba import get_num_threads, njit, prange


def paint(x, inverse_cell, mesh):
    """Cloud-in-cell number density of particles, in particles per cell.

    Each thread paints a contiguous range of particles into a mesh of its own, so that no
    two threads write to the same address; the meshes are then added plane by plane.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in Mpc/h, anywhere: they are wrapped into the box.
    inverse_cell : float
        Cells per Mpc/h.
    mesh : array (m, m, m) float32
        Overwritten with the result.

    Raises
    ------
    FloatingPointError
        Some positions are not finite.
    """
    threads = get_num_threads()
    others = np.empty((threads - 1, *mesh.shape), np.float32)
    _raise_if(_paint(x, inverse_cell, mesh, others), "positions are not finite")


def read(x, inverse_cell, meshes, out):
    """Cloud-in-cell interpolation of several meshes at the particles: the adjoint of `paint`.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in Mpc/h.
    inverse_cell : float
        Cells per Mpc/h.
    meshes : array (c, m, m, m) float32
    out : array (c, N) float32
        Overwritten with the values at the particles.

    Raises
    ------
    FloatingPointError
        Some positions are not finite.
    """
    _raise_if(_read(x, inverse_cell, meshes, out), "positions are not finite")


def _raise_if(bad: int, what: str) -> None:
    if bad:
        raise FloatingPointError(f"{bad} {what}")


@njit(inline="always")
def _cell(x, inverse_cell, m):
    """Lower cell, upper cell and weight of the upper cell along one axis; lower < 0 if NaN."""
    u = np.float64(x) * inverse_cell
    u -= m * np.floor(u / m)
    if not (0.0 <= u <= m):
        return -1, -1, np.float32(0.0)
    i = int(u)
    w = np.float32(u - i)
    if i >= m:
        i -= m
    j = i + 1
    if j >= m:
        j = 0
    return i, j, w


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _paint(x, inverse_cell, mesh, others):
    m = mesh.shape[0]
    n_particles = x.shape[1]
    threads = others.shape[0] + 1
    bad = 0
    for t in prange(threads):
        target = mesh if t == 0 else others[t - 1]
        target[:] = np.float32(0.0)
        one = np.float32(1.0)
        for p in range(t * n_particles // threads, (t + 1) * n_particles // threads):
            i0, i1, fx = _cell(x[0, p], inverse_cell, m)
            j0, j1, fy = _cell(x[1, p], inverse_cell, m)
            k0, k1, fz = _cell(x[2, p], inverse_cell, m)
            if i0 < 0 or j0 < 0 or k0 < 0:
                bad += 1
                continue
            gz = one - fz
            w00, w01 = (one - fx) * (one - fy), (one - fx) * fy
            w10, w11 = fx * (one - fy), fx * fy
            target[i0, j0, k0] += w00 * gz
            target[i0, j0, k1] += w00 * fz
            target[i0, j1, k0] += w01 * gz
            target[i0, j1, k1] += w01 * fz
            target[i1, j0, k0] += w10 * gz
            target[i1, j0, k1] += w10 * fz
            target[i1, j1, k0] += w11 * gz
            target[i1, j1, k1] += w11 * fz
    for i in prange(m):
        for t in range(threads - 1):
            mesh[i] += others[t, i]
    return bad


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def _read(x, inverse_cell, meshes, out):
    m = meshes.shape[1]
    bad = 0
    for p in prange(x.shape[1]):
        i0, i1, fx = _cell(x[0, p], inverse_cell, m)
        j0, j1, fy = _cell(x[1, p], inverse_cell, m)
        k0, k1, fz = _cell(x[2, p], inverse_cell, m)
        if i0 < 0 or j0 < 0 or k0 < 0:
            bad += 1
            continue
        one = np.float32(1.0)
        gz = one - fz
        w00, w01 = (one - fx) * (one - fy), (one - fx) * fy
        w10, w11 = fx * (one - fy), fx * fy
        for c in range(meshes.shape[0]):
            f = meshes[c]
            out[c, p] = (
                w00 * (gz * f[i0, j0, k0] + fz * f[i0, j0, k1])
                + w01 * (gz * f[i0, j1, k0] + fz * f[i0, j1, k1])
                + w10 * (gz * f[i1, j0, k0] + fz * f[i1, j0, k1])
                + w11 * (gz * f[i1, j1, k0] + fz * f[i1, j1, k1])
            )
    return bad
