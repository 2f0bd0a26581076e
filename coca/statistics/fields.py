"""Modes of fields that particles carry."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.gravity.mesh import Mesh
from coca.parallel.domain import Domain


def density_modes(domain: Domain, x: np.ndarray) -> np.ndarray:
    """Modes of the density contrast of any number of particles, painted with CIC.

    Parameters
    ----------
    domain : Domain
        Of one rank; domain.n is the mesh.
    x : array (3, N) float32
        Positions in Mpc/h, in any order.

    Returns
    -------
    array (m, m, m//2+1) complex64
        delta(x) = sum_k delta_k exp(ikx), not divided by the CIC window.
    """
    density = Mesh(domain, domain.n)
    density.paint(x, ordered=False)
    return _normalised(domain, density.field, density.modes, x.shape[1])


def momentum_modes(domain: Domain, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Modes of one component of the momentum (1 + delta) u.

    Parameters
    ----------
    domain, x
        As for `density_modes`, x in [0, box_size].
    u : array (N,) float32
        Peculiar velocities along one axis in km/s.

    Returns
    -------
    array (m, m, m//2+1) complex64
        In km/s, not divided by the CIC window.
    """
    fft, m = domain.transform(domain.n), domain.n
    modes = fft.empty_k()
    field = fft.mesh(modes)
    field[...] = 0.0
    kernels.statistics.paint_weighted(x, u, m / domain.box_size, field)
    return _normalised(domain, field, modes, x.shape[1])


def _normalised(domain: Domain, field: np.ndarray, modes: np.ndarray, N: int) -> np.ndarray:
    """Modes of a field of sums over particles, over their mean number."""
    modes = domain.transform(domain.n).forward(field, modes)
    modes *= np.float32(1.0 / N)
    modes[0, 0, 0] = 0.0
    return modes


def window(domain: Domain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """CIC window along each axis of modes, float32, to be multiplied by broadcasting."""
    m = domain.n
    w = (np.sinc(np.fft.fftfreq(m)) ** 2).astype(np.float32)
    return w[:, None, None], w[None, :, None], w[None, None, : m // 2 + 1]


def wavenumbers(domain: Domain) -> np.ndarray:
    """|k| of all modes in units of domain.kf, array (m, m, m//2+1) float32."""
    i = np.fft.fftfreq(domain.n, 1.0 / domain.n).astype(np.float32) ** 2
    squares = i[:, None, None] + i[None, :, None] + i[None, None, : domain.n // 2 + 1]
    return np.sqrt(squares, out=squares)
