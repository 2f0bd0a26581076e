"""Runs with a light cone: what they write, and what is there after they were stopped."""

import json
import signal

import h5py
import numpy as np
import pytest

import run_sim
from coca.configuration.loading import make_config
from coca.errors import Terminated
from coca.light_cone.shells import read_shell, shell_files
from coca.parallel.ranks import OneRank
from coca.results.write import write_results
from coca.run.checkpoint import CheckpointFiles
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import run_plan
from tests.resuming import written

pytestmark = pytest.mark.slow

SMALL = {
    "light_cone": {"z_max": 0.3, "n_side": 8, "shells": 3},
    "particles": 16,
    "mesh": 32,
    "box_size": 200.0,
    "method": "cola",
    "force_evaluations": 16,
}


class StoppedAt(CheckpointFiles):
    """Told to end after some steps."""

    steps = 15

    def step(self, state, kept):
        self.steps -= 1
        if self.steps == 0:
            self._signal = signal.SIGTERM
        super().step(state, kept)


def maps(directory):
    return [read_shell(path).counts for path in shell_files(directory)]


@pytest.mark.parametrize("particles", [False, True])
def test_a_run_that_was_stopped_has_the_same_shells(particles, config_values, tmp_path):
    values = config_values | SMALL
    values["light_cone"] = SMALL["light_cone"] | {"particles": particles}
    values["output"] |= {"report": False, "snapshots": False}
    file = written(values, tmp_path / "config.yaml")
    whole = tmp_path / "whole"
    assert run_sim.main([str(file), "--quiet", "--set", f"output.directory={whole}"]) == 0
    config = make_config(values)
    plan = make_plan(config, OneRank())
    with pytest.raises(Terminated):
        run_plan(plan, Progress(quiet=True), StoppedAt(config))
    assert len(list((tmp_path / "run" / "light_cone").glob("shell_*"))) in (1, 2)
    resumed = run_plan(plan, Progress(quiet=True), CheckpointFiles(config, resume=True))
    write_results(plan, resumed, Progress(quiet=True))
    for a, b in zip(maps(whole), maps(tmp_path / "run"), strict=True):
        assert a.sum() > 0
        np.testing.assert_array_equal(a, b)
    listed = json.loads((tmp_path / "run" / "run.json").read_text())["files"]
    assert ("light_cone/particles_002.hdf5" in listed) == particles
    for name in (name for name in listed if "particles" in name):
        for a, b in zip(
            cone_particles(whole / name), cone_particles(tmp_path / "run" / name), strict=True
        ):
            np.testing.assert_array_equal(a, b)


def cone_particles(path):
    with h5py.File(path) as file:
        group = file["PartType1"]
        return [group[name][:] for name in ("ParticleIDs", "Coordinates", "Velocities")]
