import re

import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.errors import ConfigError
from coca.integration.fitted_table import shipped
from coca.run.plan import make_plan
from coca.run.simulation import more_steps, run_plan
from tests.problem import run

TO_PM = {"table": str(shipped("lpt_pm"))}
"""Steps fitted to what the mesh's force converges to, beyond which explicit kicks go on."""


@pytest.mark.parametrize("method", ["fitted", "cola"])
def test_tolerance_decides_how_many_forces(config_values, method):
    """The estimate meets it, and so does the truth to the factor that the estimate is good to."""
    values = config_values | {"force_evaluations": "auto", "method": method}
    values |= TO_PM if method == "fitted" else {}
    values |= {"tolerance": 0.08 if method == "cola" else 0.14}
    simulation = run(values, reference={"force_evaluations": 64})
    loose = run(values | {"tolerance": 0.5})
    error = np.std(simulation.snapshots[0].disp - simulation.reference[0].disp)
    assert simulation.run.trust.error <= values["tolerance"]
    assert error < 2 * values["tolerance"]
    assert len(loose.run.steps) < len(simulation.run.steps) == len(simulation.run.evaluations)


@pytest.mark.parametrize("reference", ["bullfrog", "nbody"])
def test_the_reference_is_the_run_of_its_method(config_values, reference):
    """To the bit, with the outputs that the run has."""
    values = config_values | {"output": {"redshifts": [1.0, 0.0], "directory": "."}}
    values |= {"particles": 16, "mesh": 32, "box_size": 32.0}
    simulation = run(values, reference={"method": reference})
    count = {"bullfrog": 64, "nbody": "auto"}[reference]
    alone = run(values, method=reference, force_evaluations=count)
    for found, wanted in zip(simulation.reference, alone.snapshots, strict=True):
        np.testing.assert_array_equal(found.disp, wanted.disp)
        np.testing.assert_array_equal(found.vel, wanted.vel)


def test_p3m_is_a_force_of_other_methods(config_values):
    """Many BullFrog steps with it end where N-body ends, of few particles and no halo."""
    values = config_values | {"particles": 16, "mesh": 32, "box_size": 64.0}
    values |= {"force": {"softening": 0.2}}
    values["output"] = values["output"] | {"redshifts": [1.0]}
    nbody = run(values, method="nbody", force_evaluations="auto").snapshots[0]
    p3m = {"solver": "p3m", "softening": 0.2}
    bullfrog = run(values, method="bullfrog", force=p3m, force_evaluations=128).snapshots[0]
    moved = np.std(nbody.disp)
    assert np.median(np.abs(bullfrog.disp - nbody.disp)) < 1e-3 * moved


def test_more_steps_are_always_more_and_at_most_those_allowed():
    assert more_steps(8, 1.01) == 9
    assert more_steps(8, 4.0) == 16
    assert more_steps(8, 1e6) == 32
    assert more_steps(200, 9.0) == 256


def test_a_tolerance_out_of_reach_is_warned_of(config_values, monkeypatch):
    monkeypatch.setattr("coca.run.simulation.MOST_FOR_TOLERANCE", 14)
    values = config_values | {"force_evaluations": "auto", "tolerance": 1e-3}
    simulation = run(values | TO_PM)
    assert len(simulation.run.steps) == 14
    assert (
        "Mpc/h is left after 14 force evaluations, the most that are taken for it, wanted 0.001"
        in simulation.warnings[-1]
    )


def test_a_tolerance_beyond_fitted_steps_is_refused_before_the_work(config_values):
    """Explicit kicks would not end as N-body. Within the factor of the estimate it is tried."""
    values = config_values | {"force_evaluations": "auto", "tolerance": 1e-3}
    with pytest.raises(
        ConfigError, match=r"tolerance: found 0\.001 Mpc/h, wanted [\d.]+ or"
    ) as said:
        make_plan(make_config(values))
    least = float(re.search(r"wanted ([\d.]+)", str(said.value))[1])
    simulation = run(values | {"tolerance": 1.1 * least})
    most = simulation.run.method.table.counts[-1]
    assert len(simulation.run.steps) == most
    assert f"Mpc/h is left after {most} force evaluations" in simulation.warnings[-1]
    make_plan(make_config(values | TO_PM))


def test_runs_are_reproducible_and_independent(config_values):
    first = run_plan(make_plan(make_config(config_values)))
    run_plan(make_plan(make_config(config_values | {"seed": 99})))
    again = run_plan(make_plan(make_config(config_values)))
    np.testing.assert_array_equal(first.snapshots[0].disp, again.snapshots[0].disp)
