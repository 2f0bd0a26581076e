import numpy as np
import pytest

from tests.kernels.meshes import CELL, M


@pytest.fixture
def positions():
    """Random particles far beyond the box on both sides, and awkward ones: on the edges of
    cells and of the box, at L, a rounding error away from them, negative."""
    L = M * CELL
    x = np.random.default_rng(1).uniform(-3 * L, 4 * L, (3, 5000))
    edge = np.float32(L)
    awkward = [
        0.0, -0.0, L, -L, 2 * L, CELL, -CELL, L - CELL, 0.5 * CELL, L - 0.5 * CELL, -1e-9, 1e-30,
        np.nextafter(edge, np.float32(0)), np.nextafter(edge, 2 * edge), 5 * CELL, 1e6 * CELL,
    ]  # fmt: skip
    x[:, : len(awkward)] = awkward
    return x.astype(np.float32)


@pytest.fixture
def mesh():
    return np.random.default_rng(2).normal(size=(M, M, M))
