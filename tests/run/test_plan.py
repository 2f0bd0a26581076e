"""What a plan says, and warns of."""

import json
import re

import pytest

import run_sim
from coca.configuration.loading import make_config
from coca.configuration.values import MOST_FOR_TOLERANCE
from coca.cosmology import linear_power
from coca.cosmology.linear_power import A_s_of
from coca.run.plan import make_plan
from tests.configuration.changes import set_


@pytest.mark.parametrize("method", ["fitted", "coca"])
def test_dark_energy_that_no_fit_has_seen_is_warned_of(config_values, method):
    values = config_values | {"method": method}
    assert not any("w0, wa" in line for line in make_plan(make_config(values)).warnings)
    set_(values, "cosmology.w0", -0.9)
    assert any("w0, wa = -0.9, 0: the" in line for line in make_plan(make_config(values)).warnings)


def test_what_is_neglected_of_neutrinos_is_warned_of(config_values):
    config_values["linear_power"] = {"source": "camb"}
    set_(config_values, "cosmology.m_nu", 0.1)
    plan = make_plan(make_config(config_values))
    assert any("m_nu = 0.1 eV: " in line for line in plan.warnings)
    assert ", m_nu = 0.1 eV" in plan.describe() and plan.config.build_cosmology().m_nu == 0.1


def test_a_plan_says_both_amplitudes(config_values):
    plan = make_plan(make_config(config_values))
    assert plan.amplitude.A_s == A_s_of(plan.config.build_cosmology(), "eisenstein_hu")
    assert f"sigma_8 = 0.834, A_s = {plan.amplitude.A_s:.4g} by eisenstein_hu" in plan.describe()
    del config_values["cosmology"]["sigma_8"]
    set_(config_values, "cosmology.A_s", plan.amplitude.A_s)
    again = make_plan(make_config(config_values))
    assert again.amplitude.sigma_8 == pytest.approx(0.834, rel=1e-12)


def test_a_plan_names_the_reference_and_the_most_forces(config_values):
    plan = make_plan(make_config(config_values | {"reference": {"force_evaluations": 16}}))
    cost = re.search(r"reference    BullFrog.*, about ([\d.]+) s of forces", plan.describe())
    assert cost and "reference" not in make_plan(make_config(config_values)).describe()
    nbody = make_plan(make_config(config_values | {"reference": {}}))
    assert "reference    N-body, P3M" in nbody.describe()
    free = {"method": "cola", "force_evaluations": "auto", "tolerance": 0.1}
    text = make_plan(make_config(config_values | free)).describe()
    assert f"0.1 Mpc/h rms takes, {MOST_FOR_TOLERANCE} at most" in text


@pytest.mark.parametrize("method", ["fitted", "cola", "coca"])
def test_nothing_is_said_of_fitted_steps_without_forces(config_values, method):
    """Nor of what was fitted, far from it."""
    far = {
        "method": method,
        "force_evaluations": 0,
        "box_size": 64.0 if method == "coca" else 320.0,
    }
    plan = make_plan(make_config(config_values | far))
    text = plan.describe().replace(str(plan.config.output.directory), "")
    assert "fitted" not in text and "spacing" not in text and "without forces" in text


def test_unfit_emulator_lattice_is_an_error(config_file, capsys):
    arguments = [str(config_file), "--set", "method=coca", "--set", "box_size=80.0"]
    assert run_sim.main(arguments) == 2
    assert "box_size: found 80 for 32 particles" in capsys.readouterr().err


def test_outside_the_training_is_warned_of_in_the_output(config_file, tmp_path, capsys):
    arguments = [str(config_file), "--set", "method=coca", "--set", "cosmology.Omega_m=0.6"]
    assert run_sim.main(arguments) == 0
    warning = "cosmology.Omega_m = 0.6 is outside the range"
    assert f"warning: {warning}" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["warnings"][0].startswith(warning)


def test_a_plan_does_not_wait_for_camb(config_values, tmp_path, monkeypatch):
    """The amplitude is Eisenstein and Hu's where CAMB has not computed the cosmology yet."""
    pytest.importorskip("camb")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(linear_power, "_from_camb", lambda cosmology: pytest.fail("asked"))
    set_(config_values, "linear_power.source", "camb")
    set_(config_values, "cosmology.h", 0.6719)  # of no other test
    assert make_plan(make_config(config_values)).amplitude.source == "eisenstein_hu"


def test_the_plan_says_what_the_light_cone_will_hold(config_values):
    cone = {"z_max": 0.1, "n_side": 16, "footprint": "octant"}
    text = make_plan(make_config(config_values | {"light_cone": cone})).describe()
    assert "light cone   to z = 0.1, 293 Mpc/h: 50 volumes of the box" in text
