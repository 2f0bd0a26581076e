"""Which method a run takes, when it gives way, and how the tolerance decides."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.robustness import scramble_weights
from coca.configuration.loading import make_config
from coca.emulator.emulator import SHIPPED_WEIGHTS, Emulator
from coca.errors import ConfigError
from coca.integration.fitted_table import FittedSteps, shipped
from coca.run.method import Method
from coca.run.plan import make_plan
from coca.run.simulation import more_steps, simulate


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def run(config_values, **options):
    return simulate(make_plan(make_config(config_values | options)))


def methods(config_values, **options):
    return make_plan(make_config(config_values | options)).methods


def test_fitted_steps_are_what_the_lpt_frame_takes(config_values, table):
    fitted, plain = methods(config_values)
    assert fitted.fitted(3) is not None and plain == Method("lpt", "residual")
    (beyond,) = methods(config_values, force_evaluations=table.counts[-1] + 1)
    assert beyond == plain
    assert methods(config_values, integrator={"kick": "explicit"}) == (plain,)
    (gain,) = methods(config_values, integrator={"kick": "gain"})
    assert gain.table is None and gain.gain == 6.0


def test_the_emulators_frame_gives_way_to_2lpt(config_values):
    """With fitted steps, and with the gain under weights that no table was fitted with."""
    emulated = config_values | {"frame": "emulator"}
    names = [method.describe(3) for method in methods(emulated)]
    after = ["lpt frame, fitted steps", "lpt frame, explicit kicks"]
    assert names == ["emulator frame, fitted steps", *after]
    own = emulated | {"emulator": {"weights": str(SHIPPED_WEIGHTS)}}
    names = [method.describe(3) for method in methods(own)]
    assert names == ["emulator frame, gain 6", *after]
    coarse = [method.describe(3) for method in methods(emulated, mesh=32)]
    assert coarse == ["emulator frame, gain 6", after[1]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mesh": 96}, "need a mesh of twice the particles, found 96"),
        ({"force": {"assignment": "tsc"}}, "need the default force"),
        ({"force_evaluations": 99}, "need force_evaluations from 1 to"),
        (
            {"integrator": {"kick": "fitted", "step_exponent": 1.0}},
            "need no step_exponent of its own, found 1",
        ),
        ({"frame": "rest"}, "need frame: lpt or emulator"),
    ],
)
def test_fitted_steps_that_cannot_be_are_refused(config_values, values, message):
    wanted = config_values | {"integrator": {"kick": "fitted"}} | values
    with pytest.raises(ConfigError, match=f"integrator.kick: fitted steps {message}"):
        make_plan(make_config(wanted))


def test_a_refuted_frame_gives_way(config_values):
    """Steps that expect residuals of a far better frame give way to explicit ones, and say so."""
    plan = make_plan(make_config(config_values))
    first, plain = plan.methods
    strict = copy.copy(first.table)
    strict.residuals = {count: 0.01 * r for count, r in strict.residuals.items()}
    simulation = simulate(replace(plan, methods=(replace(first, table=strict), plain)))
    assert simulation.run.method == plain
    assert "lpt frame, fitted steps given up: the residual" in simulation.warnings[-1]
    explicit = run(config_values, integrator={"kick": "explicit"})
    np.testing.assert_array_equal(simulation.snapshots[0].disp, explicit.snapshots[0].disp)
    assert simulation.run.trust == explicit.run.trust


@pytest.mark.parametrize("kick", ["fitted", "explicit"])
def test_tolerance_decides_how_many_forces(config_values, kick):
    """The estimate meets it, and so does the truth to the factor that the estimate is good to."""
    values = config_values | {"force_evaluations": "auto", "integrator": {"kick": kick}}
    values |= {"tolerance": 0.08 if kick == "explicit" else 0.14}
    simulation = run(values, reference={"force_evaluations": 64})
    loose = run(values | {"tolerance": 0.5})
    error = np.std(simulation.snapshots[0].disp - simulation.reference[0].disp)
    assert simulation.run.trust.error <= values["tolerance"]
    assert error < 2 * values["tolerance"]
    assert len(loose.run.steps) < len(simulation.run.steps) == len(simulation.run.evaluations)


def test_more_steps_are_always_more_and_at_most_those_allowed():
    assert more_steps(8, 1.01) == 9
    assert more_steps(8, 4.0) == 16
    assert more_steps(8, 1e6) == 32
    assert more_steps(4000, 9.0) == 4096


def test_a_network_without_finite_numbers_gives_way(config_values, monkeypatch):
    emulated = config_values | {"frame": "emulator"}
    coefficients = Emulator.coefficients
    monkeypatch.setattr(Emulator, "coefficients", lambda *a: np.nan * coefficients(*a))
    simulation = run(emulated)
    assert simulation.run.method.describe(3) == "lpt frame, fitted steps"
    assert "emulator frame, fitted steps given up" in simulation.warnings[-1]


@pytest.mark.parametrize(
    ("integrator", "message"),
    [
        ({"kick": "gain", "table": "x"}, "integrator.table: found x, wanted none with kick: gain"),
        ({"method": "bullfrog", "kick": "gain"}, "found method: bullfrog with a kick or a table"),
    ],
)
def test_options_that_would_be_ignored_are_refused(config_values, integrator, message):
    with pytest.raises(ConfigError, match=message):
        methods(config_values, frame="rest", integrator=integrator)


def test_a_table_of_another_frame_is_refused(config_values):
    integrator = {"table": str(shipped("emulator"))}
    with pytest.raises(ConfigError, match="need a table of frame: lpt, found one of emulator"):
        methods(config_values, integrator=integrator)


def test_a_tolerance_out_of_reach_is_warned_of(config_values, monkeypatch):
    monkeypatch.setattr("coca.run.simulation.MOST_EVALUATIONS", 14)
    values = config_values | {"force_evaluations": "auto", "tolerance": 1e-3}
    simulation = run(values)
    assert len(simulation.run.steps) == 14
    assert "Mpc/h is left after 14 force evaluations, wanted 0.001" in simulation.warnings[-1]


@pytest.mark.parametrize(("particles", "count"), [(32, 2), (32, 6), (32, 16), (64, 2), (64, 16)])
def test_a_useful_emulator_is_kept(config_values, particles, count):
    """The limits without a table of its own let the shipped emulator pass."""
    own = {"frame": "emulator", "emulator": {"weights": str(SHIPPED_WEIGHTS)}}
    own |= {"particles": particles, "mesh": 2 * particles, "box_size": 2.0 * particles}
    simulation = run(config_values | own, force_evaluations=count)
    assert simulation.run.method.frame == "emulator" and simulation.warnings == []


@pytest.mark.parametrize("count", [1, 2, 4, 14])
def test_scrambled_weights_cost_forces_but_no_accuracy(config_values, tmp_path, count):
    path = tmp_path / "scrambled.safetensors"
    scramble_weights(path)
    broken = {"frame": "emulator", "emulator": {"weights": str(path)}}
    simulation = run(config_values | broken, force_evaluations=count)
    assert "emulator frame, gain 6 given up" in simulation.warnings[-1]
    lpt = run(config_values, force_evaluations=count)
    np.testing.assert_array_equal(simulation.snapshots[0].disp, lpt.snapshots[0].disp)
