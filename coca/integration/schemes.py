"""Integration schemes as data: lists of steps with their weights.

Every step is drift - kick - drift with one force evaluation in the middle, between boundaries in D.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from coca.cosmology.background import Cosmology


class Step(NamedTuple):
    """A step from D0 to D1 with the force at D_mid, and the weights of its kick."""

    D0: float
    D_mid: float
    D1: float
    alpha: float
    """Factor of the velocity."""
    beta: float
    """Factor of the acceleration, subtracted."""


Scheme = Callable[[Cosmology, np.ndarray], list[Step]]
"""Gives the steps between boundaries in D."""


def power_fractions(steps: int, exponent: float = 1.0) -> np.ndarray:
    """Boundaries (i/n)^exponent of n steps, for `step_boundaries`: with an exponent below one late
    steps are shorter."""
    return np.linspace(0.0, 1.0, steps + 1) ** exponent


def step_boundaries(D_start: float, D_end: float, fractions: np.ndarray) -> np.ndarray:
    """Boundaries in D of steps that divide D_start to D_end like `fractions`, from 0 to 1."""
    D = D_start + (D_end - D_start) * np.asarray(fractions, np.float64)
    D[0], D[-1] = D_start, D_end
    return D


def bullfrog(cosmology: Cosmology, boundaries: np.ndarray) -> list[Step]:
    """BullFrog weights on (v, g), 2LPT-consistent (Rampf, List & Hahn 2024, arXiv:2409.19049)."""

    def weights(D0: float, D_mid: float, D1: float) -> tuple[float, float]:
        E0, slope0, _ = cosmology.D2_of_D(D0)
        slope1 = cosmology.D2_of_D(D1)[1]
        F = (E0 + slope0 * (D_mid - D0)) / D_mid - D_mid
        alpha = (slope1 - F) / (slope0 - F)
        return alpha, (1.0 - alpha) / D_mid

    return _steps(boundaries, weights)


def fastpm(cosmology: Cosmology, boundaries: np.ndarray) -> list[Step]:
    """FastPM weights on (v, g), Zel'dovich-consistent (Feng et al. 2016, arXiv:1603.00476)."""

    def weights(D0: float, D_mid: float, D1: float) -> tuple[float, float]:
        alpha = cosmology.mu(D0) / cosmology.mu(D1)
        return alpha, (1.0 - alpha) / D_mid

    return _steps(boundaries, weights)


def residual(cosmology: Cosmology, boundaries: np.ndarray) -> list[Step]:
    """Weights on (w, s) that integrate dw/dD = -c D w - s with s constant over the step."""

    def weights(D0: float, D_mid: float, D1: float) -> tuple[float, float]:
        mu1 = cosmology.mu(D1)
        return cosmology.mu(D0) / mu1, cosmology.integral_mu(D0, D1) / mu1

    return _steps(boundaries, weights)


def _steps(
    boundaries: np.ndarray, weights: Callable[[float, float, float], tuple[float, float]]
) -> list[Step]:
    rows = []
    for D0, D1 in itertools.pairwise(map(float, boundaries)):
        D_mid = 0.5 * (D0 + D1)
        rows.append(Step(D0, D_mid, D1, *(float(w) for w in weights(D0, D_mid, D1))))
    return rows
