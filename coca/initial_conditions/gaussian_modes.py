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


def ngenic_modes(
    domain: Domain, seed: int, fixed_amplitude: bool = False, paired: bool = False
) -> np.ndarray:
    """Unit-variance modes that N-GenIC and 2LPTic draw from a seed, 1 to 2^31 - 1.

    As `white_noise_modes`, a mode being the same on a finer lattice here too. A line of modes
    along z of this rank's rows is drawn by its own generator, see `coca.kernels.ngenic`.
    """
    fft, n = domain.transform(domain.n_side), domain.n_side
    modes, numbers = fft.empty_k(), np.empty(n * n)
    kernels.ngenic.uniform(numbers, seed)
    seeds = kernels.ngenic.line_seeds(numbers, n)
    kernels.ngenic.gaussian_modes(modes, fft.first, seeds, fixed_amplitude)
    return -modes if paired else modes


GENERATORS = {"coca": white_noise_modes, "ngenic": ngenic_modes}
"""What turns a seed into modes, by the name that a configuration gives it."""


def modes_of_white_noise(domain: Domain, noise: np.ndarray) -> np.ndarray:
    """Unit-variance modes of unit-variance white noise, this rank's planes (planes, n, n)."""
    fft = domain.transform(domain.n_side)
    field = fft.empty()
    field[:] = noise
    modes = fft.forward(field)
    modes *= np.float32(domain.particles**-0.5)
    clear_zero_and_nyquist(domain, modes)
    return modes


def clear_zero_and_nyquist(domain: Domain, modes: np.ndarray) -> None:
    """Set the zero mode and the Nyquist planes to zero."""
    half, rows = domain.n_side // 2, mode_rows(domain)
    modes[half], modes[:, rows == half], modes[:, :, half] = 0, 0, 0
    modes[0, rows == 0, 0] = 0


def linear_modes(domain: Domain, modes: np.ndarray, power: LinearPower) -> np.ndarray:
    """Modes of delta_lin(D=1): unit-variance modes times sqrt(P(k) / V).

    Parameters
    ----------
    domain : Domain
    modes : array (n, rows, n//2+1) complex64
        Unit variance; scaled in place and returned.
    power : LinearPower
    """
    scale(domain, modes, np.sqrt(power(possible_wavenumbers(domain)) / domain.box_size**3))
    return modes


def possible_wavenumbers(domain: Domain) -> np.ndarray:
    """All wavenumbers that modes can have, h/Mpc: kf times the root of the index."""
    return domain.kf * np.sqrt(np.arange(3 * (domain.n_side // 2) ** 2 + 1))


def scale(domain: Domain, modes: np.ndarray, amplitude: np.ndarray) -> None:
    """Multiply modes in place by an amplitude at each of `possible_wavenumbers`."""
    m = np.fft.fftfreq(domain.n_side, 1.0 / domain.n_side) ** 2
    rows, last = m[mode_rows(domain)], m[: domain.n_side // 2 + 1]
    amplitude = amplitude.astype(np.float32)
    for i in range(domain.n_side):
        modes[i] *= amplitude[(m[i] + rows[:, None] + last[None, :]).astype(np.int64)]


def mode_rows(domain: Domain) -> np.ndarray:
    """Numbers of this rank's rows of modes along y."""
    fft = domain.transform(domain.n_side)
    return np.arange(fft.first, fft.first + fft.shape_k[1])
