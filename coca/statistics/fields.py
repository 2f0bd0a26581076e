"""Modes of fields that particles carry."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.parallel.domain import Domain


def momentum_modes(domain: Domain, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Modes of one component of the momentum (1 + delta) u.

    Parameters
    ----------
    domain, x
        A domain of one rank whose n_side is the mesh, and positions (3, N) in [0, box_size].
    u : array (N,) float32
        Peculiar velocities along one axis in km/s.

    Returns
    -------
    array (m, m, m//2+1) complex64
        In km/s, not divided by the CIC window.
    """
    fft, m = domain.transform(domain.n_side), domain.n_side
    modes = fft.empty_k()
    field = fft.mesh(modes)
    field[...] = 0.0
    kernels.statistics.paint_weighted(x, u, m / domain.box_size, field)
    modes = fft.forward(field, modes)
    modes *= np.float32(1.0 / x.shape[1])
    modes[0, 0, 0] = 0.0
    return modes


def window(domain: Domain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CIC window along each axis of modes, float32, to be multiplied by broadcasting."""
    m = domain.n_side
    w = (np.sinc(np.fft.fftfreq(m)) ** 2).astype(np.float32)
    return w[:, None, None], w[None, :, None], w[None, None, : m // 2 + 1]


def wavenumbers(domain: Domain) -> np.ndarray:
    """|k| of all modes in units of domain.kf, array (m, m, m//2+1) float32."""
    i = np.fft.fftfreq(domain.n_side, 1.0 / domain.n_side).astype(np.float32) ** 2
    squares = i[:, None, None] + i[None, :, None] + i[None, None, : domain.n_side // 2 + 1]
    return np.sqrt(squares, out=squares)
