"""The README's command."""

import json
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests import ROOT

pytestmark = pytest.mark.slow


METHODS = {
    "fitted": "fitted steps in the frame of 2LPT",
    "coca": "COCA, fitted steps in the emulator's frame",
}


@pytest.mark.parametrize("method", list(METHODS))
def test_quickstart_from_the_command_line(tmp_path, method):
    """The README's command, with the report and every file it promises, beside converged PM."""
    command = [sys.executable, "run_sim.py", "configs/quickstart.yaml"]
    options = [
        "--set",
        f"output.directory={tmp_path}",
        "--set",
        "linear_power.source=eisenstein_hu",
        "--set",
        "reference.force_evaluations=64",
        "--set",
        f"method={method}",
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
    assert (seconds.get("network", 0.0) > 0) == (method == "coca")
    assert min(seconds["reference run"], seconds["integration"]) > 0.0
    assert record["method"] == METHODS[method]
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
