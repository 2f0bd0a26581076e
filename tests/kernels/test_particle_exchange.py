import numpy as np
from coca.kernels.constants import CIC

from coca import kernels
from tests.kernels.meshes import CELL, CLOUDS, M
from tests.plain import plain_clouds


@CLOUDS
def test_particles_leave_for_the_owners_of_their_cells(positions, cloud):
    """Every particle outside the rank's planes once, with its position, by owner."""
    planes, rank = 3, 2
    by_chunk, bad = kernels.particle_exchange.destinations(positions, 1 / CELL, M, planes, cloud)
    cells = next(plain_clouds(positions, M, CELL, cloud))[0][0] - (0 if cloud == CIC else -1)
    owners = cells % M // planes
    np.testing.assert_array_equal(by_chunk.sum(axis=0), np.bincount(owners, minlength=4))
    assert bad == 0
    by_chunk[:, rank] = 0
    counts = by_chunk.sum(axis=0)
    starts = np.cumsum(counts) - counts + np.cumsum(by_chunk, axis=0) - by_chunk
    rows = np.full((counts.sum(), 3), np.nan, np.float32)
    indices = np.full(len(rows), -1)
    kernels.particle_exchange.depart(
        positions, 1 / CELL, M, planes, cloud, rank, starts, rows, indices
    )
    np.testing.assert_array_equal(np.sort(indices), np.flatnonzero(owners != rank))
    np.testing.assert_array_equal(rows, positions.T[indices])
    np.testing.assert_array_equal(owners[indices], np.repeat(range(4), counts))
    home = np.zeros(positions.shape[1], np.float32)
    kernels.particle_exchange.return_values(rows, indices, 1, home)
    np.testing.assert_array_equal(home, np.where(owners != rank, positions[1], 0))


def test_positions_that_are_not_finite_go_nowhere(positions):
    positions[2, [5, 4000]] = np.nan, np.inf
    counts, bad = kernels.particle_exchange.destinations(positions, 1 / CELL, M, 3)
    assert bad == 2 and counts.sum() == positions.shape[1] - 2
