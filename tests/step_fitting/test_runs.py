import numpy as np
import torch

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.integration.fitted_table import CLASSES
from coca.step_fitting.density import last_displacement
from coca.step_fitting.runs import make_runs

FEATURES, TARGETS = kernels.fitted.FEATURES, kernels.fitted.TARGETS


def test_the_density_is_fitted_to_particles_that_move_as_in_a_run():
    small = ["particles=16", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2"]
    config = load_config("configs/fit.yaml", [*small, "reference_steps=32", "times=8"], FitConfig)
    run, _ = make_runs(
        config, 1, lambda truth: truth.conditions.lpt_frame(truth.cosmology), lambda line: None
    )
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
