"""Runs on several ranks, as a user launches them: tests/mpi, the quickstart, and failures."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import psutil
import pytest
import yaml

from coca.light_cone.shells import read_shell, shell_files
from tests import ROOT
from tests.agreement import HANDFUL, check_same
from tests.end_to_end.failing import STAGES

pytestmark = pytest.mark.slow

MPIEXEC = Path(sys.executable).with_name("mpiexec")


def launch(ranks, *arguments, timeout=1200):
    """A finished process of so many ranks of Python."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=timeout
    )


@pytest.mark.parametrize(
    ("ranks", "options"), [(3, []), (4, ["-m", "not any_number"])], ids=["three", "four"]
)
def test_every_stage(ranks, options):
    """tests/mpi, which an ordinary pytest runs on one rank; two have whole runs below. What four
    ranks would write and read as three do is left out."""
    done = launch(ranks, "tests/mpi", *options)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert " passed" in done.stdout


def coordinates(directory):
    with h5py.File(directory / "snapshot_000.hdf5") as file:
        return file["PartType1/Coordinates"][:].astype(np.float64) / 1e3


def test_quickstart_gives_the_same_particles(tmp_path):
    """On 1, 2 and 8 ranks, to 1e-5 Mpc/h rms, and one particle in a thousand to 0.02 Mpc/h; three
    and four are in tests/mpi. Eight have a plane each of the network's coarsest level."""
    options = ["linear_power.source=eisenstein_hu", "output.report=false", "method=coca"]
    found = {}
    for ranks in (1, 2, 8):
        directory = tmp_path / str(ranks)
        arguments = ["run_sim.py", "configs/quickstart.yaml", "--set", "threads=1"]
        for option in [*options, f"output.directory={directory}"]:
            arguments += ["--set", option]
        done = launch(ranks, *arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("trust: estimated remaining error") == 1
        assert json.loads((directory / "run.json").read_text())["machine"]["ranks"] == ranks
        found[ranks] = coordinates(directory)
    for ranks in (2, 8):
        difference = found[ranks] - found[1]
        difference -= 128.0 * np.rint(difference / 128.0)
        check_same(difference.T, np.zeros_like(difference.T), 1e-5, HANDFUL, worst=2000)


def test_a_light_cone_gives_the_same_maps(config_values, tmp_path):
    """On 1, 2 and 4 ranks, but for the few particles that round-off puts into the next pixel."""
    cone = {"z_max": 0.1, "n_side": 16, "shells": 3, "momentum": True, "replicas": "rotated"}
    config_values |= {"light_cone": cone, "particles": 32, "mesh": 64}
    config_values["output"] |= {"report": False, "snapshots": False}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config_values))
    found = {}
    for ranks in (1, 2, 4):
        directory = tmp_path / str(ranks)
        options = ["--quiet", "--set", f"output.directory={directory}"]
        done = launch(ranks, "run_sim.py", tmp_path / "config.yaml", *options)
        assert done.returncode == 0, done.stderr
        found[ranks] = [read_shell(path) for path in shell_files(directory)]
    for ranks in (2, 4):
        for a, b in zip(found[1], found[ranks], strict=True):
            total = a.counts.sum()
            assert abs(int(b.counts.sum()) - int(total)) <= 1e-4 * total and total > 10_000
            assert np.abs(a.counts - b.counts).sum() <= 1e-3 * total
            moved = np.abs(a.momentum - b.momentum).sum()
            assert moved <= 2e-3 * np.abs(a.momentum).sum()


@pytest.fixture
def small(config_values, tmp_path):
    """A configuration that goes through every stage, with COCA through the network's too."""
    values = config_values | {
        "reference": {"force_evaluations": 8},
        "force_evaluations": 2,
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


COCA = "--set", "method=coca"


def fail(ranks, stage, rank, how, config):
    arguments = [config, *(COCA if stage == "network" else ())]
    start = time.monotonic()
    done = launch(ranks, "tests/end_to_end/failing.py", stage, rank, how, *arguments, timeout=400)
    assert time.monotonic() - start < 60  # most of it starts four Pythons on two cores
    assert done.returncode != 0
    return done


@pytest.mark.parametrize("stage", STAGES)
def test_a_rank_that_raises_ends_the_run(small, stage):
    """With its own message, once, and no other rank's. The third of four while all are at work on
    the force; elsewhere two ranks do, of which the first writes the report."""
    ranks, rank = (4, 2) if stage == "force" else (2, 0 if stage == "report" else 1)
    done = fail(ranks, stage, rank, "raise", small)
    assert done.stderr.count("Traceback") == 1
    assert f"RuntimeError: broken in {stage} (rank {rank} of {ranks})" in done.stderr
    assert not (small.parent / "run" / "run.json").exists()


@pytest.mark.parametrize("stage", ["initial conditions", "network", "force", "output"])
def test_a_rank_that_is_killed_ends_the_run(small, stage):
    done = fail(4 if stage == "force" else 2, stage, 1, "kill", small)
    assert "Traceback" not in done.stderr
    left = [path.name for path in small.parent.glob("run/*") if not path.name.startswith(".")]
    assert "snapshot_000.hdf5" not in left and "run.json" not in left


TWO_PLANES = "method=coca", "particles=16", "mesh=32", "box_size=32"
"""Options of a run with two planes of the network's coarsest level."""


@pytest.mark.parametrize(
    ("ranks", "overrides", "message"),
    [
        (3, (), "ranks: found 3, wanted a divisor of particles = 32; the largest below is 2"),
        (4, TWO_PLANES, "ranks: found 4, wanted a divisor of 2, the planes of the emulator's"),
        (2, ["boxsize=3"], "boxsize: unknown key"),
        (2, ["initial_conditions.file=absent.hdf5"], "initial_conditions.file: cannot read"),
        (2, ["ensemble={realisations: 2, ranks_per_simulation: 3}"], "ranks: found 2, wanted a m"),
    ],
    ids=["lattice", "network", "key", "file", "ensemble"],
)
def test_bad_input_is_one_line_of_one_rank(small, ranks, overrides, message):
    done = launch(ranks, "run_sim.py", small, *(f"--set={value}" for value in overrides))
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1 and message in done.stderr


@pytest.fixture
def often(small):
    """A configuration whose run is saved at every step, with the network."""
    values = yaml.safe_load(small.read_text())
    values["output"] |= {"checkpoint_minutes": 0.0, "report": False}
    small.write_text(yaml.safe_dump(values | {"method": "coca"}))
    return small


def resume(config, wanted):
    """Go on with a run; its particles are those of the undisturbed one, bit by bit."""
    done = launch(2, "run_sim.py", config, "--resume")
    assert done.returncode == 0 and "resumed after" in done.stdout, done.stderr
    found = config.parent / "run"
    np.testing.assert_array_equal(coordinates(found), coordinates(wanted))
    assert sorted(p.name for p in found.iterdir()) == sorted(p.name for p in wanted.iterdir())


def test_a_run_whose_rank_was_killed_resumes(often):
    config, wanted = often, often.parent / "unbroken"
    done = launch(2, "run_sim.py", config, "--set", f"output.directory={wanted}")
    assert done.returncode == 0, done.stderr
    done = launch(2, "tests/end_to_end/failing.py", "reference run", 1, "kill", config, timeout=400)
    assert done.returncode != 0
    assert launch(1, "run_sim.py", config, "--resume").returncode == 2  # of two ranks
    resume(config, wanted)


def is_watching(process):
    """Whether it has a handler of SIGTERM (Linux): before its steps begin a rank ends at once."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    caught = int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def wait_until(condition, seconds=60.0):
    """Until it is met; an error if it never is."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_sigterm_to_one_rank_saves_all(small):
    slow = ["--set", "reference.force_evaluations=4096", "--set", "output.checkpoint_minutes=60"]
    command = [MPIEXEC, "-n", "2", sys.executable, "run_sim.py", str(small), *slow]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("force evaluations: 4096"):
            break
    ranks = [p for p in psutil.Process(process.pid).children(recursive=True)
             if "run_sim.py" in p.cmdline() and "python" in p.name()]  # fmt: skip
    assert len(ranks) == 2
    wait_until(lambda: all(is_watching(rank) for rank in ranks))
    ranks[1].terminate()
    _, error = process.communicate(timeout=200)
    assert process.returncode == 143 and error.count("terminated; saved in") == 1
    done = launch(2, "run_sim.py", small, *slow, "--resume", "--set", "output.spectra=false")
    assert done.returncode == 2 and "another configuration" in done.stderr


def test_usage_is_printed_once():
    done = launch(3, "run_sim.py", "--bogus")
    assert done.returncode == 2 and done.stderr.count("usage:") == 1


def test_a_snapshot_never_joins_two_runs(small):
    """A run that fails while it writes leaves no file over parts of this one and the one before."""
    done = launch(2, "run_sim.py", small, "--set", "seed=1", "--set", "output.report=false")
    assert done.returncode == 0, done.stderr
    directory = small.parent / "run"
    assert (directory / "snapshot_000.hdf5").exists()
    arguments = [small, "--overwrite", "--set", "seed=2", "--set", "output.report=false"]
    done = launch(2, "tests/end_to_end/failing.py", "output", 1, "raise", *arguments, timeout=400)
    assert done.returncode != 0
    assert not (directory / "snapshot_000.hdf5").exists()
    assert not (directory / "run.json").exists()


def test_more_threads_than_cores_are_warned_of(small):
    done = launch(2, "run_sim.py", small, "--dry-run", "--set", f"threads={os.cpu_count()}")
    assert done.returncode == 0, done.stderr
    assert "they will be in each other's way" in done.stdout
