"""What a plan warns of, and what cannot be planned."""

import json
import re

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.errors import ConfigError
from coca.run.plan import make_plan


def test_a_run_outside_the_fit_is_warned(config_values):
    plan = make_plan(make_config(config_values | {"box_size": 320.0}))
    assert any("spacing of the particles = 10" in line for line in plan.warnings)


def test_earlier_outputs_are_warned_of(config_values):
    values = config_values | {"output": config_values["output"] | {"redshifts": [1.0, 0.0]}}
    assert any("haloes are too dense" in line for line in make_plan(make_config(values)).warnings)


@pytest.fixture
def config_file(config_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    return path


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
