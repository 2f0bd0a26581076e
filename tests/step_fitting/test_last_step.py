import numpy as np
import torch

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.integration.fitted_table import CLASSES, MATRIX, TILTS, basis
from coca.step_fitting.fit import spread
from coca.step_fitting.last_step import fit_last_step, loss_after
from coca.step_fitting.runs import make_runs


def test_descent_lowers_the_loss(tmp_path):
    """The loss of the runs that it is made on, all of whose parts count."""
    small = [
        "particles=16", "mesh=32", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2",
        "truth=bullfrog", "truth_steps=32", f"simulations_directory={tmp_path}", "times=8",
        "spacing=[2.0, 2.0]", "iterations=15",
    ]  # fmt: skip
    config = load_config("configs/fit_steps.yaml", small, FitConfig)
    runs = make_runs(config, 1, lambda truth: truth.conditions.lpt_frame(truth.cosmology), print)
    densities = [run.density for run in runs]
    start = np.zeros((2 + TILTS, *CLASSES, *MATRIX))
    for run in runs:
        run.weights = basis(*spread(densities, 2), run.density).astype(np.float32)
        run.start(np.array([0.0, 0.6, 1.0]))
        run.measure(run.steps[0])
        run.advance(run.steps[0], start)
        run.measure(run.steps[1])
    moments = [run.moments(run.steps[1]) for run in runs]
    before = torch.from_numpy(np.float32(start))
    fitted = torch.from_numpy(np.float32(fit_last_step(runs, moments, start, config)))
    assert torch.equal(fitted[..., 1, :], before[..., 1, :])
    assert sum(float(loss_after(run, fitted)) for run in runs) < 0.8 * sum(
        float(loss_after(run, before)) for run in runs
    )
