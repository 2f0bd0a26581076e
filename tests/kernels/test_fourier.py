import numpy as np
import pytest

from coca import kernels
from tests.kernels.meshes import M


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


def test_cloud_inverse_laplacian(modes):
    """With the sum over aliases as it is defined, and a cloud whose transform is a Gaussian."""
    theta = wavevectors() * 2 * np.pi / (KF * M)  # k cell
    d = (8 * np.sin(theta) - np.sin(2 * theta)) / 6
    d[np.isclose(np.abs(theta), np.pi)] = 0
    aliases = [np.sinc(theta / (2 * np.pi) + alias) ** 6 for alias in range(-40, 41)]
    window = np.prod(aliases[40] / np.sum(aliases, axis=0) ** 2, axis=0)
    k2, d2 = np.sum(theta**2, axis=0), np.sum(d**2, axis=0)
    k2[0, 0, 0] = np.inf
    d2[d2 == 0] = np.inf
    cell = 2 * np.pi / (KF * M)
    factor = np.sum(d * theta, axis=0) / (k2 * d2) * window * cell**2
    expected = -0.7 * modes * factor * np.exp(-0.1 * np.sum(theta**2, axis=0))
    step = 0.003
    table = np.exp(-0.1 * step * np.arange(12000)).astype(np.float32)
    options = {"scale": 0.7, "cloud": table, "step": step}
    found = multiplied(modes, kernels.fourier.cloud_inverse_laplacian, **options)
    # float32 round-off of the table's steps, and of its linear interpolation
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


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
