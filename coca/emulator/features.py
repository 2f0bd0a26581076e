"""Input features of the network: displacements and smoothed densities, from linear modes.

Channels: Psi1, Psi2, Psi1 smoothed over 4 and 12 Mpc/h, linear density smoothed over 2, 4, 8
and 16 Mpc/h (Gaussian), all at D = 1. The smoothing hands the network the scales that its
convolutions reach only after many layers.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from coca import kernels
from coca.parallel.domain import Domain
from coca.parallel.fft import Multiply

DISPLACEMENT_RADII = (4.0, 12.0)
DENSITY_RADII = (2.0, 4.0, 8.0, 16.0)
VECTORS = 2 + len(DISPLACEMENT_RADII)
"""Vector fields, whose components are the first channels; the others are scalars."""
CHANNELS = 3 * VECTORS + len(DENSITY_RADII)


def features(domain: Domain, delta_k: np.ndarray, psi1: np.ndarray, psi2: np.ndarray) -> np.ndarray:
    """Features of the linear field.

    Parameters
    ----------
    domain : Domain
    delta_k : array (n, rows, n//2+1) complex64
        Modes of delta_lin(D=1).
    psi1, psi2 : array (3, N) float32
        LPT displacements in Mpc/h.

    Returns
    -------
    array (CHANNELS, planes, n, n) float32
    """
    fft, kf = domain.transform(domain.n_side), domain.kf
    out, work, smooth = fft.empty(CHANNELS), fft.empty_k(), fft.empty_k()
    out[0:3], out[3:6] = psi1.reshape(3, *fft.shape), psi2.reshape(3, *fft.shape)
    green = partial(kernels.fourier.inverse_laplacian, kf=kf, scale=-1.0, assignment=0)
    channel = 6
    for radius in DISPLACEMENT_RADII:
        smooth[:] = delta_k
        fft.multiply(smooth, _gaussian(kf, radius))
        fft.multiply(smooth, green)
        for axis in range(3):
            ik = partial(kernels.fourier.gradient, kf=kf, axis=axis, scale=1.0)
            fft.backward(smooth, out[channel], ik, work)
            channel += 1
    for radius in DENSITY_RADII:
        fft.backward(delta_k, out[channel], _gaussian(kf, radius), work)
        channel += 1
    return out


def _gaussian(kf: float, radius: float) -> Multiply:
    return partial(kernels.fourier.gaussian_filter, kf=kf, radius=radius, scale=1.0)
