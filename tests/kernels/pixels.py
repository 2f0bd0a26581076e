"""Pixels of many directions."""

import numba
import numpy as np
from coca.kernels.healpix import ring_pixel


@numba.njit
def ring_pixels(n_side, vectors):
    """Ring pixels of vectors (M, 3) float32."""
    n = np.float32(n_side)
    return np.array([ring_pixel(n, v[0], v[1], v[2]) for v in vectors])
