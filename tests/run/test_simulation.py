import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.run.plan import make_plan
from coca.run.simulation import more_steps, run_plan


def run(config_values, **options):
    return run_plan(make_plan(make_config(config_values | options)))


@pytest.mark.parametrize("method", ["fitted", "cola"])
def test_tolerance_decides_how_many_forces(config_values, method):
    """The estimate meets it, and so does the truth to the factor that the estimate is good to."""
    values = config_values | {"force_evaluations": "auto", "method": method}
    values |= {"tolerance": 0.08 if method == "cola" else 0.14}
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


def test_a_tolerance_out_of_reach_is_warned_of(config_values, monkeypatch):
    monkeypatch.setattr("coca.run.simulation.MOST_EVALUATIONS", 14)
    values = config_values | {"force_evaluations": "auto", "tolerance": 1e-3}
    simulation = run(values)
    assert len(simulation.run.steps) == 14
    assert "Mpc/h is left after 14 force evaluations, wanted 0.001" in simulation.warnings[-1]


def test_runs_are_reproducible_and_independent(config_values):
    first = run_plan(make_plan(make_config(config_values)))
    run_plan(make_plan(make_config(config_values | {"seed": 99})))
    again = run_plan(make_plan(make_config(config_values)))
    np.testing.assert_array_equal(first.snapshots[0].disp, again.snapshots[0].disp)
