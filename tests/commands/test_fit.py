"""coca fit on small simulations."""

import numpy as np
import pytest

from coca.__main__ import main
from coca.integration.fitted_table import FittedSteps
from coca.statistics.spectra import particle_spectra
from tests import ROOT
from tests.problem import run


def test_emulator_lattice_is_checked_before_the_fit(capsys):
    arguments = ["configs/fit_emulator_steps.yaml", "--set", "spacing=[2.0, 3.0]"]
    assert main(["fit", *arguments]) == 2
    assert "box_size: found 192 for 64 particles" in capsys.readouterr().err


def test_a_table_that_is_there_is_kept(tmp_path, capsys):
    """And one that ships when counts go into it."""
    (tmp_path / "mine.safetensors").write_text("mine")
    for table, options in (
        (tmp_path / "mine.safetensors", []),
        (ROOT / "coca/tables/lpt.safetensors", ["--set", "counts=[4]"]),
    ):
        before = table.read_bytes()
        arguments = ["configs/fit.yaml", "--set", f"table={table}", *options]
        assert main(["fit", *arguments]) == 2
        assert f"table: found {table}, which " in capsys.readouterr().err
        assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["steps={absent}"], "steps: cannot use {absent}"),
        (["steps={tables}/lpt.safetensors"], "lpt.safetensors of frame lpt, truth nbody, wanted"),
        (
            ["steps={tables}/emulator_pm.safetensors"],
            "emulator, truth bullfrog, wanted frame l",
        ),
        (
            ["steps={tables}/lpt_pm.safetensors", "mesh=192"],
            "lpt_pm.safetensors of a mesh of 2 times the particles, wanted 3 times",
        ),
        (["steps={tables}/lpt_pm.safetensors", "counts=[7, 13]"], "counts: found [13], wanted num"),
    ],
)
def test_steps_that_cannot_be_read_out_are_refused_before_the_work(
    options, wanted, tmp_path, capsys
):
    names = {"absent": tmp_path / "absent.safetensors", "tables": ROOT / "coca/tables"}
    options = [f"table={tmp_path / 'table.safetensors'}", "force_evaluations=13", *options]
    arguments = [f"--set={option.format(**names)}" for option in options]
    assert main(["fit", "configs/fit.yaml", *arguments]) == 2
    assert wanted.format(**names) in capsys.readouterr().err


@pytest.mark.slow
def test_fit_command_writes_a_table_that_serves(config_values, tmp_path, capsys):
    path = tmp_path / "table.safetensors"
    small = [
        "particles=32", "mesh=64", "simulations=3", "growth_factors=[1.0]",
        "force_evaluations=2", "nodes=2", "iterations=20", "batch=2", "truth=bullfrog",
        "truth_steps=32", "times=16", "threads=1",
        "boundaries={2: [0.65]}", "substep_thresholds={}", "held_out=1",
        f"simulations_directory={tmp_path}", f"table={path}",
    ]  # fmt: skip
    arguments = ["configs/fit_steps.yaml", *(f"--set={value}" for value in small)]
    assert main(["fit", *arguments, "--only-simulations"]) == 0
    assert not path.exists() and len(list(tmp_path.glob("run-*.npy"))) == 4
    assert main(["fit", *arguments, "--as-they-come"]) == 0
    out = capsys.readouterr().out
    assert f"wrote {path}" in out and "held out:" in out
    assert len(list(tmp_path.glob("run-*.npy"))) == 4
    values = config_values | {"force_evaluations": 2, "reference": {"force_evaluations": 64}}
    fitted_run = run(values, table=str(path))
    first, last = fitted_run.run.steps
    assert first.D1 == last.D0 == pytest.approx(0.35 * first.D0 + 0.65 * last.D1)
    explicit = run(values, method="cola")

    def errors(simulation):
        domain, snapshots = simulation.domain, (simulation.snapshots, simulation.reference)
        at = particle_spectra(domain, 64, *(domain.add_lattice(s[0].disp) for s in snapshots)).at(1)
        return np.array([abs(at.ratio - 1), 1 - at.r])

    assert np.all(errors(fitted_run) < 0.8 * errors(explicit))

    before = FittedSteps.load(path)
    more = ["--set=counts=[1]", "--set=nodes=3", "--set=seed=320000"]
    assert main(["fit", *arguments, *more]) == 0
    after = FittedSteps.load(path)
    np.testing.assert_array_equal(after.by_count[2].matrices, before.by_count[2].matrices)
    assert [len(after.by_count[n].nodes) for n in after.counts] == [3, 2]
    capsys.readouterr()
    assert main(["fit", *arguments, *more, "--set=spacing=[1.0, 2.0]"]) == 2
    assert f"table: found {path} of frame lpt" in capsys.readouterr().err
