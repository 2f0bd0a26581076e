"""Each kernel against a plain NumPy twin in float64."""

import numba
import numpy as np
import pytest
from coca.kernels.assignment import CIC, TSC
from coca.kernels.lanes import each, eight, four, put
from plain import plain_clouds, plain_difference, plain_paint, plain_read

from coca import kernels

M = 12
CELL = 2.5


def slabs_of(number, below, above):
    """Slabs of the mesh as the kernels want them, and the planes that each holds with ghosts."""
    planes = M // number
    for first in range(0, M, planes):
        yield (first, planes, below), np.arange(first - below, first + planes + above) % M


def paint(x, cloud=CIC, slabs=1, **options):
    mesh = np.zeros((M, M, M), np.float32)
    for slab, held in slabs_of(slabs, -cloud[0], cloud[-1]):
        part = np.full((len(held), M, M + 2), np.nan, np.float32)
        kernels.assignment.paint(x.astype(np.float32), 1 / CELL, part, slab, cloud, **options)
        np.add.at(mesh, held, part[..., :M])
    return mesh


def read(x, mesh, cloud=CIC, slabs=1, **options):
    out = np.full(x.shape[1], np.nan, np.float32)
    for slab, held in slabs_of(slabs, -cloud[0], cloud[-1]):
        kernels.assignment.read(x, 1 / CELL, np.float32(mesh[held]), slab, out, cloud, **options)
    return out


def read_gradient(x, mesh, out, order=4, cloud=CIC, slabs=1, **options):
    for slab, held in slabs_of(slabs, order // 2 - cloud[0], order // 2 + cloud[-1]):
        part = np.pad(mesh[held], [(0, 0), (0, 0), (0, 2)], constant_values=np.nan)
        kernels.gradient.read_gradient(
            x, 1 / CELL, np.float32(part), slab, out, order, cloud, **options
        )


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


CLOUDS = pytest.mark.parametrize("cloud", [CIC, TSC], ids=["cic", "tsc"])
SLABS = pytest.mark.parametrize("slabs", [1, 3, 12])
"""The last of a plane each, thinner than clouds and differences reach."""


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
@SLABS
@pytest.mark.parametrize("order", [4, 6])
def test_gradient_equals_differences_of_the_mesh(positions, mesh, order, slabs, cloud):
    """And the Laplacian second differences; in one slab in place."""
    out, laplacian = np.full_like(positions, np.nan), np.empty(positions.shape[1], np.float32)
    x = out if slabs == 1 else positions
    out[:] = positions if slabs == 1 else np.nan
    read_gradient(x, mesh, out, order, cloud, slabs, laplacian=laplacian)
    for axis in range(3):
        expected = plain_read(positions, plain_difference(mesh, axis, order), cloud, CELL) / CELL
        np.testing.assert_allclose(out[axis], expected, atol=2e-4)
    second = sum(np.roll(mesh, s, a) for a in range(3) for s in (-1, 1)) - 6 * mesh
    expected = plain_read(positions, second, cloud, CELL) / CELL**2
    np.testing.assert_allclose(laplacian, expected, atol=5e-4)


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
        read_gradient(positions, mesh, positions, 4, cloud)


@pytest.fixture
def modes():
    field = np.random.default_rng(4).normal(size=(M, M, M))
    return np.fft.rfftn(field).astype(np.complex64)


KF = 0.3


def wavevectors():
    i = np.fft.fftfreq(M, 1 / M)
    k = np.stack(np.meshgrid(i, i, np.arange(M // 2 + 1), indexing="ij")) * KF
    return k


def gradient_wavevectors():
    k = wavevectors()
    k[np.isclose(np.abs(k), KF * M / 2)] = 0
    return k


def multiplied(modes, kernel, **options):
    """Apply a kernel to blocks of columns, the last of which reaches beyond the last column."""
    columns, width = modes.reshape(M, -1), 16
    out = np.full((M, -(-columns.shape[1] // width) * width), 1, np.complex64)
    out[:, : columns.shape[1]] = columns
    for first in range(0, out.shape[1], width):
        block = np.ascontiguousarray(out[:, first : first + width])
        kernel(block, first, KF, **options)
        out[:, first : first + width] = block
    return out[:, : columns.shape[1]].reshape(modes.shape)


@pytest.mark.parametrize("order", [0, 2, 3])
def test_inverse_laplacian(modes, order):
    k = wavevectors()
    k2 = (k**2).sum(axis=0)
    window = np.prod(np.sinc(k / (KF * M)), axis=0) ** (2 * order)
    k2[0, 0, 0] = np.inf
    expected = -0.7 * modes / (k2 * window)
    found = multiplied(modes, kernels.fourier.inverse_laplacian, scale=0.7, assignment=order)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradient(modes, axis):
    expected = 0.3j * gradient_wavevectors()[axis] * modes
    found = multiplied(modes, kernels.fourier.gradient, axis=axis, scale=0.3)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)])
def test_hessian(modes, i, j):
    k = wavevectors() if i == j else gradient_wavevectors()
    found = multiplied(modes, kernels.fourier.hessian, axis0=i, axis1=j)
    np.testing.assert_allclose(found, -k[i] * k[j] * modes, rtol=1e-6, atol=1e-6)


def test_divergence(modes):
    psi = np.stack([modes, 2 * modes, -modes])
    out = np.empty_like(modes)
    for rows in (slice(0, 5), slice(5, M)):
        part = np.empty_like(out[:, rows])
        some = np.ascontiguousarray(psi[:, :, rows])
        kernels.fourier.divergence(some, rows.start, KF, -0.5, part)
        out[:, rows] = part
    expected = -0.5 * np.einsum("cijk,cijk->ijk", 1j * gradient_wavevectors(), psi)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)


def test_gaussian_filter(modes):
    k2 = (wavevectors() ** 2).sum(axis=0)
    expected = -2 * np.exp(-k2 * 1.7**2 / 2) * modes
    found = multiplied(modes, kernels.fourier.gaussian_filter, radius=1.7, scale=-2.0)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=1e-6)


def test_binned_power_of_a_full_transform():
    """Shell sums over the half space equal those over all of Fourier space."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, M, M, M))
    modes = [np.fft.rfftn(field).astype(np.complex64) for field in (a, b)]
    parts = [[np.ascontiguousarray(m[:, y : y + 4]) for m in modes] for y in range(0, M, 4)]
    sums = sum(kernels.fourier.binned_power(*part, 4 * i, KF, 0) for i, part in enumerate(parts))
    i = np.fft.fftfreq(M, 1 / M)
    k = np.sqrt(sum(np.square(g) for g in np.meshgrid(i, i, i, indexing="ij")))
    a_k, b_k = np.fft.fftn(a), np.fft.fftn(b)
    values = [np.ones_like(k), KF * k, abs(a_k) ** 2, abs(b_k) ** 2, (a_k * b_k.conj()).real]
    for row, value in zip(sums, values, strict=True):
        expected = [value[k.astype(int) == shell].sum() for shell in range(M // 2 + 1)]
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("terms", [1, 5])
def test_add_terms(terms):
    rng = np.random.default_rng(6)
    fields, weights = rng.normal(size=(terms, 3, 9001)), rng.normal(size=terms)
    out = rng.normal(size=(3, 9001)).astype(np.float32)
    expected = out + np.tensordot(weights, fields, 1)
    kernels.particles.add_terms(tuple(np.float32(fields)), np.float32(weights), out)
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_axpy():
    x, y = np.random.default_rng(7).normal(size=(2, 1000)).astype(np.float32)
    expected = y + np.float32(0.3) * x
    kernels.particles.axpy(0.3, x, y)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_positions_add_the_lattice():
    disp = np.random.default_rng(8).normal(size=(3, 24)).astype(np.float32)
    out = np.empty_like(disp)
    kernels.particles.positions(disp, (2, 3, 4), 6, 2.5, out)
    q = 2.5 * np.stack(np.meshgrid([6, 7], range(3), range(4), indexing="ij")).reshape(3, -1)
    np.testing.assert_allclose(out, disp + q, atol=1e-6)


def test_linear_kick():
    v, g = np.random.default_rng(9).normal(size=(2, 3, 100)).astype(np.float32)
    expected = 0.4 * v - 0.7 * g
    kernels.particles.linear_kick(v, g, 0.4, 0.7)
    np.testing.assert_allclose(v, expected, atol=1e-6)


@pytest.mark.parametrize("gain", [0.0, 1.0, 3.0])
def test_residual_kick(gain):
    rng = np.random.default_rng(10)
    w, s = rng.normal(size=(2, 3, 100)).astype(np.float32)
    delta = rng.uniform(-1, 50, 100).astype(np.float32)
    y = 0.2 * (1 + delta)
    G_s, G_w = 1 / (1 + gain * y), 1 / (1 + (gain * y) ** 1.5)
    expected = G_w * 0.9 * w - G_s * 0.3 * s
    residual, error = kernels.particles.residual_kick(w, s, delta, 0.9, 0.3, 0.2, gain)
    np.testing.assert_allclose(w, expected, atol=1e-5)
    assert residual == pytest.approx(np.sum(s**2), rel=1e-5)
    assert error == pytest.approx(np.sum(s**2 / (1 + y) ** 2), rel=1e-5)


@CLOUDS
def test_particles_leave_for_the_owners_of_their_cells(positions, cloud):
    """Every particle outside the rank's planes once, with its position, by owner."""
    planes, rank = 3, 2
    by_chunk, bad = kernels.travel.destinations(positions, 1 / CELL, M, planes, cloud)
    cells = next(plain_clouds(positions, M, CELL, cloud))[0][0] - (0 if cloud == CIC else -1)
    owners = cells % M // planes
    np.testing.assert_array_equal(by_chunk.sum(axis=0), np.bincount(owners, minlength=4))
    assert bad == 0
    by_chunk[:, rank] = 0
    counts = by_chunk.sum(axis=0)
    starts = np.cumsum(counts) - counts + np.cumsum(by_chunk, axis=0) - by_chunk
    rows = np.full((counts.sum(), 3), np.nan, np.float32)
    indices = np.full(len(rows), -1)
    kernels.travel.depart(positions, 1 / CELL, M, planes, cloud, rank, starts, rows, indices)
    np.testing.assert_array_equal(np.sort(indices), np.flatnonzero(owners != rank))
    np.testing.assert_array_equal(rows, positions.T[indices])
    np.testing.assert_array_equal(owners[indices], np.repeat(range(4), counts))
    home = np.zeros(positions.shape[1], np.float32)
    kernels.travel.come_home(rows, indices, 1, home)
    np.testing.assert_array_equal(home, np.where(owners != rank, positions[1], 0))


def test_positions_that_are_not_finite_go_nowhere(positions):
    positions[2, [5, 4000]] = np.nan, np.inf
    counts, bad = kernels.travel.destinations(positions, 1 / CELL, M, 3)
    assert bad == 2 and counts.sum() == positions.shape[1] - 2


@numba.njit
def work_on_lanes(array, i, factor, out):
    a, b = four(array, np.uint64(i)), four(array, np.uint64(i + 1))
    a += (b - a) * factor + a * b
    put(out, np.uint64(1), a)
    return each(eight(array, np.uint64(i)))


def test_lanes_do_what_numbers_do():
    array = np.arange(20, dtype=np.float32) ** 1.5
    out = np.zeros(6, np.float32)
    found = work_on_lanes(array, 3, np.float32(0.3), out)
    a, b = array[3:7], array[4:8]
    np.testing.assert_allclose(out[1:5], a + (b - a) * np.float32(0.3) + a * b, rtol=1e-6)
    assert out[0] == out[5] == 0
    np.testing.assert_array_equal(found, array[3:11])
