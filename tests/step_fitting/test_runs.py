import numpy as np
import torch

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.integration.fitted_kick import FittedKick
from coca.integration.fitted_table import CLASSES, hats
from coca.integration.integrate import initial_state, integrate
from coca.step_fitting.density import last_displacement
from coca.step_fitting.fit import fit_count
from coca.step_fitting.runs import make_runs

FEATURES, TARGETS = kernels.constants.FEATURES, kernels.constants.TARGETS


def test_the_density_is_fitted_to_particles_that_move_as_in_a_run():
    small = ["particles=16", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2"]
    config = load_config("configs/fit.yaml", [*small, "reference_steps=32", "times=8"], FitConfig)
    run, _ = make_runs(config, 1, frame_of_lpt, lambda line: None)
    run.weights = np.array([0.4, 0.6], np.float32)
    matrices = 0.1 * np.random.default_rng(11).normal(size=(2, *CLASSES, TARGETS, FEATURES))
    matrices = matrices.astype(np.float32)
    run.start(np.array([0.0, 0.6, 1.0]))
    run.measure(run.steps[0])
    run.advance(run.steps[0], matrices)
    run.measure(run.steps[1])
    rows = torch.from_numpy(np.ascontiguousarray(matrices[..., 0, :]))
    wanted = last_displacement(run, rows).numpy()
    run.advance(run.steps[1], matrices)
    np.testing.assert_allclose(run.state.e, wanted, atol=1e-5 * np.abs(wanted).max())


def test_what_is_fitted_is_what_runs_step(tmp_path):
    """A run of the table that was fitted ends where the fit's own run ended, but for the
    float32 of the table: the fit goes on with float64."""
    small = ["particles=16", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2"]
    small += ["reference_steps=32", "times=8", "force_evaluations=3", "iterations=2", "counts=[3]"]
    config = load_config("configs/fit.yaml", [*small, "spacing=[2.0, 2.0]"], FitConfig)
    runs = make_runs(config, 1, frame_of_lpt, lambda line: None)
    nodes = np.array([run.log_rms_density for run in runs])
    nodes = np.sort(nodes)
    for run in runs:
        run.weights = hats(nodes, run.log_rms_density).astype(np.float32)
    fitted = fit_count(runs, nodes, 3, config)
    assert fitted.substep_threshold is not None
    for run in runs:
        truth, frame = run.truth, run.frame
        rule = FittedKick.of_table(
            truth.domain, truth.cosmology, frame, fitted, run.steps, run.log_rms_density
        )
        state = initial_state(frame_of_lpt(truth), frame, truth.D_start)
        (end,) = integrate(truth.domain, frame, truth.force, rule, run.steps, state, [run.D_end])
        found = run.state.e.copy()
        frame.add(run.D_end, (1.0, 0.0, 0.0), found)
        np.testing.assert_allclose(end.disp, found, atol=1e-5 * np.abs(found).max())


def frame_of_lpt(truth):
    return truth.conditions.lpt_frame(truth.cosmology)
