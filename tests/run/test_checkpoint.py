"""Runs that stop at any step and go on to the same bits."""

import json
import os
import shutil
import signal
import time
from contextlib import contextmanager

import pytest

import run_sim
from coca.configuration.loading import make_config
from coca.run import checkpoint
from coca.run.checkpoint import INDEX, fingerprint
from tests import slow
from tests.agreement import same_results
from tests.resuming import run, written


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "run"


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
    "nbody": {
        "method": "nbody",
        "reference": {"method": "nbody"},
        "particles": 16,
        "mesh": 32,
        "box_size": 32.0,
    },
    "tolerance": {"force_evaluations": "auto", "tolerance": 0.25},
}


@pytest.mark.parametrize(
    "method", ["fitted", *slow("bullfrog", "cola"), "coca", *slow("tolerance", "nbody")]
)
@pytest.mark.parametrize("steps", [*slow(0, 30), 4])
def test_every_method_resumes(
    often_saved, undisturbed, tmp_path, directory, monkeypatch, method, steps
):
    """In the run, or in its reference."""
    values = often_saved | METHODS[method]
    path, wanted = written(values, tmp_path / "config.yaml"), undisturbed(values)
    with monkeypatch.context() as patch:
        stop_after(patch, steps)
        with pytest.raises(Stopped):
            run(path)
    assert (directory / INDEX).exists()
    assert run(path, "--resume") == 0
    same_results(directory, wanted)


def test_a_rejected_frame_stays_rejected(often_saved, tmp_path, directory, monkeypatch):
    """The run goes on with the method that took its place."""
    path, wanted = tmp_path / "config.yaml", tmp_path / "undisturbed"
    written(often_saved | {"method": "coca", "force_evaluations": 8}, path)
    monkeypatch.setattr("coca.run.method.MAX_RESIDUAL_RATIO", 1e-3)
    assert run(path, "--set", f"output.directory={wanted}") == 0
    assert len(json.loads((wanted / "run.json").read_text())["warnings"]) >= 2
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Stopped):
            run(path)
    assert run(path, "--resume") == 0
    same_results(directory, wanted)


def test_a_finished_run_is_not_done_again(often_saved_file, directory, capsys):
    assert run_sim.main([str(often_saved_file)]) == 0
    stamp = (directory / "run.json").stat().st_mtime_ns
    assert run_sim.main([str(often_saved_file), "--resume"]) == 0
    assert "finished before and complete" in capsys.readouterr().out
    assert (directory / "run.json").stat().st_mtime_ns == stamp


def test_without_a_checkpoint_the_run_starts_at_its_beginning(
    often_saved, often_saved_file, undisturbed, directory, capsys
):
    assert run_sim.main([str(often_saved_file), "--resume"]) == 0
    assert "no checkpoint to resume from" in capsys.readouterr().out
    same_results(directory, undisturbed(often_saved))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_end_saves(
    small_file, directory, monkeypatch, capsys, number, status
):
    """Ctrl-C as SIGTERM does, after the step; and goes on."""
    step = checkpoint.CheckpointFiles.step

    def told(self, *arguments):
        os.kill(os.getpid(), number)
        step(self, *arguments)

    handlers = [signal.getsignal(n) for n in checkpoint.ENDING]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.CheckpointFiles, "step", told)
        assert run(small_file) == status
    error = capsys.readouterr().err
    assert "saved in" in error and "--resume" in error
    assert [signal.getsignal(n) for n in checkpoint.ENDING] == handlers
    assert json.loads((directory / INDEX).read_text())["slot"] == 0
    assert run_sim.main([str(small_file), "--resume"]) == 0
    assert "resumed after 1 steps" in capsys.readouterr().out


def test_told_in_its_last_step_a_run_finishes_and_an_ensemble_ends(
    small_file, directory, monkeypatch, capsys
):
    """The members after it are not begun, and are run by the same command."""
    brings_up = checkpoint.CheckpointFiles.watching

    @contextmanager
    def told(self):
        with brings_up(self):
            yield
            if self._config.seed == 1:
                os.kill(os.getpid(), signal.SIGTERM)
                while not self._signal:
                    time.sleep(0.001)

    ensemble = [str(small_file), "--set", "ensemble.seeds=[1,2]"]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.CheckpointFiles, "watching", told)
        assert run(small_file, "--set", "seed=1") == 143
        assert "after the run had finished" in capsys.readouterr().err
        assert (directory / "run.json").exists()
        shutil.rmtree(directory)
        assert run_sim.main(ensemble) == 1
    assert "2 members: 1 run, 0 finished before, 0 failed, 1 left" in capsys.readouterr().out
    assert (directory / "0000" / "run.json").exists() and not (directory / "0001").exists()
    assert run_sim.main(ensemble) == 0
    assert "2 members: 1 run, 1 finished before, 0 failed" in capsys.readouterr().out


def test_told_twice_a_run_ends_at_once(often_saved, directory):
    files = checkpoint.CheckpointFiles(make_config(often_saved))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background ones ignore it
    with pytest.raises(KeyboardInterrupt), files.watching():
        os.kill(os.getpid(), signal.SIGINT)
        while not files._signal:  # two that wait are one
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1.0)


@pytest.fixture
def small_file(config_values, tmp_path):
    """A run of two steps that is saved when it is told to end."""
    sizes = {"box_size": 32.0, "particles": 16, "mesh": 32, "method": "cola"}
    values = config_values | sizes | {"force_evaluations": 2}
    values["output"] |= {"report": False}
    return written(values, tmp_path / "config.yaml")


@pytest.fixture
def saved(often_saved_file, directory, monkeypatch):
    """A run that stopped after some steps."""
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Stopped):
            run(often_saved_file)
    return directory


def test_another_configuration_is_refused(saved, often_saved_file, capsys):
    assert run(often_saved_file, "--resume", "--set", "seed=99") == 2
    error = capsys.readouterr().err
    assert "a run of another configuration (seed: 3 there, 99 here)" in error


def test_another_version_is_refused(saved, often_saved_file, capsys, monkeypatch):
    monkeypatch.setattr(checkpoint, "__version__", "0.0")
    assert run(often_saved_file, "--resume") == 2
    assert "of another configuration or version" in capsys.readouterr().err


def test_damage_is_found(saved, often_saved_file, capsys):
    (path,) = saved.glob("checkpoint-?.0.hdf5")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert run(often_saved_file, "--resume") == 2
    assert "checkpoint" in capsys.readouterr().err
    path.write_bytes(data[: len(data) // 2])
    assert run(often_saved_file, "--resume") == 2
    assert "checkpoint: cannot use" in capsys.readouterr().err
    (saved / INDEX).write_text("{")
    assert run(often_saved_file, "--resume") == 2
    assert "found a run whose record is damaged" in capsys.readouterr().err


def test_what_changes_no_result_does_not_matter(often_saved):
    config = make_config(often_saved)
    assert fingerprint(config) == fingerprint(make_config(often_saved | {"threads": "auto"}))
    assert fingerprint(config) != fingerprint(make_config(often_saved | {"seed": 99}))
