"""The driver, as a user runs it."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numba
import numpy as np
import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.parallel.machine import peak_memory
from coca.run.plan import make_plan
from coca.run.progress import Clock
from coca.run.simulation import simulate

ROOT = Path(__file__).parent.parent


@pytest.fixture
def config_file(config_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    return path


def test_quickstart_from_the_command_line(tmp_path):
    """The README's command, with the report and every file it promises."""
    command = [sys.executable, "run_sim.py", "configs/quickstart.yaml"]
    options = [
        "--set",
        f"output.directory={tmp_path}",
        "--set",
        "linear_power.source=eisenstein_hu",
    ]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.search(r"trust: estimated remaining error [\d.]+ Mpc/h", done.stdout)
    assert "time by stage" in done.stdout
    record = json.loads((tmp_path / "run.json").read_text())
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {*record["files"], "run.json"}
    assert {"snapshot_000.hdf5", "spectra_000.txt", "report.html", "report.png"} < names
    assert record["force_evaluations"] == len(record["residual_rms"]) == 4
    seconds = record["timings"]
    assert seconds["network"] > 0 and record["versions"]["torch"]
    integration = seconds["integration"] - record["compilation_by_stage"].get("integration", 0.0)
    assert seconds["reference run"] > 3 * integration  # 64 forces, the run's are apart
    assert record["method"] == "emulator frame, fitted steps"
    header, table = read_table(tmp_path / "spectra_000.txt")
    assert header[:3] == ["k [h/Mpc]", "modes [count]", "P [(Mpc/h)^3]"]
    columns = dict(zip(header, table.T, strict=True))
    k, r = columns["k [h/Mpc]"], columns["r_with_reference [1]"]
    assert r[k < 0.5].min() > 0.98
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")
    with h5py.File(tmp_path / "snapshot_000.hdf5") as file:
        assert json.loads(file["Coca"].attrs["seed"]) == 42
        assert json.loads(file["Coca"].attrs["residual_rms"]) == record["residual_rms"]


def read_table(path):
    header = path.read_text().splitlines()[1]
    return header.removeprefix("# columns: ").split(", "), np.loadtxt(path)


@pytest.mark.parametrize("name", ["cola.yaml", "bullfrog.yaml"])
def test_shipped_configs_run(name, tmp_path, capsys):
    overrides = [
        "particles=32", "mesh=64", "box_size=64.0", "force_evaluations=2",
        "linear_power.source=eisenstein_hu", f"output.directory={tmp_path}",
    ]  # fmt: skip
    arguments = [str(ROOT / "configs" / name)]
    for override in overrides:
        arguments += ["--set", override]
    assert run_sim.main(arguments) == 0
    assert (tmp_path / "snapshot_000.hdf5").exists()
    assert "wrote" in capsys.readouterr().out


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
    assert len(record["files"]) == 6


def test_dry_run_prints_the_plan_and_writes_nothing(config_file, tmp_path, capsys):
    assert run_sim.main([str(config_file), "--dry-run"]) == 0
    out = capsys.readouterr().out
    for word in ("32^3 particles", "memory", "cost", "forces       3"):
        assert word in out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["large.yaml", "ensemble.yaml"])
def test_configs_for_many_ranks_can_be_run(name, tmp_path, capsys):
    """Their plans; tests/mpi does such runs."""
    arguments = [str(ROOT / "configs" / name), "--dry-run"]
    for override in (f"output.directory={tmp_path}", "particles=64", "mesh=128", "box_size=128.0"):
        arguments += ["--set", override]
    assert run_sim.main(arguments) == 0
    assert "lpt frame, fitted steps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("particles=4096", "mesh: found 64"),
        ("threads=1000", "threads: found 1000, wanted at most"),
        ("linear_power.source=table", "wanted a file with source: table"),
        ("emulator.weights=absent.safetensors", None),
        ("output.directory=/proc/nowhere/run", "output.directory"),
        ("initial_conditions.file=absent.hdf5", "initial_conditions.file: cannot read"),
    ],
)
def test_bad_input_stops_before_any_work(config_file, tmp_path, capsys, override, message):
    arguments = [str(config_file), "--set", override]
    if override.startswith("emulator"):
        arguments += ["--set", "frame=emulator"]
        message = "emulator.weights: cannot use absent.safetensors"
    assert run_sim.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_a_run_too_large_for_the_machine_is_refused(config_file, capsys):
    sizes = ["particles=8192", "mesh=24576", "box_size=8192.0"]
    arguments = [str(config_file)]
    for size in sizes:
        arguments += ["--set", size]
    assert run_sim.main(arguments) == 2
    assert "GiB of memory, this machine has" in capsys.readouterr().err


def test_a_vanished_output_directory_is_one_error(config_file, tmp_path, capsys):
    (tmp_path / "run").write_text("a file, not a directory")
    assert run_sim.main([str(config_file)]) == 2
    assert "output.directory" in capsys.readouterr().err


def test_unfit_emulator_lattice_is_an_error(config_file, capsys):
    arguments = [str(config_file), "--set", "frame=emulator", "--set", "box_size=80.0"]
    assert run_sim.main(arguments) == 2
    assert "box_size: found 80 for 32 particles" in capsys.readouterr().err


def test_outside_the_training_is_warned_of_in_the_output(config_file, tmp_path, capsys):
    arguments = [str(config_file), "--set", "frame=emulator", "--set", "cosmology.Omega_m=0.6"]
    assert run_sim.main(arguments) == 0
    warning = "cosmology.Omega_m = 0.6 is outside the range"
    assert f"warning: {warning}" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["warnings"][0].startswith(warning)


def test_plan_shows_help_and_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        run_sim.main(["--help"])
    assert stop.value.code == 0
    assert "--dry-run" in capsys.readouterr().out


def test_runs_are_reproducible_and_independent(config_values):
    first = simulate(make_plan(make_config(config_values)))
    simulate(make_plan(make_config(config_values | {"seed": 99})))
    again = simulate(make_plan(make_config(config_values)))
    np.testing.assert_array_equal(first.snapshots[0].disp, again.snapshots[0].disp)


def test_coca_corrects_its_emulator(config_values):
    """More forces, closer to the reference, from the shipped emulator."""
    base = config_values | {"frame": "emulator", "reference": {"force_evaluations": 64}}
    errors = []
    for count in (0, 4, 16):
        s = simulate(make_plan(make_config(base | {"force_evaluations": count})))
        errors.append(np.std(s.snapshots[0].disp - s.reference[0].disp))
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.4 * errors[1]


@pytest.mark.parametrize(
    ("n", "options"),
    [
        (176, {"frame": "rest", "integrator": {"method": "bullfrog"}}),
        (176, {"frame": "lpt", "force": {"gradient": "spectral"}, "output.redshifts": [1, 0]}),
        (176, {"frame": "lpt", "force_evaluations": 2}),
        (128, {"frame": "emulator", "reference": {"force_evaluations": 8}}),
    ],
    ids=["bullfrog", "cola", "fitted", "coca"],
)
def test_memory_estimate_is_within_ten_per_cent(tmp_path, n, options):
    """Of the peak that the run itself measured, in a process of its own; arrays of more than
    32 MiB go back to the system when they are freed, smaller ones as it pleases."""
    values = {
        "particles": n, "mesh": 2 * n, "box_size": 2.0 * n, "threads": 1, "force_evaluations": 1,
        "linear_power.source": "eisenstein_hu", "output.directory": str(tmp_path),
        "reference": None, **options,
    }  # fmt: skip
    command = [sys.executable, "run_sim.py", "configs/quickstart.yaml", "--quiet"]
    for key, value in values.items():
        command += ["--set", f"{key}={json.dumps(value)}"]
    subprocess.run(command, cwd=ROOT, check=True)
    memory = json.loads((tmp_path / "run.json").read_text())["memory"]
    assert memory["estimated"] == pytest.approx(memory["peak"], rel=0.1)


REUSE = """
import resource
import numpy as np
from coca.parallel.machine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [np.ones(2**22, np.uint8) for _ in range(20)]
    if large:
        parts.append(np.ones(2**26, np.uint8))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

large = LARGE
keep_freed_memory(large)
print(faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is told")
@pytest.mark.parametrize("large", [False, True])
def test_freed_memory_is_used_again(large):
    """80 MiB, and an array of 64 MiB, in pages of 4 KiB, or in huge ones, are taken once."""
    command = [sys.executable, "-c", REUSE.replace("LARGE", str(large))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    first, second = map(int, done.stdout.split())
    assert second < 0.1 * first


def test_peak_memory_is_this_process_alone():
    """Not that of a large process, such as a notebook, that started it."""
    ballast = bytearray(os.urandom(1)) * 2**30
    command = [
        sys.executable,
        "-c",
        "from coca.parallel.machine import peak_memory; print(peak_memory())",
    ]
    child = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert 2**24 < int(child.stdout) < len(ballast) <= peak_memory()


def test_clock_charges_the_inner_stage():
    clock = Clock()
    with clock("outer"), clock("inner"):
        pass
    assert set(clock.seconds) == {"outer", "inner"}
    assert "total" in clock.table()


def test_clock_tells_compilation_apart():
    clock = Clock()
    with clock("stage"):
        numba.njit(lambda x: x + 1)(1)
    assert 0.0 < clock.compiled["stage"] == pytest.approx(clock.compilation)
    assert clock.compilation < clock.seconds["stage"]
    assert Clock().compilation == 0.0


def test_accuracy_benchmark_writes_its_rows(tmp_path):
    out = tmp_path / "accuracy.json"
    command = [
        sys.executable, "-m", "benchmarks", "accuracy", "--seeds", "11",
        "--force-evaluations", "2,4", "--methods", "bullfrog,coca",
        "--omega-m", "0.3175", "--particles", "32",
        "--out", str(tmp_path),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = json.loads(out.read_text())
    assert len(rows) == 2 * 2 * 4
    keys = {
        "method", "force_evaluations", "seed", "Omega_m", "rms", "velocity_error", "k",
        "p_ratio", "r", "seconds", "force_seconds", "network_seconds",
    }  # fmt: skip
    assert all(keys <= set(row) for row in rows)
    r = {(row["method"], row["force_evaluations"]): row["r"] for row in rows if row["k"] == 1.0}
    assert r["bullfrog", 4] > r["bullfrog", 2] and r["coca", 4] > r["coca", 2]
    assert r["coca", 2] > r["bullfrog", 2]
    assert os.path.getsize(tmp_path / "accuracy.png") > 10_000
