"""Runs that are killed or told to end, and go on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.run import checkpoint
from coca.run.checkpoint import INDEX, fingerprint

ROOT = Path(__file__).parent.parent


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


def same_results(found, wanted):
    """Bit by bit; and nothing else is left."""
    names = sorted(path.name for path in wanted.iterdir())
    assert sorted(path.name for path in found.iterdir()) == names
    for name in names:
        if name.endswith(".hdf5"):
            with h5py.File(found / name) as a, h5py.File(wanted / name) as b:
                for data in ("Coordinates", "Velocities", "ParticleIDs"):
                    np.testing.assert_array_equal(
                        a[f"PartType1/{data}"][:], b[f"PartType1/{data}"][:]
                    )
        elif name.endswith(".txt"):
            assert (found / name).read_text() == (wanted / name).read_text()
    records = [json.loads((d / "run.json").read_text()) for d in (found, wanted)]
    assert records[0]["evaluations"] == records[1]["evaluations"]
    assert records[0]["estimated_error"] == records[1]["estimated_error"]


def test_runs_killed_at_thirty_random_moments(config_file, unbroken, tmp_path):
    kills, directory = 30, tmp_path / "killed"
    command = [sys.executable, "tests/killing.py", str(kills), "1", str(directory)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([*command, str(config_file)], cwd=ROOT, env=environment, check=True, timeout=300)
    # a run spends about half of its time in its steps
    assert json.loads((directory / "resumed.json").read_text()) > kills // 5
    for number in range(kills):
        same_results(directory / str(number), unbroken)


class Stopped(Exception):
    """In the place of a kill."""


def stop_after(monkeypatch, steps):
    """Let the run fail when it has saved so many steps."""
    write, count = checkpoint.CheckpointFiles._write, iter(range(steps))

    def stopping(self, *what):
        write(self, *what)
        if next(count, None) is None:
            raise Stopped

    monkeypatch.setattr(checkpoint.CheckpointFiles, "_write", stopping)


METHODS = {
    "fitted": {},
    "bullfrog": {"frame": "rest", "integrator": {"method": "bullfrog"}},
    "cola": {"integrator": {"kick": "explicit"}},
    "coca": {"frame": "emulator", "force_evaluations": 8},
    "tolerance": {"force_evaluations": "auto", "tolerance": 0.02},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("steps", [0, 6, 30])
def test_every_method_resumes(values, tmp_path, directory, monkeypatch, method, steps):
    """In the run, or in its reference."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values | METHODS[method]))
    wanted = tmp_path / "unbroken"
    assert run(path, "--set", f"output.directory={wanted}") == 0
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Stopped):
            run(path)
    assert (directory / INDEX).exists()
    assert run(path, "--resume") == 0
    same_results(directory, wanted)


def test_a_refuted_frame_stays_refuted(values, tmp_path, directory, monkeypatch, capsys):
    """The run goes on with the method that took its place."""
    path, wanted = tmp_path / "config.yaml", tmp_path / "unbroken"
    path.write_text(yaml.safe_dump(values | {"frame": "emulator", "force_evaluations": 8}))
    monkeypatch.setattr("coca.run.method.DISTRUST", 1e-3)
    assert run(path, "--set", f"output.directory={wanted}") == 0
    assert len(json.loads((wanted / "run.json").read_text())["warnings"]) >= 2
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            run(path)
    assert run(path, "--resume") == 0
    same_results(directory, wanted)


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


def test_a_finished_run_is_not_done_again(config_file, directory, capsys):
    assert run_sim.main([str(config_file)]) == 0
    stamp = (directory / "run.json").stat().st_mtime_ns
    assert run_sim.main([str(config_file), "--resume"]) == 0
    assert "finished before" in capsys.readouterr().out
    assert (directory / "run.json").stat().st_mtime_ns == stamp


def test_without_a_checkpoint_the_run_starts_at_its_beginning(
    config_file, unbroken, directory, capsys
):
    assert run_sim.main([str(config_file), "--resume"]) == 0
    assert "no checkpoint to resume from" in capsys.readouterr().out
    same_results(directory, unbroken)


@pytest.fixture
def saved(config_file, directory, monkeypatch):
    """A run that stopped after some steps."""
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Stopped):
            run(config_file)
    return directory


def test_another_configuration_is_refused(saved, config_file, capsys):
    assert run(config_file, "--resume", "--set", "seed=99") == 2
    assert "is of another configuration" in capsys.readouterr().err


def test_damage_is_found(saved, config_file, capsys):
    (path,) = saved.glob("checkpoint-?.0.hdf5")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run(config_file, "--resume") == 2
    assert "checkpoint" in capsys.readouterr().err
    path.write_bytes(data[: len(data) // 2])
    assert run(config_file, "--resume") == 2
    assert "checkpoint: cannot use" in capsys.readouterr().err
    (saved / INDEX).write_text("{")
    assert run(config_file, "--resume") == 2
    assert "checkpoint: cannot use" in capsys.readouterr().err


def test_what_changes_no_result_does_not_matter(values):
    config = make_config(values)
    assert fingerprint(config) == fingerprint(make_config(values | {"threads": "auto"}))
    assert fingerprint(config) != fingerprint(make_config(values | {"seed": 99}))
