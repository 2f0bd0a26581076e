"""Results are never replaced unasked, and nothing of an older run stays beside a new one."""

import json
import shutil
from pathlib import Path

import pytest

import run_sim
from coca.configuration.loading import make_config
from coca.run.earlier import differences, finished, look_into, remove_earlier
from tests.damage import everything_in
from tests.resuming import run, written


@pytest.fixture
def small(config_values, tmp_path):
    """Values of a run of a second, and its file."""
    sizes = {"box_size": 32.0, "particles": 16, "mesh": 32, "method": "cola"}
    values = config_values | sizes | {"force_evaluations": 1}
    return values, written(values, tmp_path / "config.yaml")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """Where the run of the next fixture is when it has been made."""
    return tmp_path_factory.mktemp("once") / "run"


@pytest.fixture
def done(small, once, tmp_path):
    """The directory of one with three outputs, statistics and a report that has finished."""
    output = ["output.redshifts=[2,1,0]", "output.statistics=[power,pdf]"]
    output += [f"output.directory={once}"]
    if not once.exists():
        assert run(small[1], *(word for line in output for word in ("--set", line))) == 0
    return Path(shutil.copytree(once, tmp_path / "run"))


def refusal(capsys, path, *arguments):
    """What a run is refused with."""
    assert run(path, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


def test_results_are_not_replaced_unasked(small, done, capsys):
    """Another run, the same, and with --resume one of another configuration."""
    stamps = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
    another = "output.directory: found a run of another configuration ("
    assert another + "output.redshifts: " in refusal(capsys, small[1])
    same = ["--set", "output.redshifts=[2,1,0]", "--set", "output.statistics=[power,pdf]"]
    assert "this same run, finished" in refusal(capsys, small[1], *same)
    error = refusal(capsys, small[1], *same, "--set", "seed=8", "--resume")
    assert another + "seed: 3 there, 8 here)" in error and "wanted the same with --res" in error
    assert run_sim.main([str(small[1]), *same, "--resume"]) == 0
    assert "finished before and complete" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == stamps


def test_nothing_of_an_older_run_stays_beside_a_new_one(small, done):
    """But what is not coca's; the checkpoint of the new one is alone."""
    (done / "notes.txt").write_text("mine")
    (done / "report" / "mine.png").write_text("mine")
    assert run(small[1], "--overwrite", "--set", "output.report=false") == 0
    wanted = ["mine.png", "notes.txt", "report", "run.json", "snapshot_000.hdf5"]
    assert everything_in(done) == [*wanted, "spectra_000.csv", "spectra_000.txt"]


def test_an_older_record_does_not_stand_beside_a_new_checkpoint(small, done, monkeypatch):
    def stop(*arguments, **options):
        raise RuntimeError("stopped")

    monkeypatch.setattr("coca.run.simulation.evolve", stop)
    with pytest.raises(RuntimeError, match="stopped"):
        run(small[1], "--overwrite")
    assert everything_in(done) == []


def test_a_dry_run_says_what_is_there(small, done, capsys):
    assert run_sim.main([str(small[1]), "--dry-run"]) == 0
    assert "warning      output.directory: found a run of another" in capsys.readouterr().out
    assert run_sim.main([str(small[1]), "--dry-run", "--overwrite"]) == 0
    assert "warning      output.directory" not in capsys.readouterr().out


def test_files_of_others_are_never_replaced(small, tmp_path, capsys):
    """Names as of a run, where no record says that they are."""
    (tmp_path / "run").mkdir()
    mine = tmp_path / "run" / "snapshot_000.hdf5"
    mine.write_text("of another code")
    for arguments in ([], ["--overwrite"], ["--resume"]):
        error = refusal(capsys, small[1], *arguments)
        assert "found snapshot_000.hdf5" in error and "no run.json" in error
    remove_earlier(mine.parent)
    assert mine.read_text() == "of another code"


def test_what_a_run_starts_from_is_not_removed_for_it(small, done, capsys):
    start = f"initial_conditions={{snapshot: {done}/snapshot_000.hdf5}}"
    error = refusal(capsys, small[1], "--overwrite", "--set", start)
    assert "initial_conditions: found" in error and "--overwrite would remove" in error
    assert (done / "snapshot_000.hdf5").exists()


def test_a_record_cannot_have_files_elsewhere_removed(done, tmp_path):
    outside = tmp_path / "precious.txt"
    outside.write_text("mine")
    record = json.loads((done / "run.json").read_text())
    record["files"] += ["../precious.txt", str(outside), 3]
    (done / "run.json").write_text(json.dumps(record))
    remove_earlier(done)
    assert outside.exists() and everything_in(done) == []


def test_a_damaged_record_is_told(small, done, capsys):
    (done / "run.json").write_text("{")
    assert "whose record is damaged" in refusal(capsys, small[1])
    assert run(small[1], "--overwrite", "--set", "output.report=false") == 0
    small[0]["output"] |= {"report": False}
    assert finished(make_config(small[0]))


def test_differences_name_keys(small):
    config = make_config(small[0])
    there = config.model_dump(mode="json")
    assert differences(there | {"threads": 7}, config) == []
    changed = there | {"cosmology": there["cosmology"] | {"h": 0.7}, "seed": 4}
    assert differences(changed, config) == [
        "cosmology.h: 0.7 there, 0.6711 here", "seed: 4 there, 3 here"
    ]  # fmt: skip
    assert differences({"seed": 3}, config) == ["its configuration is of another version"]


def test_nothing_holds_nothing(tmp_path):
    there = look_into(tmp_path / "absent")
    assert there.empty and not there.known


def test_options_exclude_one_another(small):
    with pytest.raises(SystemExit):
        run(small[1], "--resume", "--overwrite")
