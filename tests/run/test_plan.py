"""What a plan warns of, and what cannot be planned."""

import json
import re
from collections import namedtuple

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.configuration.values import MOST_FOR_TOLERANCE
from coca.cosmology import linear_power
from coca.cosmology.linear_power import A_s_of
from coca.errors import ConfigError
from coca.integration.fitted_table import shipped
from coca.run.memory import disk_space
from coca.run.plan import make_plan
from tests.configuration.changes import set_


def test_a_run_outside_the_fit_is_warned(config_values):
    plan = make_plan(make_config(config_values | {"box_size": 320.0}))
    assert any("spacing of the particles = 10" in line for line in plan.warnings)


def test_earlier_outputs_are_warned_of_where_nothing_reads_them_out(config_values):
    """The table to converged PM has other boundaries for every number of steps."""
    values = config_values | {"output": config_values["output"] | {"redshifts": [1.0, 0.0]}}
    values |= {"method": "fitted", "force_evaluations": 4}

    def warned(table):
        lines = make_plan(make_config(values | table)).warnings
        return any("haloes are too dense" in line for line in lines)

    assert not warned({})
    assert warned({"table": str(shipped("lpt_pm"))})


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


def test_a_run_without_space_for_its_files_is_refused(config_values, monkeypatch):
    config = make_config(config_values)
    need = disk_space(config)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(need))
    make_plan(config)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(need - 1))
    with pytest.raises(ConfigError, match=r"output\.directory: found .* GiB free"):
        make_plan(config)


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


def test_directories_that_cannot_be_are_refused_before_any_work(config_file, tmp_path, capsys):
    (tmp_path / "closed").mkdir()
    for directory in ("x" * 300, "/proc/nowhere/run", "a\nb", "a\0b", str(config_file / "below")):
        command = [str(config_file), "--set", f"output.directory={yaml.safe_dump(directory)}"]
        assert run_sim.main(command) == 2
        assert re.fullmatch(r"error: .*output\.directory: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"force": {"softening": 2.5}}, "force.softening: found 2.5 Mpc/h, .* at most a cell"),
        ({"particles": 8, "mesh": 8}, "mesh: found 8, wanted at least 9 for p3m"),
    ],
)
def test_lengths_that_pairs_cannot_have_are_refused(config_values, values, message):
    values = config_values | {"method": "nbody", "force_evaluations": "auto"} | values
    with pytest.raises(ConfigError, match=message):
        make_plan(make_config(values))


def test_a_plan_does_not_wait_for_camb(config_values, tmp_path, monkeypatch):
    """The amplitude is Eisenstein and Hu's where CAMB has not computed the cosmology yet."""
    pytest.importorskip("camb")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(linear_power, "_from_camb", lambda cosmology: pytest.fail("asked"))
    set_(config_values, "linear_power.source", "camb")
    set_(config_values, "cosmology.h", 0.6719)  # of no other test
    assert make_plan(make_config(config_values)).amplitude.source == "eisenstein_hu"


@pytest.mark.parametrize(
    ("cone", "message"),
    [
        ({"z_max": 19.0}, "light_cone.z_max: found 19, wanted it below initial_conditions"),
        ({"z_max": 1.0, "observer": [1.0, 65.0, 2.0]}, "observer: found .*, wanted a place in the"),
        (
            {"z_max": 1.0, "n_side": 8192, "shells": 1000},
            "light_cone.n_side, shells: found .* GiB",
        ),
        ({"z_max": 10.0, "n_side": 16, "particles": True}, "light_cone.particles: found .* GiB"),
    ],
)
def test_light_cones_that_cannot_be(config_values, cone, message, monkeypatch):
    monkeypatch.setattr("coca.run.plan.check_memory", lambda *arguments: None)
    with pytest.raises(ConfigError, match=message):
        make_plan(make_config(config_values | {"light_cone": cone}))


def test_the_plan_says_what_the_light_cone_will_hold(config_values):
    cone = {"z_max": 0.1, "n_side": 16, "footprint": "octant"}
    text = make_plan(make_config(config_values | {"light_cone": cone})).describe()
    assert "light cone   to z = 0.1, 293 Mpc/h: 50 volumes of the box" in text


def test_fits_needs_healpy(config_values, monkeypatch):
    monkeypatch.setattr("coca.light_cone.healpix.find_spec", lambda name: None)
    cone = {"z_max": 0.1, "n_side": 16, "fits": True}
    with pytest.raises(ConfigError, match=r"light_cone\.fits: wanted healpy, which"):
        make_plan(make_config(config_values | {"light_cone": cone}))
