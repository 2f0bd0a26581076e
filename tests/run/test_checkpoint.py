"""Runs that stop at any step and go on to the same bits."""

import json

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.run import checkpoint
from coca.run.checkpoint import INDEX, fingerprint
from tests import slow
from tests.agreement import same_results


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
    "bullfrog": {"method": "bullfrog"},
    "cola": {"method": "cola"},
    "coca": {"method": "coca", "force_evaluations": 8},
    "nbody": {"method": "nbody", "reference": {"method": "nbody"}},
    "tolerance": {"force_evaluations": "auto", "tolerance": 0.02},
}


@pytest.mark.parametrize(
    "method", ["fitted", *slow("bullfrog", "cola"), "coca", *slow("tolerance", "nbody")]
)
@pytest.mark.parametrize("steps", [*slow(0, 30), 6])
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


def test_a_rejected_frame_stays_rejected(values, tmp_path, directory, monkeypatch, capsys):
    """The run goes on with the method that took its place."""
    path, wanted = tmp_path / "config.yaml", tmp_path / "unbroken"
    path.write_text(yaml.safe_dump(values | {"method": "coca", "force_evaluations": 8}))
    monkeypatch.setattr("coca.run.method.MAX_RESIDUAL_RATIO", 1e-3)
    assert run(path, "--set", f"output.directory={wanted}") == 0
    assert len(json.loads((wanted / "run.json").read_text())["warnings"]) >= 2
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            run(path)
    assert run(path, "--resume") == 0
    same_results(directory, wanted)


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
