"""Which method a run takes, and when it gives way to another."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.robustness import scramble_weights
from coca.configuration.loading import make_config
from coca.emulator.emulator import Emulator
from coca.emulator.weights_file import SHIPPED_WEIGHTS
from coca.errors import ConfigError
from coca.integration.error_estimate import TRUTHS
from coca.integration.fitted_table import FittedSteps, shipped
from coca.integration.nbody import LONG_STEPS
from coca.run.method import Method
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from tests.problem import run


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def methods(config_values, **options):
    return make_plan(make_config(config_values | options)).methods


def test_fitted_steps_give_way_to_cola(config_values, table):
    fitted, plain = methods(config_values)
    assert fitted.fitted(3) is table_of(fitted, 3) and plain == Method("cola")
    assert methods(config_values, method="cola", force_evaluations=99) == (plain,)


def table_of(method, count):
    return method.table.by_count[count]


def test_the_emulators_frame_gives_way_to_2lpt(config_values):
    """With fitted steps, and with the gain under weights that no table was fitted with."""
    emulated = config_values | {"method": "coca"}
    names = [method.describe(3) for method in methods(emulated)]
    after = ["fitted steps in the frame of 2LPT", "COLA, explicit kicks in the frame of 2LPT"]
    assert names == ["COCA, fitted steps in the emulator's frame", *after]
    own = emulated | {"emulator": {"weights": str(SHIPPED_WEIGHTS)}}
    names = [method.describe(3) for method in methods(own)]
    assert names == ["COCA, gain 6 in the emulator's frame", *after]
    coarse = [method.describe(3) for method in methods(emulated, mesh=32)]
    assert coarse == ["COCA, gain 6 in the emulator's frame", after[1]]


@pytest.mark.parametrize(("count", "truth"), [(3, "nbody"), (6, "nbody"), (2, "bullfrog")])
def test_coca_says_where_it_ends(config_values, count, truth):
    """At N-body with the numbers of forces that a network reads out; what it gives way to, too."""
    values = config_values | {"method": "coca", "force_evaluations": count}
    plan = make_plan(make_config(values))
    assert [method.truth(count) for method in plan.methods[:2]] == [TRUTHS[truth]] * 2
    warned = "those that end at what the mesh converges to take their place, 10 % low in P"
    assert any(warned in line for line in plan.warnings) == (truth == "bullfrog")


def test_long_steps_that_do_not_converge_are_warned_of(config_values):
    nbody = config_values | {"method": "nbody"}
    for count, warned in ((4, True), (LONG_STEPS - 1, True), (LONG_STEPS, False), ("auto", False)):
        plan = make_plan(make_config(nbody | {"force_evaluations": count}))
        assert any("long steps of N-body, wanted auto" in line for line in plan.warnings) == warned


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mesh": 32}, "mesh: found 32, wanted 64 for fitted steps"),
        ({"force_evaluations": 13}, "force_evaluations: found 13, wanted one of 0, 1"),
        ({"emulator": {"weights": str(SHIPPED_WEIGHTS)}}, "emulator: no table of steps is fitted"),
    ],
)
def test_coca_says_what_takes_the_place_of_fitted_steps_and_what_it_costs(
    config_values, values, message
):
    plan = make_plan(make_config(config_values | {"method": "coca"} | values))
    (warning,) = [line for line in plan.warnings if message in line]
    assert "the resolved gain takes their place, as accurate as BullFrog" in warning
    assert plan.methods[0].fitted(13) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mesh": 32}, "mesh: found 32, wanted 64 for fitted steps with method: fitted"),
        ({"mesh": 96, "table": str(shipped("lpt"))}, "mesh: found 96, wanted 64 for fitted steps"),
        ({"table": str(shipped("lpt_3x"))}, "mesh: found 64, wanted 96 for fitted steps"),
        ({"force": {"solver": "p3m"}}, "force.solver: found p3m, wanted pm for fitted steps"),
        ({"force": {"deconvolve": True}}, "force.deconvolve: found true, wanted false"),
        ({"force_evaluations": 99}, "force_evaluations: found 99, wanted one of 0, 1"),
        ({"table": str(shipped("emulator"))}, "found one of frame emulator, wanted .* frame lpt"),
        (
            {"method": "coca", "table": str(shipped("lpt"))},
            "found one of frame lpt, wanted one of frame emulator with method: coca",
        ),
        (
            {"method": "coca", "table": str(shipped("emulator")), "mesh": 96},
            "mesh: found 96, wanted 64 for fitted steps with method: coca",
        ),
    ],
)
def test_fitted_steps_that_cannot_be_are_refused(config_values, values, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(make_config(config_values | values))


def test_a_refuted_frame_gives_way(config_values):
    """Steps that expect residuals of a far better frame give way to explicit ones, and say so."""
    plan = make_plan(make_config(config_values))
    first, plain = plan.methods
    strict = replace(table_of(first, 3), residuals=0.01 * table_of(first, 3).residuals)
    strict = replace(first.table, by_count={3: strict})
    simulation = run_plan(replace(plan, methods=(replace(first, table=strict), plain)))
    assert simulation.run.method == plain
    assert "fitted steps in the frame of 2LPT given up: the residual" in simulation.warnings[-1]
    explicit = run(config_values, method="cola")
    np.testing.assert_array_equal(simulation.snapshots[0].disp, explicit.snapshots[0].disp)
    assert simulation.run.trust == explicit.run.trust


def test_a_network_without_finite_numbers_gives_way(config_values, monkeypatch):
    emulated = config_values | {"method": "coca"}
    coefficients = Emulator.coefficients
    monkeypatch.setattr(Emulator, "coefficients", lambda *a: np.nan * coefficients(*a))
    simulation = run(emulated)
    assert simulation.run.method.describe(3) == "fitted steps in the frame of 2LPT"
    assert "COCA, fitted steps in the emulator's frame given up" in simulation.warnings[-1]


@pytest.mark.parametrize(("particles", "count"), [(32, 2), (32, 6), (32, 16), (64, 2), (64, 16)])
def test_a_useful_emulator_is_kept(config_values, particles, count):
    """The limits without a table of its own let the shipped emulator pass."""
    own = {"method": "coca", "emulator": {"weights": str(SHIPPED_WEIGHTS)}}
    own |= {"particles": particles, "mesh": 2 * particles, "box_size": 2.0 * particles}
    simulation = run(config_values | own, force_evaluations=count)
    assert simulation.run.method.frame == "emulator"
    (only,) = simulation.warnings
    assert "the resolved gain takes their place" in only


@pytest.mark.parametrize("count", [1, 2, 4, 14])
def test_scrambled_weights_cost_forces_but_no_accuracy(config_values, tmp_path, count):
    path = tmp_path / "scrambled.safetensors"
    scramble_weights(path)
    broken = {"method": "coca", "emulator": {"weights": str(path)}}
    simulation = run(config_values | broken, force_evaluations=count)
    assert "COCA, gain 6 in the emulator's frame given up" in simulation.warnings[-1]
    to_pm = {"method": "fitted", "table": str(shipped("lpt_pm"))}
    lpt = run(
        config_values, **(to_pm if count <= 12 else {"method": "cola"}), force_evaluations=count
    )
    np.testing.assert_array_equal(simulation.snapshots[0].disp, lpt.snapshots[0].disp)
