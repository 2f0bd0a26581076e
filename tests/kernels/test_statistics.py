import numpy as np
import pytest
from coca.kernels.constants import CIC
from coca.kernels.statistics import binned_multipoles, paint_weighted

from tests.plain import plain_clouds
from tests.statistics.made import L

M = 12


def test_weights_are_painted_as_by_the_plain_twin():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, L, (3, 3000)).astype(np.float32)
    x[:, :3] = 0.0, L, 0.5 * L
    weights = rng.normal(size=3000).astype(np.float32)
    mesh, wanted = np.zeros((M, M, M + 2), np.float32), np.zeros((M, M, M))
    paint_weighted(x, weights, M / L, mesh)
    for cells, parts in plain_clouds(x, M, L / M, CIC):
        np.add.at(wanted, cells, weights * parts)
    np.testing.assert_allclose(mesh[..., :M], wanted, atol=1e-4)  # float32 sums
    assert not mesh[..., M:].any()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_multipoles_are_sums_over_all_of_fourier_space(axis):
    """From both halves of it, with numpy's Legendre polynomials."""
    field, kf = np.random.default_rng(2).normal(size=(M, M, M)), 0.3
    found = binned_multipoles(np.fft.rfftn(field).astype(np.complex64), kf, axis, 0)
    k = np.stack(np.meshgrid(*[np.fft.fftfreq(M, 1 / M)] * 3, indexing="ij"))
    length, power = np.sqrt((k**2).sum(axis=0)), np.abs(np.fft.fftn(field)) ** 2
    mu = np.divide(k[axis], length, out=np.zeros_like(length), where=length > 0)
    legendre = [np.polynomial.Legendre.basis(l)(mu) for l in (0, 2, 4)]
    values = [np.ones_like(length), kf * length, *(power * p for p in legendre)]
    for row, value in zip(found, values, strict=True):
        wanted = [value[length.astype(int) == shell].sum() for shell in range(1, M // 2 + 1)]
        np.testing.assert_allclose(row[1:], wanted, rtol=1e-5, atol=1e-5 * power.sum())
