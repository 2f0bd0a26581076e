import numpy as np
import pytest
from coca.kernels.tree import LEAF

from coca import kernels
from tests.kernels.clumps import L, clumps


@pytest.mark.parametrize("n", [1, 40, 3000])
def test_the_tree_halves_particles(n):
    x = np.concatenate([clumps(n, 0.1), np.zeros((3, n), np.float32)], axis=1)
    sorted_x, order = kernels.tree.tree_order(x, L)
    np.testing.assert_array_equal(np.sort(order), np.arange(2 * n))
    np.testing.assert_array_equal(sorted_x[:, : 2 * n], x[:, order])
    assert np.isnan(sorted_x[:, 2 * n :]).all()
    tree = kernels.tree.tree_of(sorted_x)
    for node, (first, leaves) in enumerate(tree.spans):
        inside = sorted_x[:, first * LEAF : min((first + leaves) * LEAF, 2 * n)]
        np.testing.assert_array_equal(tree.nodes[node, :3], inside.min(axis=1))
        np.testing.assert_array_equal(tree.nodes[node, 3:], inside.max(axis=1))
        if leaves > 1:
            lower = tree.nodes[node + 1], tree.nodes[node + 2 * ((leaves + 1) // 2)]
            assert np.any(lower[0][3:] <= lower[1][:3])


def test_values_are_taken_to_the_tree_and_back():
    """In an order that may name more particles than have values."""
    _, order = kernels.tree.tree_order(clumps(100, 1.0), L)
    values = np.random.default_rng(3).normal(size=(4, 90)).astype(np.float32)
    taken, back = np.zeros((4, 100), np.float32), np.empty((4, 90), np.float32)
    kernels.tree.take(values, order, taken)
    np.testing.assert_array_equal(taken[:, order < 90], values[:, order[order < 90]])
    assert not taken[:, order >= 90].any()
    kernels.tree.put_back(taken, order, back)
    np.testing.assert_array_equal(back, values)
