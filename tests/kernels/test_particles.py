import numpy as np
import pytest

from coca import kernels


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


def test_products_of_arrays_and_differences():
    a, b, c, d = np.random.default_rng(5).normal(size=(4, 3, 1000)).astype(np.float32)
    rows = np.array([x.reshape(-1) for x in (a, c, b - a, d - c)], np.float64)
    found = kernels.particles.products(a, b, c, d)
    np.testing.assert_allclose(found, rows @ rows.T, rtol=1e-4, atol=1e-3)
