"""What cannot be planned, and what a plan warns of."""

import re
from collections import namedtuple

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.errors import ConfigError
from coca.integration.fitted_table import shipped
from coca.run.memory import disk_space
from coca.run.plan import make_plan


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


def test_a_run_without_space_for_its_files_is_refused(config_values, monkeypatch):
    config = make_config(config_values)
    need = disk_space(config)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(need))
    make_plan(config)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(need - 1))
    with pytest.raises(ConfigError, match=r"output\.directory: found [1-9].* free .* wanted [1-9]"):
        make_plan(config)


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
        (
            {"z_max": 18.8, "redshift_space": True},
            "light_cone.z_max: found 18.8, wanted the run, .* to start before z = 19.* 50 Mpc/h",
        ),
        (
            {"z_max": 1.0, "redshifts": [0.51, 1.0], "redshift_space": True},
            "output.redshifts: found 0.5 last, wanted the run to go on to z = 0.48.* for light_co",
        ),
    ],
)
def test_light_cones_that_cannot_be(config_values, cone, message, monkeypatch):
    monkeypatch.setattr("coca.run.plan.check_memory", lambda *arguments: None)
    output = config_values["output"] | {"redshifts": [0.5 if "redshifts" in cone else 0.0]}
    with pytest.raises(ConfigError, match=message):
        make_plan(make_config(config_values | {"light_cone": cone, "output": output}))


def test_fits_needs_healpy(config_values, monkeypatch):
    monkeypatch.setattr("coca.light_cone.healpix.find_spec", lambda name: None)
    cone = {"z_max": 0.1, "n_side": 16, "fits": True}
    with pytest.raises(ConfigError, match=r"light_cone\.fits: wanted healpy, which"):
        make_plan(make_config(config_values | {"light_cone": cone}))


def test_shells_too_thin_are_refused(config_values):
    config = make_config(config_values | {"light_cone": {"z_max": 0.5, "every": 1.0}})
    with pytest.raises(ConfigError, match=r"light_cone.every: found 1 Mpc/h, which makes 1\d\d\d "):
        make_plan(config)
