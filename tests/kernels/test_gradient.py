import numpy as np

from tests.kernels.meshes import CELL, CLOUDS, SLABS, read_gradient
from tests.plain import plain_difference, plain_read


@CLOUDS
@SLABS
def test_gradient_equals_differences_of_the_mesh(positions, mesh, slabs, cloud):
    """And the Laplacian second differences; in one slab in place."""
    out, laplacian = np.full_like(positions, np.nan), np.empty(positions.shape[1], np.float32)
    x = out if slabs == 1 else positions
    out[:] = positions if slabs == 1 else np.nan
    read_gradient(x, mesh, out, cloud, slabs, laplacian=laplacian)
    for axis in range(3):
        expected = plain_read(positions, plain_difference(mesh, axis), cloud, CELL) / CELL
        np.testing.assert_allclose(out[axis], expected, atol=2e-4)
    second = sum(np.roll(mesh, s, a) for a in range(3) for s in (-1, 1)) - 6 * mesh
    expected = plain_read(positions, second, cloud, CELL) / CELL**2
    np.testing.assert_allclose(laplacian, expected, atol=5e-4)
