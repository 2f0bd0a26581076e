"""Runs that are killed or told to end, and go on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

import run_sim
from coca.run.checkpoint import INDEX
from tests import ROOT
from tests.agreement import same_results

pytestmark = pytest.mark.slow


@pytest.fixture
def values(config_values):
    """A run of many short steps with two outputs and a reference, saved at every step."""
    config_values["output"] |= {
        "redshifts": [1.0, 0.0],
        "report": False,
        "checkpoint_minutes": 0.0,
    }
    return config_values | {"force_evaluations": 12, "reference": {"force_evaluations": 64}}


@pytest.fixture
def config_file(values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "run"


def run(config_file, *arguments):
    return run_sim.main([str(config_file), "--quiet", *arguments])


@pytest.fixture
def unbroken(config_file, tmp_path):
    """The files of a run that nobody disturbed."""
    directory = tmp_path / "unbroken"
    assert run(config_file, "--set", f"output.directory={directory}") == 0
    return directory


def test_runs_killed_at_thirty_random_moments(config_file, unbroken, tmp_path):
    kills, directory = 30, tmp_path / "killed"
    command = [sys.executable, "tests/end_to_end/killing.py", str(kills), "1", str(directory)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([*command, str(config_file)], cwd=ROOT, env=environment, check=True, timeout=300)
    # a run spends about half of its time in its steps
    assert json.loads((directory / "resumed.json").read_text()) > kills // 5
    for number in range(kills):
        same_results(directory / str(number), unbroken)


def test_sigterm_saves_and_ends(config_file, unbroken, directory):
    command = [sys.executable, "run_sim.py", str(config_file)]
    slow = ["--set", "output.checkpoint_minutes=60", "--set", "reference.force_evaluations=4096"]
    process = subprocess.Popen(
        [*command, *slow], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("force evaluations: 4096"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 143
    assert error.startswith("terminated; saved in") and "--resume" in error
    assert (directory / INDEX).exists() and not (directory / "run.json").exists()
