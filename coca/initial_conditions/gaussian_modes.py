"""Gaussian modes of the linear density field at D = 1."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.cosmology.linear_power import LinearPower
from coca.parallel.domain import Domain


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
    array (n, rows, n//2+1) complex64
        As `coca.parallel.fft` lays them out.
    """
    fft = domain.transform(domain.n_side)
    modes = fft.empty_k()
    kernels.noise.gaussian_modes(modes, fft.first, seed, fixed_amplitude)
    return -modes if paired else modes


def modes_of_white_noise(domain: Domain, noise: np.ndarray) -> np.ndarray:
    """Unit-variance modes of unit-variance white noise, this rank's planes (planes, n, n)."""
    fft = domain.transform(domain.n_side)
    field = fft.empty()
    field[:] = noise
    modes = fft.forward(field)
    modes *= np.float32(domain.particles**-0.5)
    half, rows = domain.n_side // 2, _rows(domain)
    modes[half], modes[:, rows == half], modes[:, :, half] = 0, 0, 0
    modes[0, rows == 0, 0] = 0
    return modes


def linear_density(domain: Domain, modes: np.ndarray, power: LinearPower) -> np.ndarray:
    """Modes of delta_lin(D=1): unit-variance modes times sqrt(P(k) / V).

    Parameters
    ----------
    domain : Domain
    modes : array (n, rows, n//2+1) complex64
        Unit variance; scaled in place and returned.
    power : LinearPower
    """
    m = np.fft.fftfreq(domain.n_side, 1.0 / domain.n_side) ** 2
    rows, last = m[_rows(domain)], m[: domain.n_side // 2 + 1]
    squares = np.arange(int(3 * (domain.n_side // 2) ** 2) + 1)
    amplitude = np.sqrt(power(domain.kf * np.sqrt(squares)) / domain.box_size**3)
    amplitude = amplitude.astype(np.float32)
    for i in range(domain.n_side):
        modes[i] *= amplitude[(m[i] + rows[:, None] + last[None, :]).astype(np.int64)]
    return modes


def _rows(domain: Domain) -> np.ndarray:
    """Numbers of this rank's rows of modes along y."""
    fft = domain.transform(domain.n_side)
    return np.arange(fft.first, fft.first + fft.shape_k[1])
