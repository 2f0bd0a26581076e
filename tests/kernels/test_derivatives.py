"""Sums over shells and particles, and their derivatives, against plain NumPy and differences."""

import numpy as np
import pytest

from coca import kernels
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE

RNG = np.random.default_rng(5)
M = 8


@pytest.fixture
def modes():
    fields = RNG.normal(size=(2, M, M, M))
    return [np.fft.rfftn(field).astype(np.complex64) for field in fields]


@pytest.fixture
def number():
    return RNG.integers(0, 6, size=(M, M, M // 2 + 1)).astype(np.uint16)


def plain_sums(a, b, number, shells):
    weight = np.full(M // 2 + 1, 2.0)
    weight[[0, -1]] = 1.0
    parts = weight * np.abs(a) ** 2, weight * (a * b.conj()).real
    return np.array([[part[number == s].sum() for s in range(shells)] for part in parts])


def test_shell_sums_are_those_of_numpy(modes, number):
    found = kernels.derivatives.shell_sums(*modes, number, 4)
    np.testing.assert_allclose(found, plain_sums(*modes, number, 4), rtol=1e-5)


def test_derivative_of_shell_sums_is_a_difference(modes, number):
    """With respect to the field whose modes they are, which counts each half column twice."""
    a, b = modes
    factors = RNG.normal(size=(2, 4))
    out = np.empty_like(a)
    kernels.derivatives.shell_derivative(a, b, number, factors, out)
    by_cell = np.fft.irfftn(out.astype(complex), s=(M, M, M), norm="forward")
    change = RNG.normal(size=(M, M, M))

    def at(step):
        moved = a + step * np.fft.rfftn(change)
        return np.sum(factors * plain_sums(moved, b, number, 4))

    difference = (at(1e-3) - at(-1e-3)) / 2e-3
    assert np.sum(by_cell * change) == pytest.approx(difference, rel=1e-4)


def test_derivative_of_a_cloud_is_a_difference():
    x = RNG.uniform(-3, 12, size=(3, 50)).astype(np.float32)
    field = RNG.normal(size=(M, M, M)).astype(np.float32)
    out = np.empty_like(x)
    kernels.derivatives.cloud_derivative(x, field, np.float32(0.8), out)

    def at(moved):
        u = 0.8 * moved.astype(np.float64)
        cell = np.floor(u).astype(int)
        f = u - cell
        total = np.zeros(x.shape[1])
        for corner in np.ndindex(2, 2, 2):
            weights = [f[c] if o else 1 - f[c] for c, o in enumerate(corner)]
            total += np.prod(weights, axis=0) * field[tuple((cell.T + corner).T % M)]
        return total

    for axis in range(3):
        step = np.zeros((3, 1))
        step[axis] = 1e-3
        difference = (at(x + step) - at(x - step)) / 2e-3
        inside = np.abs(0.8 * x[axis] - np.rint(0.8 * x[axis])) > 1e-2  # away from the cells' edges
        np.testing.assert_allclose(out[axis, inside], difference[inside], atol=1e-3)


def test_the_derivative_of_a_step_is_exact():
    """The step is linear in its matrices, so a difference of any size is the derivative."""
    n = 3000
    e, w, s, before, g_e, g_w = RNG.normal(size=(6, 3, n)).astype(np.float32)
    delta, delta_before = (RNG.lognormal(1, 2, size=(2, n)) - 1).astype(np.float32)
    H, c = 0.2, 1.7
    edges = DENSITIES, DENSITIES_BEFORE
    one, change = RNG.normal(size=(2, *CLASSES, 2, 4)).astype(np.float32)

    def after(matrices):
        ends = e.copy(), w.copy()
        kernels.fitted.step(*ends, s, before.copy(), delta, delta_before, *edges, matrices, H, c)
        return sum(np.sum(g.astype(float) * end) for g, end in zip((g_e, g_w), ends, strict=True))

    derivative = kernels.derivatives.matrix_derivative(
        e, w, s, before, delta, delta_before, *edges, H, c, g_e, g_w
    )
    wanted = after(one + change) - after(one)
    assert np.sum(derivative * change) == pytest.approx(wanted, rel=1e-4)
