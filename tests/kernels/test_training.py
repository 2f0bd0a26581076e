"""Kernels of the training against what they say, cell by cell."""

import numpy as np

from coca import kernels


def test_slopes_are_those_of_the_interpolation():
    """A mesh that is linear along each edge of a cell has the differences of its corners."""
    rng = np.random.default_rng(1)
    m, inverse_cell = 6, 0.5
    mesh = rng.normal(size=(m, m, 2 * (m // 2 + 1))).astype(np.float32)
    x = rng.uniform(-12, 24, size=(3, 50)).astype(np.float32)
    out = np.empty_like(x)
    kernels.training.read_slopes(x, inverse_cell, mesh, out)

    def interpolated(x):
        u = x.astype(np.float64) * inverse_cell
        low = np.floor(u)
        total = 0.0
        for corner in np.ndindex(2, 2, 2):
            c = np.array(corner)[:, None]
            weight = np.where(c, u - low, 1 - u + low).prod(axis=0)
            total = total + weight * mesh[tuple((low.astype(int) + c) % m)]
        return total

    h = 1e-3
    for axis in range(3):
        step = np.zeros((3, 1))
        step[axis] = h
        inside = np.floor((x + step) * inverse_cell) == np.floor((x - step) * inverse_cell)
        slopes = (interpolated(x + step) - interpolated(x - step)) / (2 * h)
        inside = inside.all(axis=0)
        assert inside.sum() > 40
        np.testing.assert_allclose(out[axis, inside], slopes[inside], atol=1e-4)


def test_forces_are_added_where_their_particles_are():
    m, K = 2, 2
    rng = np.random.default_rng(2)
    out = rng.normal(size=(m, m, m, 8, 3 * K)).astype(np.float32)
    force = rng.normal(size=(3, 64)).astype(np.float32)
    weights, scale = rng.normal(size=(2, 3 * K)).astype(np.float32)
    cells = force.reshape(3, m, 2, m, 2, m, 2).transpose(1, 3, 5, 2, 4, 6, 0)
    wanted = scale * (out + weights * np.tile(cells.reshape(m, m, m, 8, 3), K))
    kernels.training.add_force(force, weights, scale, out)
    np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=1e-6)
