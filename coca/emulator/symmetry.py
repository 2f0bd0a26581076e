"""Rotations, reflections and shifts of the box, by which one simulation is 384."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

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
        counted in its order in memory."""
        strides = (n * n, n, 1)
        places = [(np.arange(n) - shift) % n for shift in self.shift]
        return [
            strides[axis] * (place if sign > 0 else n - 1 - place)
            for axis, sign, place in zip(self.axes, self.signs, places, strict=True)
        ]

    def components(self, vectors: int, scalars: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Where the image's channels are among the field's, and the bits that change their sign.

        Channels are the components of some vectors, then scalars.
        """
        columns = 3 * np.arange(vectors)[:, None] + np.array(self.axes)
        flips = np.where(np.array(self.signs) < 0, SIGN, np.uint16(0))
        return (
            np.concatenate([columns.reshape(-1), 3 * vectors + np.arange(scalars)]),
            np.concatenate([np.tile(flips, vectors), np.zeros(scalars, np.uint16)]),
        )
