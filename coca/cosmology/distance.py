"""Comoving distances in a flat universe: chi(a) = c int da / (a^2 H)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.interpolate import CubicSpline

from coca.cosmology.background import COSMOLOGIES, Background, Cosmology, Real

HUBBLE_DISTANCE = 2997.92458
"""c / H0 in Mpc/h."""
A_FIRST, INTERVALS = 1e-3, 4096
"""First scale factor, and intervals in ln a until today, of the table of distances."""

TODAY = 1e-10
"""Scale factors that are so close to 1 are today's."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)


def comoving_distance(cosmology: Cosmology, a: Real) -> Real:
    """Comoving distance in Mpc/h to where light of scale factor `a`, 1e-3 to 1, comes from; 0 and
    no round-off for today."""
    return _table(cosmology.background)(np.log(a)) * (a < 1.0 - TODAY)


def scale_factor_at(cosmology: Cosmology, chi: Real) -> Real:
    """The scale factor from which light comes at comoving distance `chi` in Mpc/h."""
    return np.exp(_inverse(cosmology.background)(chi))


def distance_slope(cosmology: Cosmology, D: Real) -> Real:
    """dchi/dD = -c / (a H f D) in Mpc/h along the cone, D the growth factor."""
    a = cosmology.a_of_D(D)
    return -HUBBLE_DISTANCE / (a * cosmology.E(a) * cosmology.f1(a) * D)


@lru_cache(COSMOLOGIES)
def _table(background: Background) -> CubicSpline:
    lna = np.linspace(np.log(A_FIRST), 0.0, INTERVALS + 1)
    half = 0.5 * (lna[1] - lna[0])
    a = np.exp(lna[:-1, None] + half * (1.0 + _NODES))
    pieces = half * (1.0 / (a * background.E(a))) @ _WEIGHTS
    chi = HUBBLE_DISTANCE * np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
    return CubicSpline(lna, chi)


@lru_cache(COSMOLOGIES)
def _inverse(background: Background) -> CubicSpline:
    table = _table(background)
    return CubicSpline(table(table.x)[::-1], table.x[::-1])
