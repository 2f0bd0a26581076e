import numpy as np
import pytest

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.integration.fitted_table import CLASSES, MATRIX, FittedCount
from coca.step_fitting.held_out import REPORTED, describe_errors, errors_of
from coca.step_fitting.runs import make_runs
from tests.problem import frame_of_lpt


@pytest.fixture
def runs(tmp_path):
    small = [
        "particles=16", "mesh=32", "simulations=2", "held_out=2", "growth_factors=[1.0]",
        "nodes=2", "batch=2",
        "truth=bullfrog", "truth_steps=32", f"simulations_directory={tmp_path}", "times=8",
        "spacing=[2.0, 2.0]",
    ]  # fmt: skip
    config = load_config("configs/fit_steps.yaml", small, FitConfig)
    return make_runs(config, 1, frame_of_lpt, lambda line: None, held_out=True)


def explicit(steps):
    """Steps that are fitted to nothing."""
    return FittedCount(
        np.array([0.0, 1.0]), np.linspace(0, 1, steps + 1),
        np.zeros((steps, 2, *CLASSES, *MATRIX), np.float32), np.ones((steps, 2), np.float32),
        np.ones(2, np.float32), np.ones(2),
    )  # fmt: skip


def test_errors_fall_with_steps(runs):
    """Explicit steps of the truth's own force end as the truth."""
    few, many = (np.array(errors_of(runs[0], explicit(steps))) for steps in (2, 24))
    correlation = slice(len(REPORTED), 2 * len(REPORTED))
    assert np.all(many[correlation] < 0.3 * few[correlation])
    assert np.all(np.abs(many[: len(REPORTED)]) < 3.0)


def test_means_and_scatter_are_printed(runs):
    left = np.array([errors_of(run, explicit(4)) for run in runs])
    power = describe_errors(runs, explicit(4)).splitlines()[0]
    for mean, scatter in zip(left.mean(axis=0)[:4], left.std(axis=0)[:4], strict=True):
        assert f"{mean:+.2f} ({scatter:.2f})" in power
