"""The way of particles through a step, where those that go on and those that are seen differ.

Steps carry on the mean of where a particle can be; where it is seen at a step's end is about that
mean, at some phase of an orbit that no step resolves. Phases of two ends know little of each other:
half-way along straight lines between them haloes would be smaller than at either end, and along
cubics through the velocities that are seen they would be larger. So the separation d from the mean
turns from the one into the other, as a vector turns, while its size changes in proportion to time:

    d(t) = s(t) [sin((1 - t) theta) d0 / s0 + sin(t theta) d1 / s1] / sin(theta),
    s(t) = (1 - t) s0 + t s1,   cos(theta) = <d0 d1> / (s0 s1),

t from 0 to 1 through the step, s0 and s1 the rms of d0 and d1 over all particles; s(t) is that of
d(t). The mean goes on a cubic.

Velocities within haloes are as large as the mean's own, and the slope of its cubic, from the small
halo of means at one end to another at the other, is not the velocity of anything there. So the
mean velocity goes straight from end to end, and its separation turns, by a share that lets the rms
of what is seen change in proportion to time: part of the mean is lost between ends that differ.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.parallel.domain import Domain
from coca.particles import State, hermite, hermite_weights

ALIKE = 1.0 - 1e-6
"""Correlation beyond which separations are alike, or opposite."""
MOST = 3.0
"""Largest share of the separation of velocities that is taken."""


class End(NamedTuple):
    """Particles at an end of a step."""

    goes_on: State
    seen: State

    @property
    def apart(self) -> bool:
        """Whether the two are not the same."""
        return self.seen is not self.goes_on


class Turn(NamedTuple):
    """How one separation turns into another: their rms over all particles, and the angle."""

    first: float
    last: float
    angle: float

    @classmethod
    def of(cls, products: np.ndarray) -> Turn | None:
        """The turn of two separations, from the means of their products, array (2, 2); none where
        one is zero."""
        first, last = np.sqrt(np.diag(products))
        if first * last == 0.0:
            return None
        correlation = np.clip(products[0, 1] / (first * last), -ALIKE, ALIKE)
        return cls(float(first), float(last), float(np.arccos(correlation)))

    def shares(self, t: float) -> np.ndarray:
        """How much of either there is at t from 0 to 1, array (2,)."""
        size = (1.0 - t) * self.first + t * self.last
        return size * np.sin(self._phases(t)) / self._scale

    def slopes(self, t: float) -> np.ndarray:
        """Derivatives of `shares` in t."""
        size, phases = (1.0 - t) * self.first + t * self.last, self._phases(t)
        turning = size * self.angle * np.array([-1.0, 1.0]) * np.cos(phases)
        return ((self.last - self.first) * np.sin(phases) + turning) / self._scale

    def _phases(self, t: float) -> np.ndarray:
        return self.angle * np.array([1.0 - t, t])

    @property
    def _scale(self) -> np.ndarray:
        return np.sin(self.angle) * np.array([self.first, self.last])


class Way:
    """The way of particles through a step.

    Parameters
    ----------
    domain : Domain
    before, after : End
        At the step's start and at its end; looked at when the way is asked for.
    """

    def __init__(self, domain: Domain, before: End, after: End):
        self._domain, self._before, self.after = domain, before, after
        self._start = before.goes_on.D_e
        self._time = after.goes_on.D_e - self._start

    @property
    def cubic(self) -> bool:
        """Whether particles are seen where they go on, so that they go on a cubic."""
        return not (self._before.apart or self.after.apart)

    def at(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """Residual displacement and velocity at D, arrays (3, N) float32."""
        if self.cubic:
            return hermite(self._before.goes_on, self.after.goes_on, D)
        t = (D - self._start) / self._time
        of_e, _ = hermite_weights(t, self._time)
        e = self._sum("e", of_e, _shares(self._turn_of_e, t))
        straight, shares = np.array([1.0 - t, t]), _shares(self._turn_of_w, t)
        shares *= share_of_separation(self._products_of_w, straight, shares)
        return e, self._sum("w", np.array([0.0, straight[0], 0.0, straight[1]]), shares)

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Derivatives in D of the residual displacement at both ends, arrays (3, N) float32."""
        first, last = (
            self._sum(
                "e",
                hermite_weights(t, self._time)[1],
                _slopes(self._turn_of_e, t) / self._time,
            )
            for t in (0.0, 1.0)
        )
        return first, last

    @cached_property
    def _turn_of_e(self) -> Turn | None:
        return Turn.of(self._products("e")[2:, 2:])

    @cached_property
    def _turn_of_w(self) -> Turn | None:
        return Turn.of(self._products_of_w[2:, 2:])

    @cached_property
    def _products_of_w(self) -> np.ndarray:
        return self._products("w")

    def _products(self, name: str) -> np.ndarray:
        """Means (4, 4) over particles of products of what goes on at both ends, and of both
        separations."""
        ends = self._before, self.after
        arrays = [getattr(state, name) for end in ends for state in (end.goes_on, end.seen)]
        return self._domain.sum(kernels.particles.products(*arrays)) / self._domain.particles

    def _sum(self, name: str, weights: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Sum (3, N) of weights times e and w that go on, at both ends, and of shares times what is
        seen of `name` less what goes on."""
        before, after = self._before, self.after
        fields = [before.goes_on.e, before.goes_on.w, after.goes_on.e, after.goes_on.w]
        for end in (before, after):
            fields += [getattr(end.seen, name), getattr(end.goes_on, name)]
        all_weights = [*weights, shares[0], -shares[0], shares[1], -shares[1]]
        out = np.zeros_like(fields[0])
        kernels.particles.add_terms(tuple(fields), np.array(all_weights, np.float32), out)
        return out


def share_of_separation(products: np.ndarray, means: np.ndarray, separations: np.ndarray) -> float:
    """Share of a separation with which the rms of the whole changes in proportion to time.

    Parameters
    ----------
    products : array (4, 4)
        Of the means at both ends and of the separations from them, averaged over particles.
    means : array (2,)
        Shares 1 - t and t of the means.
    separations : array (2,)
        Shares of the separations.

    Returns
    -------
    float
        From 0 to `MOST`; 1 at either end.
    """
    whole = products[:2, :2] + 2.0 * products[:2, 2:] + products[2:, 2:]
    wanted = (means @ np.sqrt(np.diag(whole))) ** 2
    mean = means @ products[:2, :2] @ means
    mixed = means @ products[:2, 2:] @ separations
    apart = separations @ products[2:, 2:] @ separations
    if apart == 0.0:
        return 1.0
    root = np.sqrt(max(mixed**2 + apart * (wanted - mean), 0.0))
    return float(np.clip((root - mixed) / apart, 0.0, MOST))


def _shares(turn: Turn | None, t: float) -> np.ndarray:
    """Shares of both ends at t by a turn; in proportion to time where there is none."""
    return np.array([1.0 - t, t]) if turn is None else turn.shares(t)


def _slopes(turn: Turn | None, t: float) -> np.ndarray:
    """Derivatives of `_shares` in t."""
    return np.array([-1.0, 1.0]) if turn is None else turn.slopes(t)
