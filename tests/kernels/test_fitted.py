"""Kernels of fitted steps against their plain twins."""

import numpy as np
import pytest

from coca import kernels
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE
from tests.kernels.edges import EDGES, shares

FEATURES, TARGETS = kernels.constants.FEATURES, kernels.constants.TARGETS


@pytest.fixture
def particles():
    """Residuals of 2000 particles: more than a block."""
    rng = np.random.default_rng(4)
    return [rng.normal(size=(3, 2000)).astype(np.float32) for _ in range(4)]


@pytest.fixture
def densities():
    """Density contrasts of them now and before: empty to crowded, some on and near edges."""
    rng = np.random.default_rng(9)
    delta, before = (10 ** rng.uniform(-1.5, 3, (2, 2000)) - 1).astype(np.float32)
    delta[:13], before[:5] = DENSITIES - 1, DENSITIES_BEFORE - 1
    delta[20:33], before[20:25] = 1.03 * DENSITIES - 1, 0.98 * DENSITIES_BEFORE - 1
    return delta, before


def features(particles, H, c):
    e, w, s, before = particles
    return np.array([e, H * w, H * H * c * s, before], np.float64)


def test_step_equals_its_plain_twin(particles, densities):
    M = np.random.default_rng(5).normal(size=(*CLASSES, TARGETS, FEATURES)).astype(np.float32)
    H, c = 0.2, 3.0
    F = features(particles, H, c)
    now, before = (shares(*pair) for pair in zip(densities, EDGES, strict=True))
    wanted = np.einsum("pb,pk,bktf,fcp->tcp", before, now, M.astype(np.float64), F)
    sums = kernels.fitted.step(*particles, *densities, *EDGES, M, H, c)
    # near an edge of 150 round-off of the density counts 1e-7 * 150 / 18
    np.testing.assert_allclose(particles[0], wanted[0], atol=1e-4)
    np.testing.assert_allclose(particles[1], wanted[1] / H, atol=1e-4 / H)
    np.testing.assert_allclose(particles[3], F[2], rtol=1e-6)
    y = c * (1.0 + densities[0].astype(np.float64)) / 3.0 * 0.01
    squares = (particles[2].astype(np.float64) ** 2).sum(axis=0)
    np.testing.assert_allclose(sums, (squares.sum(), (squares / (1 + y) ** 2).sum()), rtol=1e-5)


def test_classes_go_over_from_one_to_the_next(densities):
    for delta, edges in zip(densities, EDGES, strict=True):
        wanted = shares(delta, edges) @ np.arange(len(edges) + 1)
        # round-off of the density, 1e-7, over an eighth
        np.testing.assert_allclose(kernels.fitted.graded_classes(delta, edges), wanted, atol=2e-5)


def test_round_off_of_the_density_moves_nobody_far(particles, densities):
    M = np.random.default_rng(5).normal(size=(*CLASSES, TARGETS, FEATURES)).astype(np.float32)
    other = [field.copy() for field in particles]
    kernels.fitted.step(*particles, *densities, *EDGES, M, 0.2, 3.0)
    nearby = [np.float32((1 + delta) * (1 + 1e-5) - 1) for delta in densities]
    kernels.fitted.step(*other, *nearby, *EDGES, M, 0.2, 3.0)
    # matrices differ by 5 at most, and features are of order 5
    assert np.abs(particles[0] - other[0]).max() < 1e-5 / 0.12 * 25


def test_moments_equal_their_plain_twin(particles):
    H, c = 0.2, 3.0
    rng = np.random.default_rng(6)
    end_e, end_w = rng.normal(size=(2, 3, 2000)).astype(np.float32)
    now, before = (rng.integers(0, CLASSES[i], 2000).astype(np.uint8) for i in (1, 0))
    sums, counts = kernels.fitted.moments(*particles, now, before, H, c, end_e, end_w, CLASSES)
    rows = np.concatenate([features(particles, H, c), [end_e, H * end_w]])
    for b, k in np.ndindex(CLASSES):
        mine = (before == b) & (now == k)
        wanted = np.einsum("icp,jcp->ij", rows[:FEATURES][..., mine], rows[..., mine])
        np.testing.assert_allclose(sums[b, k], wanted, atol=1e-4)
        assert counts[b, k] == mine.sum()


def test_density_classes_count_the_edges_below():
    delta = np.array([-1.5, -0.95, 0.0, 0.2, 1e6], np.float32)
    out = np.empty(delta.size, np.uint8)
    kernels.fitted.classify(delta, DENSITIES, out)
    np.testing.assert_array_equal(out, np.searchsorted(DENSITIES, 1 + delta))
