import numpy as np
import pytest

from coca.emulator.symmetry import tiled
from tests.emulator.images import SYMMETRIES, image


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetries_keep_a_gradient_a_gradient(symmetry):
    """Rotating a field and then taking its gradient, or the other way round, is the same."""
    f = np.random.default_rng(1).normal(size=(8, 8, 8))

    def gradient(f):
        return np.stack([np.roll(f, -1, i) - np.roll(f, 1, i) for i in range(3)])

    np.testing.assert_allclose(image(gradient(f), symmetry), gradient(image(f, symmetry, False)))


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("n", [16, 20])
def test_cells_of_an_image_are_found_in_tiles(symmetry, n):
    f = np.random.default_rng(1).normal(size=(n, n, n))
    x, y, z = symmetry.cells(n)
    found = tiled(f)[x[:, None, None] + y[None, :, None] + z]
    np.testing.assert_array_equal(found, image(f, symmetry, False))
