import numpy as np
import pytest

from coca.emulator.time_functions import leading_functions, orthonormal_polynomials


def test_polynomials_are_orthonormal_over_the_times():
    D = np.arange(1, 33) / 32
    b = orthonormal_polynomials(D)(D)
    np.testing.assert_allclose(b @ b.T / len(D), np.eye(len(b)), atol=1e-6)


def test_leading_functions_span_the_trajectories():
    """Trajectories made of two functions are found again, without loss."""
    D = np.arange(1, 33) / 32
    basis = orthonormal_polynomials(D)
    rng = np.random.default_rng(1)
    y = rng.normal(size=(len(basis), 2)) @ rng.normal(size=(2, 500))
    functions, rotation = leading_functions(basis, y @ y.T / 500, 2)
    np.testing.assert_allclose(functions(D).T @ (rotation @ y), basis(D).T @ y, atol=1e-5)
    np.testing.assert_allclose(functions(D) @ functions(D).T / len(D), np.eye(2), atol=1e-6)


def test_time_functions_have_exact_derivatives():
    functions = orthonormal_polynomials(np.arange(1, 33) / 32)
    h, D = 1e-5, 0.63
    for k in range(len(functions)):
        value, slope, curvature = functions.growth(k)(D)
        forward, backward = functions.growth(k)(D + h), functions.growth(k)(D - h)
        assert slope == pytest.approx((forward[0] - backward[0]) / (2 * h), rel=1e-4, abs=1e-4)
        assert curvature == pytest.approx((forward[1] - backward[1]) / (2 * h), rel=1e-4, abs=1e-3)
        assert value == pytest.approx(functions(D)[k])
