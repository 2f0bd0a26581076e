"""Gaussian modes of the linear density field at D = 1."""

from __future__ import annotations

import numpy as np

import kernels.noise
from coca.domain import Domain
from coca.power import LinearPower


def white_noise_modes(
    domain: Domain, seed: int, fixed_amplitude: bool = False, paired: bool = False
) -> np.ndarray:
    """Unit-variance Hermitian modes drawn from the seed.

    A mode depends on its integer wavevector and the seed alone: a finer lattice has the same
    large scales. The zero mode and the Nyquist planes are zero.

    Parameters
    ----------
    domain : Domain
    seed : int
    fixed_amplitude : bool
        Every mode has unit modulus and a random phase (Angulo & Pontzen 2016).
    paired : bool
        Turn every phase by pi, the partner of the same seed unpaired.

    Returns
    -------
    array (n, n, n//2+1) complex64
    """
    modes = domain.transform(domain.n).empty_k()
    kernels.noise.gaussian_modes(modes, seed, fixed_amplitude)
    return -modes if paired else modes


def modes_of_white_noise(domain: Domain, noise: np.ndarray) -> np.ndarray:
    """Unit-variance modes of a real field (n, n, n) of unit-variance white noise."""
    fft = domain.transform(domain.n)
    field = fft.empty()
    field[:] = noise
    modes = fft.forward(field)
    modes *= np.float32(domain.particles**-0.5)
    half = domain.n // 2
    modes[half], modes[:, half], modes[:, :, half] = 0, 0, 0
    modes[0, 0, 0] = 0
    return modes


def linear_density(domain: Domain, modes: np.ndarray, power: LinearPower) -> np.ndarray:
    """Modes of delta_lin(D=1): unit-variance modes times sqrt(P(k) / V).

    Parameters
    ----------
    domain : Domain
    modes : array (n, n, n//2+1) complex64
        Unit variance; scaled in place and returned.
    power : LinearPower
    """
    m = np.fft.fftfreq(domain.n, 1.0 / domain.n) ** 2
    last = m[: domain.n // 2 + 1]
    squares = np.arange(int(3 * (domain.n // 2) ** 2) + 1)
    amplitude = np.sqrt(power(domain.kf * np.sqrt(squares)) / domain.box_size**3)
    amplitude = amplitude.astype(np.float32)
    for i in range(domain.n):
        modes[i] *= amplitude[(m[i] + m[:, None] + last[None, :]).astype(np.int64)]
    return modes
