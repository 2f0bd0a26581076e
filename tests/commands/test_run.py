"""coca run: its plans, its errors, and the configurations that ship."""

import pytest

import run_sim
from tests import ROOT, slow


@pytest.mark.parametrize("name", ["cola.yaml", *slow("bullfrog.yaml")])
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
    assert "fitted steps in the frame of 2LPT" in capsys.readouterr().out


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
        arguments += ["--set", "method=coca"]
        message = "emulator.weights: cannot use absent.safetensors"
    assert run_sim.main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_plan_shows_help_and_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        run_sim.main(["--help"])
    assert stop.value.code == 0
    assert "--dry-run" in capsys.readouterr().out


def test_command_line_wants_a_directory(tmp_path, capsys):
    path = tmp_path / "config.yaml"
    path.write_text(
        "cosmology: {Omega_m: 0.3, Omega_b: 0.05, h: 0.7, n_s: 0.96, sigma_8: 0.8}\n"
        "box_size: 64.0\nparticles: 32\nmesh: 64\nseed: 1\nforce_evaluations: 2\n"
    )
    assert run_sim.main([str(path)]) == 2
    assert "output.directory: missing, wanted a directory" in capsys.readouterr().err
