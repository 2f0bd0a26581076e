"""Warnings of starts that are early or late for the spacing, and the numbers behind them."""

import json
import re

import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.run.plan import make_plan
from coca.run.start_redshift import (
    CHANGE,
    OUTPUTS,
    SPACINGS,
    STARTS,
    USUAL,
    change_of_power,
    first_force,
)
from tests import ROOT

HALF = 1
"""Index of the measured wavenumber at half of Nyquist's."""


def test_the_numbers_are_those_that_were_measured():
    data = json.loads((ROOT / "docs" / "truth.json").read_text())
    rows = [dict(zip(data["names"], row, strict=True)) for row in data["rows"]]
    P = {
        (row["solver"].lower(), row["spacing"], row["z"], row["start"]): row["P"][HALF]
        for row in rows
        if row["part"] == "start"
    }
    for solver in CHANGE:
        wanted = [
            [[P[solver, s, z, one] / P[solver, s, z, USUAL] - 1 for one in STARTS] for z in OUTPUTS]
            for s in SPACINGS
        ]
        np.testing.assert_allclose(CHANGE[solver], wanted, atol=6e-4)  # three digits


def test_between_what_was_measured_it_is_interpolated():
    assert change_of_power("pm", 4.0, 9.0, 99.0) == CHANGE["pm"][2][2][3]
    assert change_of_power("pm", 8.0, 20.0, 400.0) == CHANGE["pm"][2][2][3]
    assert change_of_power("p3m", 2.0, 0.0, USUAL) == 0.0
    between = change_of_power("pm", np.sqrt(8.0), 9.0, 49.0)
    assert between == pytest.approx(0.5 * (CHANGE["pm"][1][2][2] + CHANGE["pm"][2][2][2]))


@pytest.fixture
def plan_of(config_values):
    def plan(method, spacing, start, outputs, **more):
        values = config_values | {"method": method, "box_size": 32 * spacing}
        values |= {"force_evaluations": 128, "initial_conditions": {"redshift": start}}
        values["output"] = config_values["output"] | {"redshifts": outputs}
        return make_plan(make_config(values | more))

    return plan


def lines(plan):
    return [line for line in plan.warnings if "Nyquist" in line]


@pytest.mark.parametrize(
    ("method", "spacing", "start", "outputs", "said"),
    [
        ("bullfrog", 4.0, 49.0, [9.0], r"z = 4\d\.?\d* on are early .* \+8% at z = 9"),
        ("bullfrog", 4.0, 99.0, [9.0, 0.0], "at z = 9 beside a start at 19"),
        ("bullfrog", 4.0, 49.0, [0.0], None),
        ("bullfrog", 4.0, 19.0, [9.0, 0.0], None),
        ("bullfrog", 1.0, 49.0, [9.0, 0.0], None),
        ("nbody", 2.0, 99.0, [9.0, 0.0], r"-11% at z = 9"),
        ("bullfrog", 1.0, 9.0, [3.0], "are late for particles 1 Mpc/h apart"),
    ],
)
def test_starts_that_spoil_power_are_warned_of(plan_of, method, spacing, start, outputs, said):
    count = {"force_evaluations": "auto"} if method == "nbody" else {"force_evaluations": 1000}
    found = lines(plan_of(method, spacing, start, outputs, **count))
    if said is None:
        assert found == []
    else:
        (line,) = found
        assert re.search(said, line)


def test_few_steps_have_no_early_force(plan_of, cosmology):
    """Four steps from z = 99 to 0 have their first force at D = 1/8."""
    plan = plan_of("cola", 4.0, 99.0, [0.0], force_evaluations=4)
    z = first_force(plan.config, cosmology, 99.0)
    start = float(cosmology.D1(0.01))
    assert float(cosmology.D1(1 / (1 + z))) == pytest.approx(start + (1 - start) / 8)
    assert lines(plan) == []


def test_other_meshes_were_not_measured(plan_of):
    assert lines(plan_of("bullfrog", 4.0, 99.0, [9.0], mesh=32)) == []
