"""Frames from the user's own emulator."""

import numpy as np
import pytest
import torch

import coca
from coca.api import QUIJOTE
from coca.cosmology.background import Cosmology
from coca.emulator.user_emulator import OwnEmulator

BOX = {"particles": 32, "box_size": 64.0, "seed": 3}
KNOTS = np.linspace(0.2, 1.0, 6)


@pytest.fixture(scope="module")
def truth():
    """Displacements of a converged run by growth factor."""
    steps = {"method": "bullfrog", "force_evaluations": 96}
    cosmology = Cosmology(**QUIJOTE)
    redshifts = [float(1 / cosmology.a_of_D(D) - 1) for D in KNOTS[:-1]]
    run = coca.simulate(**BOX, **steps, output={"redshifts": [*redshifts, 0.0]})
    return {D: output.displacement for D, output in zip(KNOTS, run.outputs, strict=True)}


def error(run, truth):
    return np.std(run.displacement - truth[1.0])


def test_derivatives_are_those_of_the_trajectories(truth, cosmology, conditions):
    frame = OwnEmulator.from_snapshots(truth).frame(cosmology, conditions)
    for D in (0.1, 0.33, 0.9):
        h = 1e-2
        low, mid, high = (frame.displacement(D + k * h).astype(float) for k in (-1, 0, 1))
        slope, bend = (high - low) / (2 * h), (high - 2 * mid + low) / h**2
        scale = np.abs(frame.velocity(D)).max()
        np.testing.assert_allclose(frame.velocity(D), slope, atol=2e-3 * scale)
        # second differences of float32 displacements of 10 Mpc/h
        rms = np.sqrt(np.mean((frame.acceleration(D) - bend) ** 2))
        assert rms < 0.05 * np.sqrt(np.mean(bend**2)) + 0.03


def test_it_leaves_with_2lpt(truth, cosmology, conditions):
    frame = OwnEmulator.from_snapshots(truth).frame(cosmology, conditions)
    lpt = conditions.lpt_frame(cosmology)
    D = 0.01  # where what was added has grown by its curvature alone, a few Mpc/h
    np.testing.assert_allclose(frame.displacement(D), lpt.displacement(D), atol=5e-3)
    np.testing.assert_allclose(frame.velocity(D), lpt.velocity(D), atol=0.5)


def test_a_table_of_true_snapshots_is_followed(truth):
    """Without forces to the snapshots themselves, and forces do it little harm."""
    own = OwnEmulator.from_snapshots(truth)
    alone = coca.simulate(**BOX, emulator=own, force_evaluations=0)
    assert error(alone, truth) < 1e-4
    lpt = coca.simulate(**BOX, method="fitted", force_evaluations=0)
    for forces in (2, 6):
        run = coca.simulate(**BOX, emulator=own, force_evaluations=forces)
        assert run.method == "COCA, gain 6 in the emulator's frame"
        assert error(run, truth) < 0.2 * error(lpt, truth)


@pytest.mark.slow
def test_a_bad_emulator_is_corrected_as_forces_grow(truth):
    """Displacements 3 % too large at all times."""
    own = OwnEmulator(lambda D: 1.03 * truth[D], KNOTS)
    runs = [coca.simulate(**BOX, emulator=own, force_evaluations=n) for n in (0, 6, 24, 96)]
    errors = [error(run, truth) for run in runs]
    # 0.093, 0.054, 0.0045 and 0.0002 Mpc/h
    assert errors[1] < 0.7 * errors[0] and errors[2] < 0.2 * errors[1] and errors[3] < 2e-3
    assert "without forces" in runs[0].method
    assert all("in the emulator's frame" in run.method for run in runs[1:])


def test_a_useless_emulator_gives_way(truth):
    rng = np.random.default_rng(1)
    own = OwnEmulator(lambda D: D * rng.normal(0, 5, truth[1.0].shape), KNOTS)
    run = coca.simulate(**BOX, emulator=own, force_evaluations=4)
    assert run.method == "fitted steps in the frame of 2LPT"
    assert any("given up" in line for line in run.warnings)


@pytest.mark.parametrize(
    ("knots", "message"),
    [([1.0], "two or more"), ([0.5, 0.4], "increasing"), ([0.0, 1.0], "above 0"),
     ([0.2, 0.8], "wanted them to the last output at 1")],
)  # fmt: skip
def test_bad_knots_are_named(truth, knots, message):
    with pytest.raises(coca.ConfigError, match=message):
        coca.simulate(**BOX, emulator=OwnEmulator(lambda D: truth[1.0], knots))


@pytest.mark.parametrize(
    "found", [np.zeros((2, 8)), np.zeros(8), np.zeros((3, 1)), np.full((3, 32**3), np.nan), None]
)
def test_what_is_no_displacement_is_named(found):
    with pytest.raises(
        coca.ConfigError, match=r"emulator: found an array .*wanted \(3, 32768\) fin"
    ):
        coca.simulate(**BOX, emulator=OwnEmulator(lambda D: found, [0.5, 1.0]))


@pytest.mark.parametrize("found", ["no", [[1], [1, 2]], torch.zeros(3, 8, requires_grad=True)])
def test_what_is_no_array_is_named(found):
    with pytest.raises(coca.ConfigError, match=r"^emulator: found .* at D = 0\.5, wanted an array"):
        coca.simulate(**BOX, emulator=OwnEmulator(lambda D: found, [0.5, 1.0]))


@pytest.mark.parametrize(
    "knots", [3, "near", None, [0.5, np.inf, np.inf], [[0.5, 1.0]], [0.5, "one"]]
)
def test_knots_that_are_no_numbers_are_named(knots):
    with pytest.raises(coca.ConfigError, match=r"emulator: found knots .*, wanted two or more"):
        OwnEmulator(lambda D: np.zeros((3, 8)), knots)


def test_what_is_no_function_is_named():
    with pytest.raises(coca.ConfigError, match="emulator: found 3, wanted a function"):
        OwnEmulator(3, [0.5, 1.0])


@pytest.mark.parametrize(
    "displacements", [3, [np.zeros((3, 8))], {"0.5": 0, "1": 0}, {0.5: 0, "1": 0}]
)
def test_what_is_no_table_of_snapshots_is_named(displacements):
    with pytest.raises(coca.ConfigError, match=r"found .*, wanted displacements by growth factor"):
        OwnEmulator.from_snapshots(displacements)
