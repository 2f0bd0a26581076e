import itertools

import numpy as np
import pytest

from tests.kernels.pixels import ring_pixels


@pytest.mark.parametrize("n_side", [1, 2, 64, 8192])
def test_pixels_are_those_of_healpy(n_side):
    healpy = pytest.importorskip("healpy")
    rng = np.random.default_rng(n_side)
    vectors = rng.normal(size=(20_000, 3))
    vectors[5000:10_000, :2] *= 1e-4  # towards the poles
    axes = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=3)))
    vectors = np.concatenate([vectors, axes[np.any(axes != 0, axis=1)]])
    vectors = vectors.astype(np.float32)
    wanted = healpy.vec2pix(n_side, *vectors.T.astype(float))
    found = ring_pixels(n_side, vectors)
    assert np.all(found < 12 * n_side**2) and np.all(found >= 0)
    # on the borders of pixels round-off of 2e-7 decides, which are 1.2e-4 wide at n_side 8192
    assert np.sum((found != wanted)[:20_000]) <= 3 + 20_000 * 1.6e-6 * n_side
    centres = np.array(healpy.pix2vec(n_side, found)).T
    away = np.linalg.norm(np.cross(vectors, centres), axis=1) / np.linalg.norm(vectors, axis=1)
    assert np.all(np.arcsin(np.minimum(away, 1.0)) < healpy.max_pixrad(n_side) + 3e-7)
