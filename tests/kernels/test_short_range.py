from math import comb

import numba
import numpy as np
import pytest
from coca.kernels.short_range import PACKED
from coca.kernels.tree import LEAF

from coca import kernels
from tests.kernels.clumps import L, clumps

CUT, SUPPORT = 2.0, 0.3
_RATIOS = [comb(3, k) * (-1) ** k / (2 * k + 3) for k in range(4)]
CLOUD = tuple(ratio / sum(_RATIOS) for ratio in _RATIOS)


def plain_pairs(x, which, cut=CUT, support=SUPPORT):
    """The force, and the sum of force over distance, of all pairs and images in the cut."""
    x = x.astype(np.float64)
    out = np.zeros((4, len(which)))
    for column, p in enumerate(which):
        for shift in np.ndindex(3, 3, 3):
            d = x[:, p, None] - x
            d -= L * np.round(d / L) + L * (np.array(shift)[:, None] - 1)
            r = np.sqrt(np.sum(d**2, axis=0))
            with np.errstate(divide="ignore"):
                point = r**-3.0
            near = r < support
            point[near] = np.polyval([21, -90, 140, -84, 0, 14], r[near] / support) / support**3
            cloud = sum(c * (r / cut) ** (2 * k) for k, c in enumerate(CLOUD)) / cut**3
            f = np.where(r < cut, point - cloud, 0.0)
            if shift == (1, 1, 1):
                f[p] = 0.0
            out[:3, column] += d @ f
            out[3, column] += f.sum()
    return out


def sums(x, active=None, cut=CUT, support=SUPPORT):
    """What `pair_sums` gives, in the order of x."""
    sorted_x, order = kernels.tree.tree_order(x, L)
    active = np.ones(len(order), bool) if active is None else active[order]
    out = np.full((4, sorted_x.shape[1]), np.nan, np.float32)
    tree = kernels.tree.tree_of(sorted_x)
    kernels.short_range.pair_sums(tree, active, L, cut, support, CLOUD, 1.0, out)
    back = np.full((4, x.shape[1]), np.nan, np.float32)
    kernels.tree.put_back(out, order, back)
    return back


def assert_same(found, expected):
    # float32 round-off of positions, which the steepest force amplifies; of a distant pair's point
    # and cloud, which nearly cancel; and of a particle's own part in the last row, which is
    # taken out
    steepest = np.abs(expected[3]).max()
    atol = 5e-6 * np.abs(expected[:3]).max() + 1e-7 * (L * steepest + 1 / CUT**2)
    np.testing.assert_allclose(found[:3], expected[:3], atol=atol)
    atol = 5e-6 * (steepest + 14 / SUPPORT**3)
    np.testing.assert_allclose(found[3], expected[3], atol=atol)


@pytest.mark.parametrize("n", [1, 2, LEAF, LEAF + 1, 500])
@pytest.mark.parametrize("size", [0.003, 1.0])
@pytest.mark.parametrize("cut", [CUT, 0.499 * L])
def test_pairs_equal_their_plain_twin(n, size, cut):
    x = clumps(n, size)
    assert_same(sums(x, cut=cut), plain_pairs(x, np.arange(n), cut))


def test_more_sources_than_are_packed_at_a_time():
    x = clumps(2 * PACKED + 4321, 0.3)
    which = np.arange(0, x.shape[1], 371)
    assert_same(sums(x)[:, which], plain_pairs(x, which))


def test_all_particles_in_one_place():
    found = sums(np.full((3, 5000), 3.0, np.float32))
    np.testing.assert_array_equal(found[:3], 0.0)
    peak = 4999 * (14 / SUPPORT**3 - CLOUD[0] / CUT**3)
    np.testing.assert_allclose(found[3], peak, rtol=1e-5)  # float32 sums of 5000


def test_only_active_particles_are_summed_for():
    x = clumps(300, 0.5)
    active = np.arange(300) % 7 == 0
    found = sums(x, active)
    np.testing.assert_array_equal(np.isnan(found[0]), ~active)
    assert_same(found[:, active], plain_pairs(x, np.flatnonzero(active)))


def test_total_momentum():
    g = sums(clumps(3000, 0.2))[:3].astype(np.float64)
    # float32 round-off of every particle's sum, which adds up like a random walk
    assert np.abs(g.sum(axis=1)).max() < 1e-7 * np.abs(g).sum()


def test_sums_do_not_depend_on_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread here")
    x = clumps(3000, 0.2)
    before, found = numba.get_num_threads(), []
    try:
        for threads in (1, 2):
            numba.set_num_threads(threads)
            found.append(sums(x))
    finally:
        numba.set_num_threads(before)
    np.testing.assert_array_equal(*found)


def test_the_tree_follows_its_particles():
    x, _ = kernels.tree.tree_order(clumps(400, 1.0), L)
    tree = kernels.tree.tree_of(x)
    x += np.random.default_rng(2).normal(0, 0.5, x.shape).astype(np.float32)
    tree.follow()
    out = np.empty((4, x.shape[1]), np.float32)
    active = np.ones(400, bool)
    kernels.short_range.pair_sums(tree, active, L, CUT, SUPPORT, CLOUD, 1.0, out)
    assert_same(out[:, :400], plain_pairs(x[:, :400], np.arange(400)))
