"""Each kernel against a plain NumPy twin in float64."""

import numpy as np
import pytest

import kernels.cic
import kernels.fourier
import kernels.particles

M = 12
CELL = 2.5


def plain_paint(x, m, cell):
    mesh = np.zeros((m, m, m))
    u = x.astype(np.float64) / cell
    i = np.floor(u).astype(int)
    f = u - i
    for corner in np.ndindex(2, 2, 2):
        c = np.array(corner)[:, None]
        weight = np.prod(np.where(c, f, 1 - f), axis=0)
        np.add.at(mesh, tuple((i + c) % m), weight)
    return mesh


def paint(x, m=M, cell=CELL):
    mesh = np.empty((m, m, m), np.float32)
    kernels.cic.paint(x.astype(np.float32), 1 / cell, mesh)
    return mesh


def read(x, meshes, cell=CELL):
    out = np.empty((len(meshes), x.shape[1]), np.float32)
    kernels.cic.read(x.astype(np.float32), 1 / cell, np.float32(meshes), out)
    return out


@pytest.fixture
def positions():
    """Random particles far beyond the box on both sides, and awkward ones."""
    L = M * CELL
    x = np.random.default_rng(1).uniform(-3 * L, 4 * L, (3, 5000))
    awkward = [0.0, L, -L, CELL, L - CELL, np.nextafter(np.float32(L), 0), -1e-9, 2 * L]
    x[:, : len(awkward)] = awkward
    return x.astype(np.float32)


def test_paint_equals_its_twin(positions):
    # float32 weights of ~3 particles a cell
    np.testing.assert_allclose(paint(positions), plain_paint(positions, M, CELL), atol=2e-4)


def test_one_particle_by_hand():
    mesh = paint(np.array([[0.25 * CELL], [1.5 * CELL], [(M - 0.5) * CELL]]))
    expected = np.zeros((M, M, M))
    for i, wx in ((0, 0.75), (1, 0.25)):
        for j, wy in ((1, 0.5), (2, 0.5)):
            for k, wz in ((M - 1, 0.5), (0, 0.5)):
                expected[i, j, k] = wx * wy * wz
    np.testing.assert_allclose(mesh, expected, atol=1e-6)


def test_no_particles_paint_nothing():
    assert not paint(np.empty((3, 0))).any()


def test_mass_is_conserved(positions):
    assert paint(positions).sum(dtype=float) == pytest.approx(positions.shape[1], rel=1e-6)


def test_read_is_the_adjoint_of_paint(positions):
    """<paint(1), f> = sum_p read(f)(p) for any mesh f."""
    f = np.random.default_rng(2).normal(size=(1, M, M, M)).astype(np.float32)
    left = np.sum(paint(positions).astype(float) * f[0])
    right = read(positions, f).sum(dtype=float)
    assert left == pytest.approx(right, abs=1e-4 * np.sqrt(positions.shape[1]))


def test_read_of_several_meshes(positions):
    meshes = np.random.default_rng(3).normal(size=(4, M, M, M)).astype(np.float32)
    together = read(positions, meshes)
    for c in range(4):
        np.testing.assert_array_equal(together[c], read(positions, meshes[c : c + 1])[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite_are_an_error(positions, bad):
    positions[1, 77] = bad
    with pytest.raises(FloatingPointError, match="1 positions are not finite"):
        paint(positions)
    with pytest.raises(FloatingPointError, match="1 positions are not finite"):
        read(positions, np.zeros((1, M, M, M)))


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


@pytest.mark.parametrize("order", [0, 1, 2])
def test_inverse_laplacian(modes, order):
    k = wavevectors()
    k2 = (k**2).sum(axis=0)
    window = np.prod(np.sinc(k / (KF * M)) ** 2, axis=0) ** order
    k2[0, 0, 0] = np.inf
    expected = -0.7 * modes / (k2 * window)
    kernels.fourier.inverse_laplacian(modes, KF, 0.7, order)
    np.testing.assert_allclose(modes, expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gradient(modes, axis):
    out = np.empty_like(modes)
    kernels.fourier.gradient(modes, KF, axis, out)
    np.testing.assert_allclose(out, 1j * gradient_wavevectors()[axis] * modes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("i", "j"), [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)])
def test_hessian(modes, i, j):
    k = wavevectors() if i == j else gradient_wavevectors()
    out = np.empty_like(modes)
    kernels.fourier.hessian(modes, KF, i, j, out)
    np.testing.assert_allclose(out, -k[i] * k[j] * modes, rtol=1e-6, atol=1e-6)


def test_divergence(modes):
    psi = np.stack([modes, 2 * modes, -modes])
    out = np.empty_like(modes)
    kernels.fourier.divergence(psi, KF, out)
    expected = np.einsum("cijk,cijk->ijk", 1j * gradient_wavevectors(), psi)
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-4)


def test_gaussian_filter(modes):
    out = np.empty_like(modes)
    kernels.fourier.gaussian_filter(modes, KF, 1.7, -2.0, out)
    k2 = (wavevectors() ** 2).sum(axis=0)
    np.testing.assert_allclose(out, -2 * np.exp(-k2 * 1.7**2 / 2) * modes, rtol=2e-6, atol=1e-6)


def test_binned_power_of_a_full_transform():
    """Shell sums over the half space equal those over all of Fourier space."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, M, M, M))
    sums = kernels.fourier.binned_power(
        np.fft.rfftn(a).astype(np.complex64), np.fft.rfftn(b).astype(np.complex64), KF, 0
    )
    i = np.fft.fftfreq(M, 1 / M)
    k = np.sqrt(sum(np.square(g) for g in np.meshgrid(i, i, i, indexing="ij")))
    a_k, b_k = np.fft.fftn(a), np.fft.fftn(b)
    values = [np.ones_like(k), KF * k, abs(a_k) ** 2, abs(b_k) ** 2, (a_k * b_k.conj()).real]
    for row, value in zip(sums, values, strict=True):
        expected = [value[k.astype(int) == shell].sum() for shell in range(M // 2 + 1)]
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-2)


def test_combine():
    rng = np.random.default_rng(6)
    fields, weights = rng.normal(size=(5, 9001)), rng.normal(size=5)
    out = np.empty(9001, np.float32)
    kernels.particles.combine(np.float32(fields), np.float32(weights), out)
    np.testing.assert_allclose(out, weights @ fields, atol=1e-5)


def test_combine_of_nothing_is_zero():
    out = np.ones(10, np.float32)
    kernels.particles.combine(np.empty((0, 10), np.float32), np.empty(0, np.float32), out)
    assert not out.any()


def test_axpy():
    x, y = np.random.default_rng(7).normal(size=(2, 1000)).astype(np.float32)
    expected = y + np.float32(0.3) * x
    kernels.particles.axpy(0.3, x, y)
    np.testing.assert_allclose(y, expected, atol=1e-6)


def test_positions_add_the_lattice():
    disp = np.random.default_rng(8).normal(size=(3, 64)).astype(np.float32)
    out = np.empty_like(disp)
    kernels.particles.positions(disp, 4, 2.5, out)
    q = 2.5 * np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij")).reshape(3, -1)
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
    total = kernels.particles.residual_kick(w, s, delta, 0.9, 0.3, 0.2, gain)
    np.testing.assert_allclose(w, expected, atol=1e-5)
    assert total == pytest.approx(np.sum(s**2 / (1 + y) ** 2), rel=1e-5)
