import numpy as np

from coca import kernels
from coca.integration.fitted_table import CLASSES, TILTS
from coca.step_fitting.least_squares import factors, least_squares

FEATURES, TARGETS = kernels.constants.FEATURES, kernels.constants.TARGETS


def test_least_squares_finds_the_matrices():
    """Matrices that differ between nodes, from particles without noise."""
    rng = np.random.default_rng(7)
    true = rng.normal(size=(2, TARGETS, FEATURES))
    moments, weights = [], []
    for h in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
        rows = rng.normal(size=(*CLASSES, FEATURES, 20000))
        ends = np.einsum("k,ktf,bnfp->bntp", h, true, rows)
        both = np.concatenate([rows, ends], axis=2)
        sums = np.einsum("bnip,bnjp->bnij", rows, both)
        moments.append((sums, np.full(CLASSES, 20000.0)))
        weights.append(np.append(h, np.zeros(TILTS)))
    found = least_squares(moments, weights)
    assert np.abs(found[2:]).max() == 0.0, "tilts that nothing tells of"
    # the coarser fits draw with 3000 of 20000 to 60000 particles
    spread = np.abs(true[0] - true[1]).max()
    assert np.abs(found[:2] - true[:, None, None]).max() < 0.15 * spread


def test_features_of_round_off_get_no_weight():
    """In the 2LPT frame e and w vanish at the start but for round-off."""
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(*CLASSES, FEATURES, 2000)) * np.array([1e-7, 1e-6, 1, 0])[:, None]
    ends = np.stack([2.0 * rows[..., 2, :]] * TARGETS, axis=2)
    sums = np.einsum("bnip,bnjp->bnij", rows, np.concatenate([rows, ends], axis=2))
    found = least_squares([(sums, np.full(CLASSES, 2000.0))], [np.append(1.0, np.zeros(TILTS))])
    found = found[:1]
    np.testing.assert_allclose(found[..., 2], 2.0, rtol=1e-5)
    assert not found[..., [0, 1, 3]].any()


def test_shares_of_the_way_leave_no_bias():
    """Of biases that are linear in the shares; where no run tells, the share is the prior's."""
    rng = np.random.default_rng(9)
    weights = np.column_stack([rng.uniform(0.2, 1.0, size=(20, 2)), np.zeros(20)])
    shares, first = np.array([0.8, 1.2, 0.0]), rng.normal(size=20)
    second = first - first / (weights @ shares)
    found = factors(weights, np.array([1.0, 1.0, 0.5]), first, second)
    np.testing.assert_allclose(found, [0.8, 1.2, 0.5], atol=1e-3)  # the prior's weight is 1e-5
