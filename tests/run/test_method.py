"""Which method a run takes, and when it gives way to another."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.robustness import scramble_weights
from coca.configuration.loading import make_config
from coca.emulator.emulator import SHIPPED_WEIGHTS, Emulator
from coca.errors import ConfigError
from coca.integration.fitted_table import FittedSteps, shipped
from coca.run.method import COLA, Method
from coca.run.plan import make_plan
from coca.run.simulation import run_plan


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def run(config_values, **options):
    return run_plan(make_plan(make_config(config_values | options)))


def methods(config_values, **options):
    return make_plan(make_config(config_values | options)).methods


def test_each_method_has_its_steps(config_values, table):
    fitted, plain = methods(config_values)
    np.testing.assert_array_equal(fitted.fitted(3).matrices, table.by_count[3].matrices)
    assert plain == COLA == Method("cola")
    assert methods(config_values, method="cola") == (COLA,)
    described = {
        "pm": "PM, explicit kicks without a frame", "bullfrog": "BullFrog", "fastpm": "FastPM",
        "cola": "COLA, explicit kicks in the frame of 2LPT",
    }  # fmt: skip
    for name, words in described.items():
        (method,) = methods(config_values, method=name)
        assert method.describe(3) == words


def test_coca_gives_way_to_2lpt(config_values):
    """With fitted steps, and with the gain under weights that no table was fitted with."""
    coca = config_values | {"method": "coca"}
    names = [method.describe(3) for method in methods(coca)]
    after = ["fitted steps in the frame of 2LPT", "COLA, explicit kicks in the frame of 2LPT"]
    assert names == ["COCA, fitted steps in the emulator's frame", *after]
    own = coca | {"emulator": {"weights": str(SHIPPED_WEIGHTS)}}
    names = [method.describe(3) for method in methods(own)]
    assert names == ["COCA, gain 6 in the emulator's frame", *after]
    coarse = [method.describe(3) for method in methods(coca, mesh=32)]
    assert coarse == ["COCA, gain 6 in the emulator's frame", after[1]]


UNSERVED = pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mesh": 96}, "mesh: found 96, wanted 64 for fitted steps"),
        ({"force": {"deconvolve": True}}, "force.deconvolve: found true, wanted false for fitted"),
        ({"force_evaluations": 99}, "force_evaluations: found 99, wanted 0 to 12 for fitted steps"),
    ],
)


@UNSERVED
def test_fitted_steps_that_cannot_be_are_refused(config_values, values, message):
    wanted = f"^{message}.*; methods cola and bullfrog take any"
    with pytest.raises(ConfigError, match=wanted):
        make_plan(make_config(config_values | values))


@UNSERVED
def test_coca_says_what_it_takes_in_their_place_and_what_that_costs(config_values, values, message):
    plan = make_plan(make_config(config_values | {"method": "coca"} | values))
    (warning,) = plan.warnings
    assert warning.startswith(message) and "as accurate as BullFrog with as many" in warning
    assert plan.methods[0].gain == 6.0 and plan.methods[0].table is None


def strict(plan):
    """The plan with fitted steps that expect residuals of a far better frame."""
    first, *others = plan.methods
    counts = {n: replace(c, residuals=0.01 * c.residuals) for n, c in first.table.by_count.items()}
    table = replace(first.table, by_count=counts)
    return replace(plan, methods=(replace(first, table=table), *others))


def test_a_rejected_frame_gives_way(config_values):
    """Steps that expect residuals of a far better frame give way to explicit ones, and say so."""
    simulation = run_plan(strict(make_plan(make_config(config_values))))
    assert simulation.run.method == COLA
    given_up = "fitted steps in the frame of 2LPT given up: the residual"
    assert given_up in simulation.warnings[-1]
    explicit = run(config_values, method="cola")
    np.testing.assert_array_equal(simulation.snapshots[0].disp, explicit.snapshots[0].disp)
    assert simulation.run.trust == explicit.run.trust


def test_a_network_without_finite_numbers_gives_way(config_values, monkeypatch):
    coefficients = Emulator.coefficients
    monkeypatch.setattr(Emulator, "coefficients", lambda *a: np.nan * coefficients(*a))
    simulation = run(config_values, method="coca")
    assert simulation.run.method.describe(3) == "fitted steps in the frame of 2LPT"
    assert "COCA, fitted steps in the emulator's frame given up" in simulation.warnings[-1]


def test_a_table_of_another_frame_is_refused(config_values):
    message = "table: found one of frame emulator, wanted one of frame lpt with method: fitted"
    with pytest.raises(ConfigError, match=message):
        methods(config_values, table=str(shipped("emulator")))


@pytest.mark.parametrize(("particles", "count"), [(32, 2), (32, 6), (32, 16), (64, 2), (64, 16)])
def test_a_useful_emulator_is_kept(config_values, particles, count):
    """The limits without a table of its own let the shipped emulator pass."""
    own = {"method": "coca", "emulator": {"weights": str(SHIPPED_WEIGHTS)}}
    own |= {"particles": particles, "mesh": 2 * particles, "box_size": 2.0 * particles}
    simulation = run(config_values | own, force_evaluations=count)
    assert simulation.run.method.frame == "emulator"
    (warning,) = simulation.warnings
    assert warning.startswith("emulator: no table of steps is fitted with it")


@pytest.mark.parametrize("count", [1, 2, 4, 14])
def test_scrambled_weights_cost_forces_but_no_accuracy(config_values, tmp_path, count):
    path = tmp_path / "scrambled.safetensors"
    scramble_weights(path)
    broken = {"method": "coca", "emulator": {"weights": str(path)}}
    simulation = run(config_values | broken, force_evaluations=count)
    assert "COCA, gain 6 in the emulator's frame given up" in simulation.warnings[-1]
    lpt = run(config_values, method="fitted" if count <= 12 else "cola", force_evaluations=count)
    np.testing.assert_array_equal(simulation.snapshots[0].disp, lpt.snapshots[0].disp)
