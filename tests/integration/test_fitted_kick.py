import copy
import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from coca.gravity.particle_mesh import Acceleration
from coca.integration import schemes
from coca.integration.fitted_kick import FittedKick, sharpened
from coca.integration.fitted_table import CLASSES, MATRIX, FittedCount, FittedSteps, shipped
from coca.integration.inside_steps import End, Way
from coca.integration.integrate import initial_state, integrate
from coca.integration.linear_density import LinearDensity
from coca.integration.read_out import ReadOutNetwork
from coca.particles import State
from tests.kernels.edges import EDGES, shares


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def test_sharpened_matrices_have_the_fitted_means():
    """At full strength over each class, of particles spread evenly in ln(1 + delta)."""
    M = np.random.default_rng(12).normal(size=CLASSES)
    sharp = sharpened(M, 1.0)
    ends = [np.concatenate([[e[0] / np.e], e, [e[-1] * np.e]]).astype(float) for e in EDGES]
    inside = [[np.geomspace(*pair, 20001)[1:-1] - 1 for pair in pairwise(e)] for e in ends]
    now, before = (
        [shares(x, e).mean(axis=0) for x in i] for i, e in zip(inside, EDGES, strict=True)
    )
    mean = np.array(before) @ sharp @ np.array(now).T
    # a transition is 6 % wide, and taken as even in ln(1 + delta)
    np.testing.assert_allclose(mean, M, atol=0.1 * np.abs(sharp - M).max())


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_frame_without_residual_is_followed_exactly(table, domain, cosmology, conditions, count):
    frame = conditions.lpt_frame(cosmology)
    fitted = table.by_count[count]
    plan = schemes.residual(cosmology, schemes.step_boundaries(0.06, 1.0, fitted.fractions))
    times = iter([*(step.D_mid for step in plan), 1.0])  # the last is the read-out's

    def exact_force(x, density, out):
        D = next(times)
        g = -D * frame.velocity(D) - frame.acceleration(D) / cosmology.c(D)
        delta = np.full(domain.particles, 3.0, np.float32)
        return Acceleration(np.float32(g), delta, np.zeros_like)

    rule = FittedKick.of_table(
        domain, cosmology, frame, fitted, plan, LinearDensity(1.0, -1.0, 1.0), exact_force
    )
    state = initial_state(frame, frame, 0.06)
    (final,) = integrate(domain, frame, exact_force, rule, plan, state, [1.0])
    assert np.abs(final.disp - frame.displacement(1.0)).max() < 2e-5
    assert np.abs(final.vel - frame.velocity(1.0)).max() < 2e-4


THRESHOLD = 0.18
DENSITY = LinearDensity(1.0, -1.0, 1.0)


@pytest.fixture(scope="module")
def alike(table):
    """Tables of one to three steps that carry on alike, and read out each in its own way."""
    rng = np.random.default_rng(3)
    carry, *last = 0.1 * rng.normal(size=(4, 1, *CLASSES, *MATRIX)).astype(np.float32)

    def steps(count):
        matrices = np.array([*[carry] * (count - 1), last[count - 1]])
        shapes = ReadOutNetwork.shapes().items()
        arrays = {name: np.float32(rng.normal(0, 0.1, shape)) for name, shape in shapes}
        return FittedCount(
            np.zeros(1), schemes.power_fractions(count, 0.6), matrices, np.ones((count, 1)),
            np.zeros(1), np.ones(2), THRESHOLD, None,
            ReadOutNetwork(**arrays), np.array([0.8]),
        )  # fmt: skip

    return FittedSteps("lpt", "nbody", table.fitted, {n: steps(n) for n in (1, 2, 3)})


def follow(problem, table, count, D_end, outputs, first=0, before=None):
    """Snapshots of a run with as many steps, or from a rule and a state on."""
    domain, cosmology, frame = problem.domain, problem.cosmology, problem.lpt
    fractions = table.by_count[count].fractions
    plan = schemes.residual(cosmology, schemes.step_boundaries(0.06, D_end, fractions))
    rule = FittedKick.of_table(
        domain,
        cosmology,
        frame,
        table.by_count[count],
        plan,
        DENSITY._replace(D=D_end),
        problem.force,
        table.shorter(count),
        table.longer(count),
    )
    state = initial_state(frame, frame, 0.06)
    if before is not None:
        state, memory = before
        rule.memory.update(memory)
    kept = []
    run = list(
        integrate(
            domain, frame, problem.force, rule, plan[first:], state, outputs,
            on_step=lambda: kept.append(copy.deepcopy((state, rule.memory))),
        )
    )  # fmt: skip
    return run, plan, kept


def test_every_step_ends_as_a_run_of_fewer_steps_that_ends_there(alike, nonlinear):
    plan = follow(nonlinear, alike, 3, 1.0, [1.0])[1]
    ends = [step.D1 for step in plan]
    run = follow(nonlinear, alike, 3, 1.0, ends)[0]
    for count, D in enumerate(ends, 1):
        (alone,) = follow(nonlinear, alike, count, D, [D])[0]
        # the boundaries on the way are equal to round-off
        for found, wanted in ((run[count - 1].disp, alone.disp), (run[count - 1].vel, alone.vel)):
            np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_outputs_inside_steps_turn_from_what_is_seen_at_one_end_to_the_other(alike, nonlinear):
    *_, plan, _ = follow(nonlinear, alike, 3, 1.0, [1.0])
    ends = [plan[0].D1, plan[1].D1]
    middle = 0.5 * sum(ends)
    run, _, kept = follow(nonlinear, alike, 3, 1.0, [ends[0], middle, ends[1], 1.0])
    (alone, last), *_ = follow(nonlinear, alike, 3, 1.0, [middle, 1.0])
    np.testing.assert_array_equal(alone.disp, run[1].disp)
    np.testing.assert_array_equal(last.disp, run[3].disp)
    frame = nonlinear.lpt

    def end(snapshot, goes_on):
        e = snapshot.disp - frame.displacement(snapshot.D)
        w = snapshot.vel - frame.velocity(snapshot.D)
        return End(goes_on, State(e, w, snapshot.D, snapshot.D))

    both = end(run[0], kept[0][0]), end(run[2], kept[1][0])
    e, w = Way(nonlinear.domain, *both).at(middle)
    np.testing.assert_allclose(alone.disp, frame.displacement(middle) + e, atol=1e-4)
    np.testing.assert_allclose(alone.vel, frame.velocity(middle) + w, atol=1e-3)
    resumed = follow(nonlinear, alike, 3, 1.0, [middle, 1.0], 1, kept[0])[0]
    np.testing.assert_array_equal(resumed[0].disp, alone.disp)


def test_the_last_step_knows_where_particles_would_go_on(alike, nonlinear):
    """Inside it a run is what it would be if it had one step more."""
    *_, plan, _ = follow(nonlinear, alike, 3, 1.0, [1.0])
    ends = [plan[0].D1, plan[1].D1]
    middle = 0.5 * sum(ends)
    (wanted, _), *_ = follow(nonlinear, alike, 3, 1.0, [middle, 1.0])
    (found, _), *_ = follow(nonlinear, alike, 2, ends[1], [middle, ends[1]])
    np.testing.assert_allclose(found.disp, wanted.disp, atol=1e-4)
    np.testing.assert_allclose(found.vel, wanted.vel, atol=1e-3)
    assert alike.longer(2) is alike.by_count[3] and alike.longer(3) is None


def test_other_boundaries_and_sub_steps_read_nothing_out(alike):
    assert len(alike.shorter(3)) == 2
    two = alike.by_count[2]
    for change in (
        {"fractions": schemes.power_fractions(2, 0.7)},
        {"substep_threshold": 0.2},
        {"substep_threshold": None},
    ):
        other = {**alike.by_count, 2: dataclasses.replace(two, **change)}
        assert len(dataclasses.replace(alike, by_count=other).shorter(3)) == 1
