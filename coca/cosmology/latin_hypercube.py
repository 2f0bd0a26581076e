"""Latin hypercubes of parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import qmc


def latin_hypercube(
    ranges: Mapping[str, tuple[float, float]], count: int, seed: int
) -> list[dict[str, float]]:
    """`count` points, each with a value of every parameter between its two bounds."""
    low, high = np.array(list(ranges.values())).T
    points = qmc.LatinHypercube(len(low), rng=seed).random(count)
    rows = low + points * (high - low)
    return [dict(zip(ranges, map(float, row), strict=True)) for row in rows]
