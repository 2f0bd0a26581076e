import numba
import numpy as np
import pytest
from coca.kernels.constants import CIC

from coca import kernels
from tests.kernels.meshes import CELL, CLOUDS, SLABS, M, paint, read, read_gradient
from tests.plain import plain_paint, plain_read


@CLOUDS
@SLABS
def test_paint_equals_its_twin(positions, cloud, slabs):
    # float32 weights of ~3 particles a cell
    np.testing.assert_allclose(
        paint(positions, cloud, slabs), plain_paint(positions, cloud, M, CELL), atol=2e-4
    )


@CLOUDS
@SLABS
def test_read_equals_its_twin(positions, mesh, cloud, slabs):
    """And every particle is read in one of the slabs."""
    expected = plain_read(positions, mesh, cloud, CELL)
    np.testing.assert_allclose(read(positions, mesh, cloud, slabs), expected, atol=2e-4)


def test_guests_are_added_to_what_is_there(positions):
    """Particles painted in two calls are those painted in one."""
    part = np.empty((M + 1, M, M + 2), np.float32)
    for i, some in enumerate((positions[:, :2000], positions[:, 2000:])):
        x = np.ascontiguousarray(some)
        kernels.assignment.paint(x, 1 / CELL, part, (0, M, 0), clear=i == 0)
    part[0] += part[M]
    expected = plain_paint(positions, CIC, M, CELL)
    np.testing.assert_allclose(part[:M, :, :M], expected, atol=2e-4)


@CLOUDS
@pytest.mark.parametrize("lattice", [(10, 20, 25), (1, 1, 5000), (17, 1, 1), (5, 1000, 1)])
def test_the_lattice_is_only_a_help_for_speed(positions, mesh, lattice, cloud):
    x = positions[:, : np.prod(lattice)]
    np.testing.assert_allclose(
        paint(x, cloud, lattice=lattice), plain_paint(x, cloud, M, CELL), atol=2e-4
    )
    together, alone = read(x, mesh, cloud, lattice=lattice), read(x, mesh, cloud)
    np.testing.assert_array_equal(together, alone)


def test_a_lattice_of_another_size_is_an_error(positions):
    with pytest.raises(ValueError, match="5000 particles on a lattice"):
        paint(positions, lattice=(10, 10, 10))


def test_one_particle_by_hand():
    x = np.array([[0.25 * CELL], [1.5 * CELL], [(M - 0.5) * CELL]])
    expected = np.zeros((M, M, M))
    for i, wx in ((0, 0.75), (1, 0.25)):
        for j, wy in ((1, 0.5), (2, 0.5)):
            for k, wz in ((M - 1, 0.5), (0, 0.5)):
                expected[i, j, k] = wx * wy * wz
    np.testing.assert_allclose(paint(x), expected, atol=1e-6)


@CLOUDS
def test_no_particles(mesh, cloud):
    nothing = np.empty((3, 0), np.float32)
    assert not paint(nothing, cloud).any()
    assert read(nothing, mesh, cloud).size == 0
    read_gradient(nothing, mesh, nothing)


@CLOUDS
def test_mass_is_conserved(positions, cloud):
    total = paint(positions, cloud).sum(dtype=float)
    assert total == pytest.approx(positions.shape[1], rel=1e-6)


def test_a_crowded_cell_keeps_its_mass():
    """Half a million particles in one cell: each is added to a float32 sum of that size."""
    n = 2**20
    x = np.random.default_rng(3).normal(6 * CELL, 0.3 * CELL, (3, n)).astype(np.float32)
    assert paint(x).sum(dtype=float) == pytest.approx(n, rel=3e-5)


@CLOUDS
def test_read_is_the_adjoint_of_paint(positions, mesh, cloud):
    """<paint(1), f> = sum_p read(f)(p) for any mesh f."""
    left = np.sum(paint(positions, cloud).astype(float) * mesh)
    right = read(positions, mesh, cloud).sum(dtype=float)
    assert left == pytest.approx(right, abs=1e-4 * np.sqrt(positions.shape[1]))


@CLOUDS
def test_any_number_of_threads_paints_the_same_bits(positions, cloud):
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here")
    options = {"lattice": (10, 20, 25)}
    one = paint(positions, cloud, **options)
    threads = numba.get_num_threads()
    for number in range(2, min(5, numba.config.NUMBA_NUM_THREADS + 1)):
        numba.set_num_threads(number)
        try:
            np.testing.assert_array_equal(paint(positions, cloud, **options), one)
        finally:
            numba.set_num_threads(threads)


@CLOUDS
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e20])
def test_positions_that_are_not_finite_are_an_error(positions, mesh, bad, cloud):
    positions[1, 77] = bad
    with pytest.raises(FloatingPointError, match="positions are not finite"):
        paint(positions, cloud)
    with pytest.raises(FloatingPointError, match="positions are not finite"):
        read(positions, mesh, cloud)
    with pytest.raises(FloatingPointError, match="positions are not finite"):
        read_gradient(positions, mesh, positions, cloud)
