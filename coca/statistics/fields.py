"""Modes of fields that particles carry."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.parallel.domain import Grid


def density_field(grid: Grid, x: np.ndarray) -> np.ndarray:
    """Density over its mean, painted with CIC.

    Parameters
    ----------
    grid : Grid
    x : array (3, N) float32
        Positions in [0, box_size], Mpc/h.

    Returns
    -------
    array (m, m, m) float32
        At the points (i, j, l) box_size / m; its mean is 1.
    """
    field = np.zeros((grid.cells,) * 3, np.float32)
    weights = np.full(x.shape[1], grid.cells**3 / x.shape[1], np.float32)
    kernels.statistics.paint_weighted(x, weights, grid.cells / grid.box_size, field)
    return field


def momentum_modes(grid: Grid, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Modes of one component of the momentum (1 + delta) u.

    Parameters
    ----------
    grid, x
        The mesh, and positions (3, N) float32 in [0, box_size].
    u : array (N,) float32
        Peculiar velocities along one axis in km/s.

    Returns
    -------
    array (m, m, m//2+1) complex64
        In km/s, not divided by the CIC window.
    """
    fft, m = grid.transform(grid.cells), grid.cells
    modes = fft.empty_k()
    field = fft.mesh(modes)
    field[...] = 0.0
    kernels.statistics.paint_weighted(x, u, m / grid.box_size, field)
    modes = fft.forward(field, modes)
    modes *= np.float32(1.0 / x.shape[1])
    modes[0, 0, 0] = 0.0
    return modes


def window(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CIC window along each axis of modes, float32, to be multiplied by broadcasting."""
    m = grid.cells
    w = (np.sinc(np.fft.fftfreq(m)) ** 2).astype(np.float32)
    return w[:, None, None], w[None, :, None], w[None, None, : m // 2 + 1]


def wavenumbers_of_modes(grid: Grid) -> np.ndarray:
    """|k| of all modes in units of grid.kf, array (m, m, m//2+1) float32."""
    i = np.fft.fftfreq(grid.cells, 1.0 / grid.cells).astype(np.float32) ** 2
    squares = i[:, None, None] + i[None, :, None] + i[None, None, : grid.cells // 2 + 1]
    return np.sqrt(squares, out=squares)
