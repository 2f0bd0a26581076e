import numpy as np
import pytest
import torch

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.integration.fitted_kick import FittedKick
from coca.integration.fitted_table import CLASSES, basis
from coca.integration.integrate import initial_state, integrate
from coca.step_fitting.differentiable import end_of_step
from coca.step_fitting.fit import fit, fit_count, spread
from coca.step_fitting.last_step import matrices_of
from coca.step_fitting.runs import make_runs
from tests.problem import frame_of_lpt

FEATURES, TARGETS = kernels.constants.FEATURES, kernels.constants.TARGETS


@pytest.fixture
def small(tmp_path):
    return [
        "particles=16", "mesh=32", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2",
        "truth=bullfrog", "truth_steps=32", f"simulations_directory={tmp_path}", "times=8",
    ]  # fmt: skip


def test_the_read_out_is_fitted_to_particles_that_move_as_in_a_run(small):
    config = load_config("configs/fit_steps.yaml", small, FitConfig)
    run, _ = make_runs(config, 1, frame_of_lpt, lambda line: None)
    run.weights = np.array([0.4, 0.6], np.float32)
    matrices = 0.1 * np.random.default_rng(11).normal(size=(2, *CLASSES, TARGETS, FEATURES))
    matrices = matrices.astype(np.float32)
    run.start(np.array([0.0, 0.6, 1.0]), 0.25)
    run.measure(run.steps[0])
    run.advance(run.steps[0], matrices)
    run.measure(run.steps[1])
    assert len(run.rule.changes.indices) > 0, "no sub-steps"
    wanted = end_of_step(run, matrices_of(run, torch.from_numpy(matrices)))
    run.advance(run.steps[1], matrices)
    for found, part in zip((run.state.e, run.state.w), wanted, strict=True):
        np.testing.assert_allclose(found, part, atol=1e-5 * float(part.abs().max()))


def test_what_is_fitted_is_what_runs_step(small):
    """A run of the table that was fitted ends where the fit's own run ended, but for the
    float32 of the table: the fit goes on with float64."""
    more = [
        "boundaries={}",
        "substep_thresholds={}",
        "force_evaluations=3",
        "iterations=2",
        "counts=[3]",
        "spacing=[2.0, 2.0]",
    ]
    config = load_config("configs/fit_steps.yaml", [*small, *more], FitConfig)
    runs = make_runs(config, 1, frame_of_lpt, lambda line: None)
    nodes, ranges = spread([run.density for run in runs], 2)
    for run in runs:
        run.weights = basis(nodes, ranges, run.density).astype(np.float32)
    fitted = fit_count(runs, nodes, ranges, 3, config)
    assert fitted.substep_threshold is not None
    for run in runs:
        truth, frame = run.truth, run.frame
        rule = FittedKick.of_table(
            truth.domain, truth.cosmology, frame, fitted, run.steps, run.density, truth.force
        )
        state = initial_state(frame_of_lpt(truth), frame, truth.D_start)
        (end,) = integrate(truth.domain, frame, truth.force, rule, run.steps, state, [run.D_end])
        found = run.state.e.copy()
        frame.add(run.D_end, (1.0, 0.0, 0.0), found)
        np.testing.assert_allclose(end.disp, found, atol=1e-5 * np.abs(found).max())


def test_a_fit_that_is_made_again_is_the_same_to_the_bit(small):
    """On one thread, with as many iterations; with more of them it is another."""
    more = [
        "boundaries={}", "substep_thresholds={}", "force_evaluations=3", "counts=[3]",
        "spacing=[2.0, 2.0]", "held_out=0",
    ]  # fmt: skip

    def matrices(iterations):
        config = load_config(
            "configs/fit_steps.yaml", [*small, *more, f"iterations={iterations}"], FitConfig
        )
        (table,) = fit(config, 1, frame_of_lpt, lambda line: None)
        return table.by_count[3].matrices

    first = matrices(2)
    np.testing.assert_array_equal(matrices(2), first)
    assert np.any(matrices(3) != first)


def test_simulations_are_kept_and_told_apart_by_all_that_defines_them(small, tmp_path):
    """What is on disk is taken, and nothing else's; held-out simulations are others."""
    config = load_config("configs/fit_steps.yaml", [*small, "held_out=1"], FitConfig)
    first = make_runs(config, 1, frame_of_lpt, lambda line: None)
    files = sorted(tmp_path.glob("run-*.npy"))
    before = [path.stat().st_mtime_ns for path in files]
    again = make_runs(config, 1, frame_of_lpt, lambda line: None)
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("run-*.npy"))] == before
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.truth.at(0.9)[0], other.truth.at(0.9)[0])
    make_runs(config, 1, frame_of_lpt, lambda line: None, held_out=True)
    assert len(list(tmp_path.glob("run-*.npy"))) == 3
    other = load_config("configs/fit_steps.yaml", [*small, "truth_steps=40"], FitConfig)
    make_runs(other, 1, frame_of_lpt, lambda line: None)
    assert len(list(tmp_path.glob("run-*.npy"))) == 5
