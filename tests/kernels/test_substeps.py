import numpy as np

from coca import kernels


def test_changes_are_put_where_they_belong():
    field = np.arange(30, dtype=np.float32).reshape(3, 10)
    before, indices = field.copy(), np.array([7, 2])
    kernels.substeps.add_at(before[:, indices], indices, field)
    np.testing.assert_array_equal(field[:, indices], 2 * before[:, indices])
    np.testing.assert_array_equal(field[:, 3], [3, 13, 23])


def test_dense_particles_are_found_tile_by_tile():
    lattice = (20, 20, 20)
    delta = np.random.default_rng(2).normal(size=8000).astype(np.float32)
    indices = kernels.substeps.above(delta, 0.5, lattice)
    np.testing.assert_array_equal(np.sort(indices), np.flatnonzero(delta > 0.5))
    x, y, _ = np.unravel_index(indices, lattice)
    assert (np.diff(2 * (x >= 16) + (y >= 16)) >= 0).all()  # tiles of 16 x 16 lines
