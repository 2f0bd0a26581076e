"""What must not do harm: full and vanished disks, damaged and hostile files, senseless numbers.

Each ends in one clear error, without a damaged or left-over file.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

import run_sim
from coca.config import make_config
from coca.emulator.emulator import SHIPPED_WEIGHTS, Emulator
from coca.errors import FileError
from coca.fitted import FittedSteps, shipped
from coca.integrate import Snapshot
from coca.output import write_snapshot
from coca.plan import make_plan
from coca.progress import Progress
from coca.results import write_results
from coca.simulation import simulate
from coca.snapshot import read_particles
from coca.tensors import read_tensors, write_tensors

ROOT = Path(__file__).parent.parent
RNG = np.random.default_rng(4)

LOADERS = {
    "weights": (SHIPPED_WEIGHTS, Emulator.load),
    "table": (shipped("lpt"), FittedSteps.load),
    "table of the emulator": (shipped("emulator"), FittedSteps.load),
}


@contextmanager
def files_of_at_most(size):
    """Writes fail beyond this many bytes of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(directory):
    """A directory in which nothing can be made, not even by root, who becomes another user."""
    user = os.geteuid()
    directory.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(0o755)


def flip(path, place):
    """Turn one bit of a file over."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << int(RNG.integers(8))]))


def everything_in(directory):
    """All files, those with names that begin with a dot too."""
    return sorted(path.name for path in directory.rglob("*"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has nothing left to do but to write."""
    values = {
        "cosmology": {"Omega_m": 0.3, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "sigma_8": 0.8},
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 1, "frame": "lpt", "threads": 1,
        "force_evaluations": 1, "output": {"directory": str(tmp_path_factory.mktemp("run") / "a")},
    }  # fmt: skip
    plan = make_plan(make_config(values))
    return plan, simulate(plan)


@pytest.fixture
def config_file(config_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    return path


@pytest.fixture
def snapshot(tmp_path, domain, cosmology, conditions):
    D = float(cosmology.D1(0.5))
    lpt = conditions.lpt_frame(cosmology)
    path = tmp_path / "snapshot_000.hdf5"
    write_snapshot(path, domain, cosmology, Snapshot(D, lpt.displacement(D), lpt.velocity(D)), {})
    return path


def write_all(finished):
    plan, simulation = finished
    write_results(plan, simulation, Progress(quiet=True))


@pytest.mark.parametrize("size", [0, 700, 3000, 100_000, 390_000, 920_000])
def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(finished, size):
    """The disk fills in the first snapshot, of 917 504 bytes of data, and thereafter: a failure in
    each part of a file, when it is extended and when it is closed."""
    directory = finished[0].config.output.directory
    shutil.rmtree(directory, ignore_errors=True)
    with files_of_at_most(size), pytest.raises(FileError, match=r"cannot write .*too large"):
        write_all(finished)
    assert everything_in(directory) == []
    write_all(finished)
    assert len(read_particles(directory / "snapshot_000.hdf5").ids) == 32**3


def test_a_full_disk_keeps_the_results_that_were_there(finished):
    """But for run.json: what stands beside it might be of two runs."""
    directory = finished[0].config.output.directory
    write_all(finished)

    def contents():
        return {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}

    before = contents()
    with files_of_at_most(1000), pytest.raises(FileError):
        write_all(finished)
    del before[directory / "run.json"]
    assert contents() == before


def test_a_full_disk_does_not_crash_the_process(tmp_path, config_file):
    """HDF5 crashes at the end of a process that could not close a file."""
    command = ["-c", f"ulimit -f 100; exec {sys.executable} run_sim.py {config_file} --quiet"]
    done = subprocess.run(["bash", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"error: output\.directory: cannot write .*\n", done.stderr)
    assert everything_in(tmp_path / "run") == []


def test_a_directory_that_has_become_read_only_is_one_error(finished):
    directory = finished[0].config.output.directory
    write_all(finished)
    before = everything_in(directory)
    with read_only(directory), pytest.raises(FileError, match=r"cannot write .*Permission denied"):
        write_all(finished)
    assert everything_in(directory) == before


def test_a_directory_that_vanishes_is_one_error(finished, monkeypatch):
    """Between the tables and the record; one that vanished before is made again."""
    directory = finished[0].config.output.directory
    monkeypatch.setattr("coca.results._write_report", lambda *_: shutil.rmtree(directory) or "")
    with pytest.raises(FileError, match=r"cannot write .*No such file or directory"):
        write_all(finished)
    assert not directory.exists()
    monkeypatch.undo()
    write_all(finished)
    assert "run.json" in everything_in(directory)


def test_directories_that_cannot_be_are_refused_before_any_work(config_file, tmp_path, capsys):
    (tmp_path / "closed").mkdir()
    for directory in ("x" * 300, "/proc/nowhere/run", "a\nb", "a\0b", str(config_file / "below")):
        command = [str(config_file), "--set", f"output.directory={yaml.safe_dump(directory)}"]
        assert run_sim.main(command) == 2
        assert re.fullmatch(r"error: .*output\.directory: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("kind", LOADERS)
def test_damaged_weights_and_tables_are_one_error(kind, tmp_path):
    original, load = LOADERS[kind]
    path, size = tmp_path / "damaged.safetensors", original.stat().st_size
    for place in [0, 3, 8, 20, *RNG.integers(0, 2000, 20), *RNG.integers(0, size, 10), size - 1]:
        shutil.copy(original, path)
        flip(path, int(place))
        with pytest.raises(FileError, match=r"cannot use .*damaged\.safetensors"):
            load(path)
    for length in (0, 7, 8, 100, size // 2, size - 1):
        path.write_bytes(original.read_bytes()[:length])
        with pytest.raises(FileError, match=r"cannot use .*damaged\.safetensors"):
            load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_what_is_shipped_has_a_checksum(kind, tmp_path):
    original, load = LOADERS[kind]
    assert b'"sha256":"' in original.read_bytes()[:4096]
    load(original)


def test_tensors_without_a_checksum_are_read(tmp_path):
    """Those of earlier versions and of other programs."""
    tensors = {"a": np.arange(3.0)}
    save_file(tensors, tmp_path / "plain.safetensors", {"b": "c"})
    metadata, found = read_tensors(tmp_path / "plain.safetensors", "numpy")
    assert metadata == {"b": "c"}
    np.testing.assert_array_equal(found["a"], tensors["a"])


def test_tensors_that_do_not_fit_the_disk_are_one_error(tmp_path):
    path = tmp_path / "a.safetensors"
    with files_of_at_most(5000), pytest.raises(FileError, match=r"cannot write .*a\.safetensors"):
        write_tensors(path, save_file, {"a": np.zeros(10_000)}, {})
    assert everything_in(tmp_path) == []


def test_damaged_snapshots_are_one_error(snapshot):
    """A bit anywhere: in the structure, in the numbers, or in what nobody reads."""
    data, wanted = snapshot.read_bytes(), read_particles(snapshot)
    places = [*range(0, 200, 3), *RNG.integers(0, 6000, 100), *RNG.integers(0, len(data), 100)]
    found = 0
    for place in places:
        snapshot.write_bytes(data)
        flip(snapshot, int(place))
        try:
            particles = read_particles(snapshot)
        except FileError as error:
            found += 1
            assert snapshot.name in str(error)
        else:
            assert particles.header == wanted.header
            for a, b in zip(particles[1:], wanted[1:], strict=True):
                np.testing.assert_array_equal(a, b)
    assert found > 150  # of 267; the rest is unused space between structures
    for length in (0, 8, 100, 5000, len(data) // 2, len(data) - 1):
        snapshot.write_bytes(data[:length])
        with pytest.raises(FileError, match=r"cannot read .*snapshot_000\.hdf5"):
            read_particles(snapshot)
