import numpy as np
import pytest

from coca import kernels

DEPTH, N = 4, 400


def arrays(seed=1):
    rng = np.random.default_rng(seed)
    v, steady = rng.normal(size=(2, 3, N)).astype(np.float32)
    short = rng.normal(size=(4, N)).astype(np.float32)
    short[3] = 10.0 ** rng.uniform(-2, 3, N)
    rungs = rng.integers(0, DEPTH + 1, N).astype(np.int8)
    return v, steady, short, rungs


@pytest.mark.parametrize("tick", [0, 1, 4, 6, 8, 16])
def test_particles_are_active_where_their_steps_end(tick):
    *_, rungs = arrays()
    targets, active = np.arange(N) % 3 > 0, np.empty(N, bool)
    kernels.rungs.choose_active(rungs, targets, tick, DEPTH, active)
    np.testing.assert_array_equal(active, targets & (tick % (2**DEPTH // 2**rungs) == 0))


@pytest.mark.parametrize("tick", [0, 1, 4, 6, 16])
def test_kick_ends_a_step_and_begins_one_that_is_short_enough(tick):
    v, steady, short, rungs = arrays()
    active = np.arange(N) % 2 == 0
    factors = np.random.default_rng(2).uniform(0.5, 1.0, (2, DEPTH + 1)).astype(np.float32)
    inverse_D, phase = 1.7, 0.3
    found, chosen = v.copy(), rungs.copy()
    kernels.rungs.kick(found, steady, short, active, chosen, tick, DEPTH, factors, inverse_D, phase)
    wanted = np.ceil(0.5 * np.log2(np.maximum(phase * short[3], 1.0)))
    coarsest = next(r for r in range(DEPTH + 1) if tick % (2**DEPTH >> r) == 0)
    expected = np.clip(wanted, coarsest, DEPTH).astype(np.int8)
    np.testing.assert_array_equal(chosen, np.where(active, expected, rungs))
    a = steady + inverse_D * short[:3]
    before, after = factors[0, rungs], factors[1, expected]
    kicked = after * (before * v - (1 - before) * a) - (1 - after) * a
    # float32 round-off
    np.testing.assert_allclose(found, np.where(active, kicked, v), atol=2e-6)


def test_a_step_begins_only_where_it_will_end_with_the_others():
    """Rung 0 at the common start alone, rung r at each 2^(depth - r)th tick."""
    v, steady, short, rungs = arrays()
    short[3] = 0.0  # nobody needs short steps
    for tick in range(2**DEPTH):
        chosen = rungs.copy()
        factors = np.ones((2, DEPTH + 1), np.float32)
        kernels.rungs.kick(
            v, steady, short, np.ones(N, bool), chosen, tick, DEPTH, factors, 1.0, 1.0
        )
        length = 2**DEPTH >> chosen
        assert np.all(tick % length == 0) and np.all(tick + length <= 2**DEPTH)


def test_drift_keeps_the_distance_beside_the_place():
    start, v = np.random.default_rng(3).normal(size=(2, 3, N)).astype(np.float32)
    moved, x = np.full((3, N), 0.25, np.float32), np.empty((3, N), np.float32)
    kernels.rungs.drift(start, v, 0.5, moved, x)
    np.testing.assert_allclose(moved, 0.25 + 0.5 * v, rtol=1e-6)
    np.testing.assert_array_equal(x, start + moved)
