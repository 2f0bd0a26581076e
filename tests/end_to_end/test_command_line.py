"""The command line as users start it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import coca
from tests import ROOT, slow

COCA = Path(sys.executable).with_name("coca")
MPIEXEC = Path(sys.executable).with_name("mpiexec")
WAYS = {
    "coca run": [COCA, "run"],
    "python -m coca run": [sys.executable, "-m", "coca", "run"],
    "run_sim.py": [sys.executable, ROOT / "run_sim.py"],
}


def say(*command, cwd=ROOT):
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)


@pytest.mark.skipif(not COCA.exists(), reason="the console script is not installed")
def test_the_console_script_says_its_version(tmp_path):
    done = say(COCA, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"coca {coca.__version__}\n")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_run_gives_the_same(way, config_file, tmp_path):
    if way == "coca run" and not COCA.exists():
        pytest.skip("the console script is not installed")
    done = say(*WAYS[way], config_file, "--dry-run", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    wanted = say(sys.executable, "-m", "coca", "run", config_file, "--dry-run")
    assert done.stdout == wanted.stdout and "32^3 particles" in done.stdout


def test_an_unknown_command_is_a_usage(tmp_path):
    done = say(sys.executable, "-m", "coca", "walk")
    assert done.returncode == 2 and done.stderr.count("usage: coca") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not MPIEXEC.exists(), reason="the mpi extra is not installed")
@pytest.mark.parametrize("command", ["fit", *slow("train")])
def test_commands_without_a_parallel_form_are_refused_on_two_ranks(command):
    """In one line, and before any work."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    arguments = [MPIEXEC, "-n", "2", sys.executable, "-m", "coca", command]
    done = subprocess.run(
        [*map(str, arguments), f"configs/{command}.yaml"],
        cwd=ROOT, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    found = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert found == [f"error: ranks: found 2, wanted one for coca {command}"]
    assert "Traceback" not in done.stderr
