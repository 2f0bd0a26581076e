"""Flat background and growth, with the linear growth factor D as time.

Dark energy is a cosmological constant or has the equation of state w0 + wa (1 - a) (Chevallier &
Polarski 2001, Linder 2003), and does not cluster. D is normalised to D(a=1) = 1. Radiation is
neglected, as in the N-body equations.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import TypeVar

import numpy as np
from scipy.integrate import solve_ivp
from scipy.interpolate import CubicSpline

A_FIRST, A_LAST = 1e-4, 2.0
"""Range of scale factors over which growth is tabulated."""
COSMOLOGIES = 32
"""Whose growth, a matter of Omega_m and dark energy alone, is remembered for the next run."""

Real = TypeVar("Real", float, np.ndarray)

_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(16)

LAMBDA = {"w0": -1.0, "wa": 0.0}
"""Dark energy's equation of state where it is a cosmological constant."""

NEARBY = 1e-9
"""Difference of growth factors, about round-off, that makes none."""

RHO_CRIT = 2.77536627e11
"""Critical density today in (Msun/h) / (Mpc/h)^3."""


def redshift(a: Real) -> Real:
    """Redshift of scale factor `a`."""
    return 1.0 / a - 1.0


def scale_factor(z: Real) -> Real:
    """Scale factor at redshift `z`."""
    return 1.0 / (1.0 + z)


@dataclass(frozen=True)
class Background:
    """The expansion of a flat universe of matter and dark energy."""

    Omega_m: float
    w0: float = -1.0
    """Dark energy's equation of state today."""
    wa: float = 0.0
    """Minus its slope in a."""

    @property
    def is_lambda(self) -> bool:
        """Whether dark energy is a cosmological constant."""
        return {"w0": self.w0, "wa": self.wa} == LAMBDA

    def E(self, a: Real) -> Real:
        """Hubble rate H(a) / H0."""
        if self.is_lambda:
            return np.sqrt(self.Omega_m * np.power(a, -3.0, dtype=float) + 1.0 - self.Omega_m)
        dark = np.power(a, -3.0 * (1.0 + self.w0 + self.wa), dtype=float)
        dark *= np.exp(-3.0 * self.wa * (1.0 - a))
        matter = self.Omega_m * np.power(a, -3.0, dtype=float)
        return np.sqrt(matter + (1.0 - self.Omega_m) * dark)

    def Omega_m_a(self, a: Real) -> Real:
        """Matter density parameter at scale factor `a`."""
        return self.Omega_m * np.power(a, -3.0, dtype=float) / self.E(a) ** 2

    def friction(self, a: float, Omega_m_a: float) -> float:
        """2 + dlnH/dlna at scale factor `a`, where the matter density parameter is known."""
        if self.is_lambda:
            return 2.0 - 1.5 * Omega_m_a
        w = self.w0 + self.wa * (1.0 - a)
        return 0.5 - 1.5 * w * (1.0 - Omega_m_a)


@dataclass(frozen=True)
class Cosmology:
    """A flat cosmology of matter and dark energy, and its growth functions.

    Parameters
    ----------
    Omega_m, Omega_b : float
        Present matter and baryon density in units of the critical density.
    h : float
        Hubble constant in 100 km/s/Mpc.
    n_s : float
        Scalar spectral index.
    sigma_8 : float
        Linear rms density contrast in spheres of 8 Mpc/h at z = 0.
    w0, wa : float
        Dark energy's equation of state p / rho is w0 + wa (1 - a); by default Lambda's.
    m_nu : float
        Sum of neutrino masses in eV, of which linear power alone knows; Omega_m has them in it.
    """

    Omega_m: float
    Omega_b: float
    h: float
    n_s: float
    sigma_8: float
    w0: float = -1.0
    wa: float = 0.0
    m_nu: float = 0.0

    @property
    def background(self) -> Background:
        """What the growth depends on."""
        return Background(self.Omega_m, self.w0, self.wa)

    def known(self) -> dict[str, float]:
        """The parameters by name, w0 and wa only where they are not Lambda's and m_nu where it is
        not 0: the same names and values as ever for what is kept on disk under them."""
        names, usual = [field.name for field in fields(self)], LAMBDA | {"m_nu": 0.0}
        values = {name: getattr(self, name) for name in names}
        return {k: v for k, v in values.items() if k not in usual or v != usual[k]}

    def E(self, a: Real) -> Real:
        """Hubble rate H(a) / H0."""
        return self.background.E(a)

    def Omega_m_a(self, a: Real) -> Real:
        """Matter density parameter at scale factor `a`."""
        return self.background.Omega_m_a(a)

    @property
    def _growth(self) -> CubicSpline:
        return _growth(self.background)

    @property
    def _lna_of_lnD(self) -> CubicSpline:
        return _lna_of_lnD(self.background)

    @property
    def early_growth(self) -> float:
        """D(a) / a deep in matter domination, with D = 1 today."""
        return float(self._growth(np.log(A_FIRST))[0]) / A_FIRST

    def D1(self, a: Real) -> Real:
        """Linear growth factor."""
        return self._growth(np.log(a))[0]

    def f1(self, a: Real) -> Real:
        """Linear growth rate f = dlnD1/dlna."""
        D1, dD1 = self._growth(np.log(a))[:2]
        return dD1 / D1

    def D2(self, a: Real) -> Real:
        """Second-order growth factor, -3/7 D1^2 in Einstein-de Sitter."""
        return self._growth(np.log(a))[2]

    def f2(self, a: Real) -> Real:
        """Second-order growth rate dlnD2/dlna."""
        D2, dD2 = self._growth(np.log(a))[2:]
        return dD2 / D2

    def a_of_D(self, D: Real) -> Real:
        """Scale factor at which the linear growth factor is `D`."""
        return np.exp(self._lna_of_lnD(np.log(D)))

    def c(self, D: Real) -> Real:
        """Coefficient c(D) = (3/2) Omega_m(a) / (f^2 D^2) of the equation of motion in D."""
        a = self.a_of_D(D)
        return 1.5 * self.Omega_m_a(a) / (self.f1(a) * D) ** 2

    def D2_of_D(self, D: float) -> tuple[float, float, float]:
        """Second-order growth E(D) = D2 and its derivatives dE/dD and d2E/dD2.

        The second derivative is the equation of motion in D-time,
        E'' = c (E - D^2 - D E').

        Returns
        -------
        tuple of float
            E, dE/dD, d2E/dD2.
        """
        _, dD1, D2, dD2 = self._growth(np.log(self.a_of_D(D)))
        slope = dD2 / dD1
        return D2, slope, self.c(D) * (D2 - D**2 - D * slope)

    def mu(self, D: Real) -> Real:
        """Integrating factor mu = a^2 f E(a) D, for which dln mu/dD = c D."""
        a = self.a_of_D(D)
        return a**2 * self.f1(a) * self.E(a) * D

    def integral_mu(self, D0: float, D1: float) -> float:
        """Integral of mu over D from `D0` to `D1` (16-point Gauss-Legendre)."""
        half = 0.5 * (D1 - D0)
        return half * np.dot(_GAUSS_WEIGHTS, self.mu(D0 + half * (1.0 + _GAUSS_NODES)))

    def velocity_unit(self, D: Real) -> Real:
        """Peculiar velocity in km/s of a particle with dx/dD = 1 Mpc/h: 100 E(a) a f D."""
        a = self.a_of_D(D)
        return 100.0 * self.E(a) * a * self.f1(a) * D


@lru_cache(COSMOLOGIES)
def _growth(background: Background) -> CubicSpline:
    """Spline in ln a of (D1, dD1/dlna, D2, dD2/dlna), D1(a=1) = 1.

    Solves D1'' + (2 + dlnH/dlna) D1' = (3/2) Omega_m(a) D1 and the same with source
    D2 - D1^2 for the second order (Bouchet et al. 1995), from Einstein-de Sitter values.
    """

    def derivative(lna: float, y: np.ndarray) -> list[float]:
        D1, dD1, D2, dD2 = y
        a = np.exp(lna)
        Om = background.Omega_m_a(a)
        friction = background.friction(a, Om)
        return [
            dD1,
            1.5 * Om * D1 - friction * dD1,
            dD2,
            1.5 * Om * (D2 - D1**2) - friction * dD2,
        ]

    a0 = A_FIRST
    start = [a0, a0, -3 / 7 * a0**2, -6 / 7 * a0**2]
    lna = np.linspace(np.log(a0), np.log(A_LAST), 2048)
    lna[np.argmin(np.abs(lna))] = 0.0
    solution = solve_ivp(derivative, lna[[0, -1]], start, "DOP853", lna, rtol=1e-11, atol=1e-16)
    D1, dD1, D2, dD2 = solution.y
    norm = D1[lna == 0.0][0]
    table = np.stack([D1 / norm, dD1 / norm, D2 / norm**2, dD2 / norm**2])
    return CubicSpline(lna, table, axis=1)


@lru_cache(COSMOLOGIES)
def _lna_of_lnD(background: Background) -> CubicSpline:
    growth = _growth(background)
    return CubicSpline(np.log(growth(growth.x)[0]), growth.x)
