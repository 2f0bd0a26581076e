"""Rotations, reflections and shifts of the box, by which one simulation is 384."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

TILE = 8
"""Cells along a side of the tiles in which fields are kept."""
SIGN = np.uint16(0x8000)
"""The bit of a bfloat16 number that holds its sign."""


class Symmetry(NamedTuple):
    """An element of the octahedral group and a translation, acting on fields of n^3 cells."""

    axes: Sequence[int] = (0, 1, 2)
    """The axis of the field that becomes each of the image's."""
    signs: Sequence[int] = (1, 1, 1)
    """Reflections, of 1 and -1, after the permutation."""
    shift: Sequence[int] = (0, 0, 0)
    """Cells of translation; odd ones break up the network's folding."""

    @classmethod
    def random(cls, rng: np.random.Generator) -> Symmetry:
        """One of the 48 rotations and reflections, with a shift of 0 or 1 along each axis."""
        draws = rng.permutation(3), rng.choice([1, -1], 3), rng.integers(0, 2, 3)
        return cls(*(draw.tolist() for draw in draws))

    def cells(self, n: int) -> list[np.ndarray]:
        """Three arrays (n,): cell (i, j, l) of the image is cell x[i] + y[j] + z[l] of the field,
        counted in the order of `tiled`."""
        tile = math.gcd(n, TILE)
        across, within = (n // tile) ** np.arange(2, -1, -1), tile ** np.arange(2, -1, -1)
        tables = []
        for axis, sign, shift in zip(self.axes, self.signs, self.shift, strict=True):
            place = (np.arange(n) - shift) % n
            place = place if sign > 0 else n - 1 - place
            tables.append(place // tile * across[axis] * tile**3 + place % tile * within[axis])
        return tables

    @property
    def flips(self) -> np.ndarray:
        """The bits that change the sign of each component of the image, (3,)."""
        return np.where(np.array(self.signs) < 0, SIGN, np.uint16(0))


def tiled(field: np.ndarray) -> np.ndarray:
    """Cells (n, n, n, ...) in one row, tile by tile: what is close in the box, in whatever order it
    is visited, is close in memory."""
    n, rest = len(field), field.shape[3:]
    tile = math.gcd(n, TILE)
    m = n // tile
    parts = field.reshape(m, tile, m, tile, m, tile, *rest)
    return np.moveaxis(parts, (2, 4), (1, 2)).reshape(n**3, *rest)
