"""Integration schemes as data: lists of steps with their weights.

Every step is drift - kick - drift with one force evaluation in the middle. The edges of n steps
are D_start + (D_end - D_start) (i/n)^exponent: uniform in D by default, shorter late with less.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from coca.cosmology import Cosmology


class Step(NamedTuple):
    """A step from D0 to D1 with the force at D_mid, and the weights of its kick."""

    D0: float
    D_mid: float
    D1: float
    alpha: float
    """Factor of the velocity."""
    beta: float
    """Factor of the acceleration, subtracted."""


def times(
    D_start: float, D_end: float, steps: int, exponent: float = 1.0
) -> list[tuple[float, float]]:
    """Start and end of each step."""
    edges = D_start + (D_end - D_start) * np.linspace(0.0, 1.0, steps + 1) ** exponent
    edges[-1] = D_end
    return [(float(D0), float(D1)) for D0, D1 in itertools.pairwise(edges)]


def bullfrog(
    cosmology: Cosmology, D_start: float, D_end: float, steps: int, exponent: float = 1.0
) -> list[Step]:
    """BullFrog weights on (v, g), 2LPT-consistent (Rampf, List & Hahn 2024, arXiv:2409.19049)."""

    def weights(D0: float, D_mid: float, D1: float) -> tuple[float, float]:
        E0, slope0, _ = cosmology.D2_of_D(D0)
        slope1 = cosmology.D2_of_D(D1)[1]
        F = (E0 + slope0 * (D_mid - D0)) / D_mid - D_mid
        alpha = (slope1 - F) / (slope0 - F)
        return alpha, (1.0 - alpha) / D_mid

    return _steps(times(D_start, D_end, steps, exponent), weights)


def fastpm(
    cosmology: Cosmology, D_start: float, D_end: float, steps: int, exponent: float = 1.0
) -> list[Step]:
    """FastPM weights on (v, g), Zel'dovich-consistent (Feng et al. 2016, arXiv:1603.00476)."""

    def weights(D0: float, D_mid: float, D1: float) -> tuple[float, float]:
        alpha = cosmology.mu(D0) / cosmology.mu(D1)
        return alpha, (1.0 - alpha) / D_mid

    return _steps(times(D_start, D_end, steps, exponent), weights)


def residual(
    cosmology: Cosmology, D_start: float, D_end: float, steps: int, exponent: float = 1.0
) -> list[Step]:
    """Weights on (w, s) that integrate dw/dD = -c D w - s with s constant over the step."""

    def weights(D0: float, D_mid: float, D1: float) -> tuple[float, float]:
        mu1 = cosmology.mu(D1)
        return cosmology.mu(D0) / mu1, cosmology.integral_mu(D0, D1) / mu1

    return _steps(times(D_start, D_end, steps, exponent), weights)


def _steps(
    edges: list[tuple[float, float]], weights: Callable[[float, float, float], tuple[float, float]]
) -> list[Step]:
    rows = []
    for D0, D1 in edges:
        D_mid = 0.5 * (D0 + D1)
        rows.append(Step(D0, D_mid, D1, *(float(w) for w in weights(D0, D_mid, D1))))
    return rows
