"""Input features of the network: displacements and smoothed densities, from linear modes.

Channels: Psi1, Psi2, Psi1 smoothed over 4 and 12 Mpc/h, linear density smoothed over 2, 4, 8
and 16 Mpc/h (Gaussian), all at D = 1. The smoothing hands the network the scales that its
convolutions reach only after many layers.
"""

from __future__ import annotations

import numpy as np

import kernels.fourier
from coca.domain import Domain

DISPLACEMENT_RADII = (4.0, 12.0)
DENSITY_RADII = (2.0, 4.0, 8.0, 16.0)
CHANNELS = 6 + 3 * len(DISPLACEMENT_RADII) + len(DENSITY_RADII)


def features(domain: Domain, delta_k: np.ndarray, psi1: np.ndarray, psi2: np.ndarray) -> np.ndarray:
    """Features of the linear field.

    Parameters
    ----------
    domain : Domain
    delta_k : array (n, n, n//2+1) complex64
        Modes of delta_lin(D=1).
    psi1, psi2 : array (3, n^3) float32
        LPT displacements in Mpc/h.

    Returns
    -------
    array (CHANNELS, n, n, n) float32
    """
    fft, kf = domain.transform(domain.n), domain.kf
    out, work, smooth = fft.empty(CHANNELS), fft.empty_k(), fft.empty_k()
    out[0:3], out[3:6] = psi1.reshape(3, *fft.shape), psi2.reshape(3, *fft.shape)
    channel = 6
    for radius in DISPLACEMENT_RADII:
        kernels.fourier.gaussian_filter(delta_k, kf, radius, -1.0, smooth)
        kernels.fourier.inverse_laplacian(smooth, kf, 1.0, 0)
        for axis in range(3):
            kernels.fourier.gradient(smooth, kf, axis, work)
            fft.backward(work, out[channel])
            channel += 1
    for radius in DENSITY_RADII:
        kernels.fourier.gaussian_filter(delta_k, kf, radius, 1.0, work)
        fft.backward(work, out[channel])
        channel += 1
    return out
