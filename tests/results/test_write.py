"""What is written of a run, also where it cannot be."""

import json
import shutil

import h5py
import numpy as np
import pytest

import run_sim
from coca.configuration.loading import make_config
from coca.errors import FileError
from coca.files.snapshot_reader import read_particles
from coca.results.write import write_results
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import run_plan
from tests import slow
from tests.damage import everything_in, files_of_at_most, read_only


def test_several_redshifts_and_what_is_written(config_file, tmp_path):
    arguments = [str(config_file), "--quiet", "--set", "output.redshifts=[2.0, 0.5, 0.0]"]
    assert run_sim.main([*arguments, "--set", "output.report=false"]) == 0
    run = tmp_path / "run"
    for i, z in enumerate([2.0, 0.5, 0.0]):
        with h5py.File(run / f"snapshot_{i:03d}.hdf5") as file:
            assert file["Header"].attrs["Redshift"] == pytest.approx(z, abs=1e-6)
    assert not (run / "report.png").exists()
    record = json.loads((run / "run.json").read_text())
    assert record["config"]["seed"] == record["seed"] == 3
    assert len(record["files"]) == 9
    table = np.loadtxt(run / "spectra_001.txt")
    with (run / "spectra_001.csv").open() as file:
        assert file.readline().startswith("k [h/Mpc],modes [count],P [(Mpc/h)^3],")
        np.testing.assert_array_equal(np.loadtxt(file, delimiter=","), table)


def test_a_vanished_output_directory_is_one_error(config_file, tmp_path, capsys):
    (tmp_path / "run").write_text("a file, not a directory")
    assert run_sim.main([str(config_file)]) == 2
    assert "output.directory" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has nothing left to do but to write."""
    values = {
        "cosmology": {"Omega_m": 0.3, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "sigma_8": 0.8},
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 1, "method": "fitted", "threads": 1,
        "force_evaluations": 1, "output": {"directory": str(tmp_path_factory.mktemp("run") / "a")},
    }  # fmt: skip
    plan = make_plan(make_config(values))
    return plan, run_plan(plan)


def write_all(finished):
    plan, simulation = finished
    write_results(plan, simulation, Progress(quiet=True))


@pytest.mark.parametrize("size", [0, *slow(700, 3000, 100_000, 390_000, 920_000)])
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
    monkeypatch.setattr(
        "coca.results.write._write_report", lambda *_: shutil.rmtree(directory) or ""
    )
    with pytest.raises(FileError, match=r"cannot write .*No such file or directory"):
        write_all(finished)
    assert not directory.exists()
    monkeypatch.undo()
    write_all(finished)
    assert "run.json" in everything_in(directory)
