import numpy as np
import pytest

from coca.gravity.mesh import CLOUDS, Mesh
from tests.plain import plain_difference, plain_paint, plain_read

M = 64


@pytest.fixture(scope="module")
def positions(domain, conditions):
    return domain.add_lattice(conditions.psi1)


def test_mesh_equals_the_plain_twins(domain, positions):
    """What is painted, and the mesh and its gradient at the particles."""
    mesh, cell, cloud = Mesh(domain, M, order=4), domain.box_size / M, CLOUDS["cic"]
    exchange = mesh.paint(positions)
    field = mesh.field[..., :M].astype(np.float64)
    # float32 sums of up to hundreds of particles a cell
    np.testing.assert_allclose(field, plain_paint(positions, cloud, M, cell), atol=1e-3)
    read = np.empty(positions.shape[1], np.float32)
    mesh.read(positions, exchange, read)
    expected = plain_read(positions, field, cloud, cell)
    np.testing.assert_allclose(read, expected, atol=1e-6 * field.max())
    gradient = np.empty_like(positions)
    mesh.read_gradient(positions, exchange, gradient, np.empty(0, np.float32))
    for axis in range(3):
        difference = plain_difference(field, axis, 4)
        expected = plain_read(positions, difference, cloud, cell) / cell
        np.testing.assert_allclose(gradient[axis], expected, atol=2e-6 * np.abs(field).max())


def test_the_gradient_is_read_again_anywhere(domain, positions):
    """The same bits at the same places, of some particles in any order."""
    mesh = Mesh(domain, M, order=4)
    exchange = mesh.paint(positions)
    gradient = np.empty_like(positions)
    mesh.read_gradient(positions, exchange, gradient, np.empty(0, np.float32))
    some = np.random.default_rng(1).permutation(positions.shape[1])[:1000]
    again = mesh.read_gradient_again(np.ascontiguousarray(positions[:, some]))
    np.testing.assert_array_equal(again, gradient[:, some])
