"""The fit of the network that reads out: what it is fitted to is what runs write."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.integration.fitted_kick import FittedKick
from coca.integration.fitted_table import FittedSteps, shipped
from coca.integration.integrate import initial_state, integrate
from coca.step_fitting.fit import fit
from coca.step_fitting.held_out import errors_of
from coca.step_fitting.losses import positions
from coca.step_fitting.network import MOTIONS, Sample, fit_network, perceptron_for
from coca.step_fitting.runs import make_runs
from tests.problem import frame_of_lpt

STEPS = shipped("lpt_pm")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    kept = tmp_path_factory.mktemp("simulations")
    small = [
        "particles=16", "mesh=32", "simulations=2", "growth_factors=[1.0]", "batch=1",
        "truth=bullfrog",
        "truth_steps=32", f"simulations_directory={kept}", "times=8", "held_out=1",
        "spacing=[2.0, 2.0]", "counts=[3]", "iterations=100", "learning_rate=0.005",
        f"table={kept / 'table.safetensors'}", f"steps={STEPS}",
    ]  # fmt: skip
    return load_config("configs/fit.yaml", small, FitConfig)


@pytest.fixture(scope="module")
def runs(config):
    return make_runs(config, 1, frame_of_lpt, lambda line: None)


@pytest.fixture(scope="module")
def fitted(config, runs):
    return fit_network(runs, FittedSteps.load(STEPS).by_count[3], config, lambda line: None)


def test_the_fit_lowers_what_it_is_to_lower(runs, fitted):
    _, samples, network = fitted

    def left(network):
        cases = [("positions", 0), *(("velocities", axis) for axis in range(3))]
        return [sample.loss(network, *case).item() for sample in samples for case in cases]

    with torch.no_grad():
        before, after = left(perceptron_for(samples)), left(network)
    assert np.mean(after) < 0.9 * np.mean(before)


def test_runs_of_the_table_end_where_the_fit_has_them(runs, fitted, tmp_path):
    """Through the file and the kernel; the fit's products are torch's."""
    count, samples, network = fitted
    table = FittedSteps.load(STEPS)
    replace(table, by_count={3: count}).save(tmp_path / "table.safetensors")
    count = FittedSteps.load(tmp_path / "table.safetensors").by_count[3]
    for run, sample in zip(runs, samples, strict=True):
        truth, frame = run.truth, run.frame
        rule = FittedKick.of_table(
            truth.domain, truth.cosmology, frame, count, run.steps, run.density, truth.force
        )
        state = initial_state(frame_of_lpt(truth), frame, truth.D_start)
        (end,) = integrate(truth.domain, frame, truth.force, rule, run.steps, state, [run.D_end])
        with torch.no_grad():
            e, w = sample.displaced(network), sample.moved(network)
        assert float((e - sample.e).std()) > 1e-3 * truth.domain.cell, "nothing is moved"
        seen = sample.e + count.share(run.density) * (e - sample.e)
        disp = seen.numpy() + frame.displacement(run.D_end)
        vel = w.numpy() + frame.velocity(run.D_end)
        np.testing.assert_allclose(end.disp, disp, atol=2e-4 * np.abs(disp).max())
        np.testing.assert_allclose(end.vel, vel, atol=2e-4 * np.abs(vel).max())


def test_a_table_is_read_out_by_what_was_fitted(config):
    """`coca fit` with `steps` keeps these and adds the network; held-out runs pass through it."""
    (table,) = fit(config, 1, frame_of_lpt, lambda line: None)
    steps, found = FittedSteps.load(STEPS).by_count[3], table.by_count[3]
    np.testing.assert_array_equal(found.matrices, steps.matrices)
    (run,) = make_runs(config, 1, frame_of_lpt, lambda line: None, held_out=True)
    assert errors_of(run, found) != errors_of(run, replace(found, network=None))
    assert found.errors[0] != steps.errors[0]


def test_a_run_is_seen_where_its_particles_are(runs):
    """A network that moves nothing leaves positions as the steps have them."""
    count = FittedSteps.load(STEPS).by_count[3]
    sample = Sample(runs[0], count)
    with torch.no_grad():
        e = sample.displaced(perceptron_for([sample]))
    assert torch.equal(positions(runs[0], e), positions(runs[0], sample.e))


def test_a_fit_goes_on_from_a_network(config, runs, fitted):
    """Where other runs tell mean and spread of what it sees, it moves the same."""
    count, samples, network = fitted
    other = perceptron_for(samples[:1], count.network)
    _, scalars = samples[1].features()
    with torch.no_grad():
        wanted, found = network(scalars, MOTIONS), other(scalars, MOTIONS)
    assert float((found - wanted).abs().max()) < 1e-4 * float(wanted.abs().max())


def test_derivatives_are_differences(fitted):
    """Of the loss along a change of the last layer, which it is smooth in."""
    _, samples, network = fitted
    torch.manual_seed(5)
    for of, row in (("positions", 0), ("velocities", 12)):
        network.zero_grad()
        samples[0].loss(network, of, 1).backward()
        bias, step = network.last.bias, 0.01
        slope = bias.grad[row].item()
        with torch.no_grad():
            bias[row] += step
            above = samples[0].loss(network, of, 1).item()
            bias[row] -= 2 * step
            below = samples[0].loss(network, of, 1).item()
            bias[row] += step
        assert slope == pytest.approx((above - below) / (2 * step), rel=0.1)
