import numpy as np
import pytest
import torch

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.step_fitting.differentiable import RelativeSpectra
from coca.step_fitting.losses import (
    loss_of_positions,
    loss_of_velocities,
    misfit,
    positions,
    power_bias,
)
from coca.step_fitting.runs import make_runs
from tests.problem import frame_of_lpt


def test_misfit_by_hand():
    ratio, r = torch.tensor([[1.1, 1.0, 0.8]]), torch.tensor([[1.0, 0.9, 1.0]])
    weights = np.array([2.0, 1.0, 0.5])
    wanted = (weights * [12.0 * 0.01, 0.1, 12.0 * 0.04]).sum() / weights.sum()
    assert float(misfit(RelativeSpectra(ratio, r))) == pytest.approx(wanted, rel=1e-4)
    assert float(misfit(RelativeSpectra(ratio, r), 1 / 3)) == pytest.approx(0.12, rel=1e-4)


def test_the_truth_leaves_nothing_to_be_desired(tmp_path):
    """In real and in redshift space; its frame, and velocities at rest, do."""
    small = [
        "particles=16", "mesh=32", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2",
        "truth=bullfrog", "truth_steps=32", f"simulations_directory={tmp_path}", "times=8",
        "spacing=[1.0, 1.0]",
    ]  # fmt: skip
    config = load_config("configs/fit_steps.yaml", small, FitConfig)
    run, _ = make_runs(config, 1, frame_of_lpt, lambda line: None)
    assert run.true_haloes is not None
    e = torch.from_numpy(run.target(1.0)[0])
    v = torch.from_numpy(run.truth.at(1.0)[1])
    x = positions(run, e)
    # float32 of positions, whose sizes of haloes are softened
    assert float(loss_of_positions(run, x, 1.0)) < 1e-5 and abs(power_bias(run, e)) < 1e-4
    assert float(loss_of_positions(run, positions(run, 0 * e), 1.0)) > 0.1
    for axis in range(3):
        assert float(loss_of_velocities(run, x, v, axis, 1.0)) < 1e-5
        assert float(loss_of_velocities(run, x, 0 * v, axis, 1.0)) > 0.1
