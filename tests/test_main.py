"""The command line in this process; tests/end_to_end/test_command_line.py starts it as users do."""

import pytest

import coca
import run_sim
from coca.__main__ import main


def stopped(capsys, *arguments, program=main):
    """The status of a command line that ends the process, and what it said and complained."""
    with pytest.raises(SystemExit) as stop:
        program(list(arguments))
    return stop.value.code, *capsys.readouterr()


def test_version(capsys):
    assert stopped(capsys, "--version") == (0, f"coca {coca.__version__}\n", "")


def test_help_of_run_has_its_options_and_examples(capsys):
    status, out, _ = stopped(capsys, "run", "--help")
    assert status == 0 and "--dry-run" in out and "coca run configs/quickstart.yaml" in out
    assert stopped(capsys, "--help", program=run_sim.main) == (status, out, "")


def test_an_unknown_command_is_named_with_those_that_there_are(capsys):
    status, _, error = stopped(capsys, "walk", "config.yaml")
    assert status == 2 and "'walk'" in error
    assert all(name in error for name in ("run", "ics", "analyse", "train", "fit"))


def test_no_command_is_an_error(capsys):
    status, _, error = stopped(capsys)
    assert status == 2 and "COMMAND" in error


def test_run_sim_does_what_coca_run_does(config_values, tmp_path, capsys):
    """The same plan; the rest is the same function."""
    import yaml

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    arguments = [str(path), "--dry-run", "--set", "seed=7"]
    found = []
    for program, line in ((main, ["run", *arguments]), (run_sim.main, arguments)):
        assert program(line) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1] and "seed 7" in found[0]
