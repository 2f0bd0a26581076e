"""Particles inside a step, where those that go on and those that are seen are not the same.

Steps carry on the mean of where a particle can be; where it is seen at a step's end is about that
mean, at some phase of an orbit that no step resolves. Phases of two ends know little of each other:
half-way along straight lines between them haloes would be smaller than at either end, and along
cubics through the velocities that are seen they would be larger. So the separation from the mean
turns from the one into the other, as a vector turns, and keeps its size:

    d(t) = [sin((1 - t) theta) d0 + sin(t theta) d1] / sin(theta),

t from 0 to 1 through the step, with cos(theta) the correlation of d0 and d1 over all particles.
Separations that are alike (theta = 0) change in proportion to time. The mean goes on a cubic.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.parallel.domain import Domain
from coca.particles import State, hermite, hermite_weights

ALIKE = 1.0 - 1e-6
"""Correlation beyond which a turn is a straight line."""


class End(NamedTuple):
    """Particles at an end of a step."""

    goes_on: State
    seen: State

    @property
    def apart(self) -> bool:
        """Whether the two are not the same."""
        return self.seen is not self.goes_on


def inside(domain: Domain, before: End, after: End, D: float) -> tuple[np.ndarray, np.ndarray]:
    """Residual displacement and velocity, arrays (3, N) float32, at D between two ends."""
    if not (before.apart or after.apart):
        return hermite(before.goes_on, after.goes_on, D)
    H = after.goes_on.D_e - before.goes_on.D_e
    t = (D - before.goes_on.D_e) / H
    e, w = (
        _sum(before, after, name, weights, turn(t, _correlation(domain, before, after, name)))
        for name, weights in zip("ew", hermite_weights(t, H), strict=True)
    )
    return e, w


def slopes(domain: Domain, before: End, after: End) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives in D of the residual displacement of `inside` at both ends, arrays (3, N)
    float32."""
    H = after.goes_on.D_e - before.goes_on.D_e
    correlation = _correlation(domain, before, after, "e")
    first, last = (
        _sum(before, after, "e", hermite_weights(t, H)[1], turn_slopes(t, correlation) / H)
        for t in (0.0, 1.0)
    )
    return first, last


def turn(t: float, correlation: float) -> np.ndarray:
    """How much of the separations at either end there is at t, array (2,)."""
    angle = _angle(correlation)
    return np.sin(angle * np.array([1.0 - t, t])) / np.sin(angle)


def turn_slopes(t: float, correlation: float) -> np.ndarray:
    """Derivatives of `turn` in t."""
    angle = _angle(correlation)
    return angle * np.array([-1.0, 1.0]) * np.cos(angle * np.array([1.0 - t, t])) / np.sin(angle)


def _angle(correlation: float) -> float:
    """Angle by which separations turn; those that are alike or opposite turn by a little less than
    none or half a turn, which is the same to float32."""
    return float(np.arccos(np.clip(correlation, -ALIKE, ALIKE)))


def _sum(before: End, after: End, name: str, weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Sum (3, N) of weights times e and w that go on, at both ends, and of shares times what is
    seen of `name` less what goes on."""
    fields = [before.goes_on.e, before.goes_on.w, after.goes_on.e, after.goes_on.w]
    for end in (before, after):
        fields += [getattr(end.seen, name), getattr(end.goes_on, name)]
    all_weights = np.array([*weights, shares[0], -shares[0], shares[1], -shares[1]], np.float32)
    out = np.zeros_like(fields[0])
    kernels.particles.add_terms(tuple(fields), all_weights, out)
    return out


def _correlation(domain: Domain, before: End, after: End, name: str) -> float:
    """Correlation over all particles of what is seen of `name` less what goes on, at both ends; 1
    where one is nothing."""
    arrays = [getattr(s, name) for end in (before, after) for s in (end.goes_on, end.seen)]
    first, last, both = domain.sum(kernels.particles.products(*arrays))
    scale = np.sqrt(first * last)
    return both / scale if scale > 0.0 else 1.0
