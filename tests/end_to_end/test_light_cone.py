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


FITTED = {
    "light_cone": {"z_max": 0.8, "n_side": 32, "shells": 4, "footprint": "octant"},
    "particles": 32,
    "mesh": 64,
    "box_size": 150.0,
    "method": "fitted",
    "force_evaluations": 3,
}
"""Steps that a network reads out, so that within them trajectories turn."""


class StoppedAt(CheckpointFiles):
    """Told to end after some steps."""

    def __init__(self, config, steps):
        super().__init__(config)
        self.steps = steps

    def step(self, state, kept):
        self.steps -= 1
        if self.steps == 0:
            self._signal = signal.SIGTERM
        super().step(state, kept)


def maps(directory):
    return [read_shell(path).counts for path in shell_files(directory)]


REDSHIFT_SPACE = SMALL | {"light_cone": SMALL["light_cone"] | {"redshift_space": True}}
"""Stopped where the farthest shell is whole and two are begun."""


@pytest.mark.parametrize(
    ("run", "steps", "particles"),
    [(SMALL, 15, False), (SMALL, 15, True), (FITTED, 2, False), (REDSHIFT_SPACE, 15, True)],
)
def test_a_run_that_was_stopped_has_the_same_shells(run, steps, particles, config_values, tmp_path):
    values = config_values | run
    values["light_cone"] = run["light_cone"] | {"particles": particles}
    values["output"] |= {"report": False, "snapshots": False}
    file = written(values, tmp_path / "config.yaml")
    whole = tmp_path / "whole"
    assert run_sim.main([str(file), "--quiet", "--set", f"output.directory={whole}"]) == 0
    config = make_config(values)
    plan = make_plan(config, OneRank())
    with pytest.raises(Terminated):
        run_plan(plan, Progress(quiet=True), StoppedAt(config, steps))
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


def test_a_cone_that_is_asked_for_at_ends_of_steps_is_that_of_all_times(config_values, tmp_path):
    """With velocities particles are asked for in between; within steps they turn."""
    counts = []
    for momentum in (False, True):
        values = config_values | FITTED
        values["light_cone"] = FITTED["light_cone"] | {"momentum": momentum}
        values["output"] = values["output"] | {
            "report": False, "snapshots": False, "directory": str(tmp_path / str(momentum))
        }  # fmt: skip
        file = written(values, tmp_path / "config.yaml")
        assert run_sim.main([str(file), "--quiet"]) == 0
        counts.append(maps(tmp_path / str(momentum)))
    for a, b in zip(*counts, strict=True):
        assert np.abs(a - b).sum() <= 1e-3 * a.sum() and a.sum() > 1e5


def cone_particles(path):
    with h5py.File(path) as file:
        group = file["PartType1"]
        return [group[name][:] for name in ("ParticleIDs", "Coordinates", "Velocities")]
