"""Primordial non-Gaussianity of the local type.

Bardeen's potential is Phi = phi + f_NL (phi^2 - <phi^2>), phi Gaussian, in matter domination, so
that f_NL > 0 has positive skewness (Komatsu & Spergel 2001, in the convention of the microwave
background). The linear density is delta = M(k) Phi at D = 1, with

    M(k) = (2/3) (k c / H0)^2 T(k) / (Omega_m D(a) / a), D(a) / a deep in matter domination,

and T = 1 at large scales.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import HUBBLE_LENGTH, LinearPower
from coca.initial_conditions import gaussian_modes
from coca.parallel.domain import Domain

K_LARGE = 1e-4
"""Wavenumber in h/Mpc at which T = 1: CAMB's spectra begin there."""


@dataclass(frozen=True)
class LocalType:
    """Local non-Gaussianity in a cosmology."""

    f_NL: float
    cosmology: Cosmology

    def transfer(self, power: LinearPower, k: np.ndarray) -> np.ndarray:
        """M(k), the linear density at D = 1 over the potential; k in h/Mpc, 0 at k = 0."""
        c = self.cosmology
        tilt, k = c.n_s, np.asarray(k, np.float64)
        some = np.where(k > 0, k, 1.0)
        T = np.sqrt(power(k) / some**tilt / (power(K_LARGE) / K_LARGE**tilt))
        return 2 / 3 * (k * HUBBLE_LENGTH) ** 2 * T / (c.Omega_m * c.early_growth)

    def add(self, domain: Domain, power: LinearPower, delta_k: np.ndarray) -> None:
        """Add M f_NL phi^2 to the Gaussian modes of linear density at D = 1.

        Parameters
        ----------
        domain : Domain
        power : LinearPower
            That of the modes, which are divided by M to have phi.
        delta_k : array (n, rows, n//2+1) complex64
            Changed in place. The zero mode and the Nyquist planes stay zero.
        """
        M = self.transfer(power, gaussian_modes.possible_wavenumbers(domain))
        inverse = np.divide(1.0, M, out=np.zeros_like(M), where=M > 0)
        phi_k = delta_k.copy()
        gaussian_modes.scale(domain, phi_k, inverse)
        square_k = square(domain, phi_k)
        gaussian_modes.scale(domain, square_k, self.f_NL * M)
        delta_k += square_k


def square(domain: Domain, phi_k: np.ndarray) -> np.ndarray:
    """Modes of the square of a field on the lattice, without aliasing.

    A product of two waves that is too fine for the lattice comes back as another wave, with a sign
    that is opposite on lattices half a cell apart: the mean over the eight of them has none
    (Patterson & Orszag 1971). It is what padding to twice the lattice gives, in less memory.

    Parameters
    ----------
    domain : Domain
    phi_k : array (n, rows, n//2+1) complex64
        The Nyquist planes are zero.

    Returns
    -------
    array (n, rows, n//2+1) complex64
        The zero mode and the Nyquist planes are zero.
    """
    fft = domain.transform(domain.n_side)
    total, work = np.zeros_like(phi_k), fft.empty_k()
    for shift in itertools.product((0.0, 0.5), repeat=3):
        phases = _phases(domain, shift)
        work[:] = phi_k
        for phase in phases:
            work *= phase
        field = fft.backward(work)
        field *= field
        fft.forward(field, work)
        for phase in phases:
            work *= phase.conj()
        total += work
    total *= np.float32(1.0 / (8 * domain.particles))
    gaussian_modes.clear_zero_and_nyquist(domain, total)
    return total


def _phases(domain: Domain, shift: tuple[float, ...]) -> list[np.ndarray]:
    """Factors along each axis of modes, complex64, that move a field by parts of a cell."""
    n = domain.n_side
    m = np.fft.fftfreq(n, 1.0 / n)
    axes = m[:, None, None], m[gaussian_modes.mode_rows(domain)][:, None], m[: n // 2 + 1]
    turns = (2j * np.pi * part / n * axis for part, axis in zip(shift, axes, strict=True))
    return [np.exp(turn).astype(np.complex64) for turn in turns]
