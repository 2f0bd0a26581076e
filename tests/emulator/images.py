"""Symmetries to try, and what they do step by step."""

import numpy as np

from coca.emulator.symmetry import Symmetry

SYMMETRIES = [
    Symmetry(),
    Symmetry((1, 2, 0), (1, 1, 1), (0, 0, 0)),
    Symmetry((0, 2, 1), (-1, 1, 1), (1, 0, 0)),
    Symmetry((2, 0, 1), (-1, -1, 1), (1, 0, 1)),
]


def image(field, symmetry, vector=True):
    """The image of a vector field (3, n, n, n), or of a scalar (n, n, n), step by step."""
    axes, signs, shift = symmetry
    if not vector:
        flipped = tuple(i for i in range(3) if signs[i] < 0)
        return np.roll(np.flip(field.transpose(axes), flipped), shift, (0, 1, 2))
    components = [image(field[axis], symmetry, vector=False) for axis in axes]
    return np.array(components) * np.array(signs)[:, None, None, None]


def planar(cells, n):
    """Rows (n/2, n/2, n/2, 8, C) of a folded field as (C, n, n, n)."""
    m = n // 2
    cells = cells.reshape(m, m, m, 2, 2, 2, -1).transpose(6, 0, 3, 1, 4, 2, 5)
    return cells.reshape(-1, n, n, n)
