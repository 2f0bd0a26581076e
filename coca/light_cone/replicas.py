"""Copies of the box that fill a light cone: periodic, or each turned and shifted at random.

A box is periodic, so that any shift, reflection or exchange of its axes gives a universe that is as
good. Turned copies are cubes of their own: sky[c] = sign[c] own[axes[c]] turns vectors of the box
into those of the sky, and the cube that is seen of the box begins at `origin` in it. The copy that
has the observer in it is as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from coca.light_cone.footprint import Footprint

FEWEST = 2**20
"""Numbers of copies are above minus this."""


@dataclass(frozen=True)
class Replica:
    """A copy of the box that is a cube of its own.

    Parameters
    ----------
    copy : array (3,) int
        Its place among copies, that with the observer at 0.
    axes : array (3,) int
        The box's axes that are those of the sky.
    signs : array (3,)
        1 or -1: whether the sky's axes go along them or the other way.
    origin : array (3,)
        The cube's corner in the box's own coordinates, Mpc/h.
    """

    copy: np.ndarray
    axes: np.ndarray
    signs: np.ndarray
    origin: np.ndarray

    def observer(self, observer: np.ndarray, box_size: float) -> np.ndarray:
        """The observer in the box's own coordinates, beyond the cube unless it is in this copy."""
        within = observer - box_size * self.copy
        own = np.empty(3)
        own[self.axes] = np.where(self.signs > 0, within, box_size - within)
        return own + self.origin

    def to_sky(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors (M, 3) of the box, turned into those of the sky."""
        return vectors[:, self.axes] * self.signs.astype(vectors.dtype)

    def to_own(self, vector: np.ndarray) -> np.ndarray:
        """A vector (3,) of the sky, turned into that of the box."""
        own = np.empty(3)
        own[self.axes] = self.signs * vector
        return own


PERIODIC = Replica(np.zeros(3, int), np.arange(3), np.ones(3), np.zeros(3))
"""The box as it is."""


def random_replica(seed: int, copy: tuple[int, ...]) -> Replica:
    """A copy's turn, reflection and, in boxes, shift: of a seed and the copy's place alone."""
    if not any(copy):
        return PERIODIC
    rng = np.random.default_rng([seed, *(FEWEST + number for number in copy)])
    return Replica(
        np.array(copy), rng.permutation(3), rng.choice([-1.0, 1.0], 3), rng.uniform(size=3)
    )


def replicas_between(
    seed: int, observer: np.ndarray, box_size: float, near: float, far: float
) -> Iterator[Replica]:
    """Copies that have points between two distances from the observer, Mpc/h."""
    low = np.floor((observer - far) / box_size).astype(int)
    high = np.floor((observer + far) / box_size).astype(int)
    for copy in itertools.product(*(range(a, b + 1) for a, b in zip(low, high, strict=True))):
        corner = box_size * np.array(copy) - observer
        least = np.maximum(np.maximum(corner, -corner - box_size), 0.0)
        most = np.maximum(np.abs(corner), np.abs(corner + box_size))
        if np.sum(least**2) <= far**2 and np.sum(most**2) >= max(near, 0.0) ** 2:
            found = random_replica(seed, copy)
            yield replace(found, origin=box_size * found.origin)


@dataclass(frozen=True)
class View:
    """What the kernels of `coca.kernels.light_cone` are told of a footprint in copies of the box.

    Parameters
    ----------
    window : array (11,)
        Where in the box's own axes, from the observer, particles may be seen: three numbers for the
        least and three for the most, and axis, cosine and sine of a cone.
    turn : array (11,)
        Three axes of the box that are the sky's, and their signs; and the footprint in the sky, by
        the least of any coordinate and axis and cosine of a cone.
    cube : array (4,)
        Its corner in the box and its side; 0 for all copies at once.
    """

    window: np.ndarray
    turn: np.ndarray
    cube: np.ndarray


def view_of(footprint: Footprint, chi: float) -> View:
    """All periodic copies, to a distance `chi`."""
    low, high = footprint.bounds
    return _view(footprint, PERIODIC, chi * low, chi * high, 0.0)


def view_of_replica(
    footprint: Footprint, replica: Replica, observer: np.ndarray, box_size: float, chi: float
) -> View:
    """One copy, to a distance `chi` from the observer in its own coordinates."""
    ends = [replica.to_own(chi * bound) for bound in footprint.bounds]
    corner = replica.origin - observer
    low = np.maximum(np.minimum(*ends), corner)
    return _view(
        footprint, replica, low, np.minimum(np.maximum(*ends), corner + box_size), box_size
    )


def _view(
    footprint: Footprint, replica: Replica, low: np.ndarray, high: np.ndarray, side: float
) -> View:
    axis, cosine, sine = np.zeros(3), -1.0, 0.0
    if footprint.name == "cone":
        angle = np.radians(footprint.radius)
        axis, cosine, sine = footprint.axis, float(np.cos(angle)), float(np.sin(angle))
    least = 0.0 if footprint.name == "octant" else -np.inf
    return View(
        np.array([*low, *high, *replica.to_own(axis), cosine, sine]),
        np.array([*replica.axes, *replica.signs, least, *axis, cosine]),
        np.array([*replica.origin, side]),
    )
