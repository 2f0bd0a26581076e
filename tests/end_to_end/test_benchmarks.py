"""Benchmarks write their rows, and other codes find our forces."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from benchmarks.rows import read_rows
from tests import ROOT

pytestmark = pytest.mark.slow


def test_accuracy_benchmark_writes_its_rows(tmp_path):
    out = tmp_path / "accuracy.json"
    command = [
        sys.executable, "-m", "benchmarks", "accuracy", "--seeds", "11",
        "--force-evaluations", "2,4", "--methods", "bullfrog,coca",
        "--omega-m", "0.3175", "--particles", "32",
        "--references", str(tmp_path / "references"),
        "--out", str(tmp_path),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = read_rows(out)
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


@pytest.fixture(scope="module")
def force_benchmark(tmp_path_factory):
    """Rows of the benchmark, in a process of its own: PySCo takes over names of modules."""
    if find_spec("pysco") is None:
        pytest.skip("the extra 'peers' is not installed")
    out = tmp_path_factory.mktemp("force")
    command = [sys.executable, "-m", "benchmarks", "force", "--particles", "32", "--rounds", "1"]
    subprocess.run([*command, "--out", str(out)], cwd=ROOT, check=True, capture_output=True)
    return {row["name"]: row for row in read_rows(out / "force.json")}


@pytest.mark.parametrize("solver", ["PySCo full_fft", "PySCo fft"])
def test_agrees_with_pysco(force_benchmark, solver):
    """Its spectral gradient with ours, its stencil of five points with our order 4."""
    assert force_benchmark[solver]["correlation"] > 0.9999999
    assert force_benchmark[solver]["relative_rms"] < 1e-5


def test_absent_peers_are_skipped_with_the_reason(force_benchmark):
    assert "checkout" in force_benchmark["pmwd"]["skipped"]
