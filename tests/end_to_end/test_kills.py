"""Runs that are killed or told to end, and go on."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from coca.run.checkpoint import INDEX
from tests import ROOT
from tests.agreement import same_results

pytestmark = pytest.mark.slow


def test_runs_killed_at_random_moments(often_saved, often_saved_file, undisturbed, tmp_path):
    kills, directory = 12, tmp_path / "killed"
    command = [sys.executable, "tests/end_to_end/killing.py", str(kills), "1", str(directory)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(
        [*command, str(often_saved_file)], cwd=ROOT, env=environment, check=True, timeout=900
    )
    # a run spends about half of its time in its steps
    assert json.loads((directory / "resumed.json").read_text()) > kills // 6
    for number in range(kills):
        same_results(directory / str(number), undisturbed(often_saved))


def test_sigterm_saves_and_ends(often_saved, often_saved_file, undisturbed, tmp_path):
    directory = tmp_path / "run"
    undisturbed(often_saved)  # kernels are compiled
    command = [sys.executable, "run_sim.py", str(often_saved_file)]
    slow = ["--set", "output.checkpoint_minutes=60", "--set", "reference.force_evaluations=4096"]
    process = subprocess.Popen(
        [*command, *slow], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("force evaluations: 4096"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=200)
    assert process.returncode == 143
    assert error.startswith("terminated; saved in") and "--resume" in error
    assert (directory / INDEX).exists() and not (directory / "run.json").exists()
