"""Benchmarks write their rows, and other codes find our forces."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from benchmarks.rows import read_rows
from benchmarks.theory import corrected, tree_level_S3
from coca.initial_conditions.gaussian_modes import linear_modes, white_noise_modes
from coca.parallel.domain import Domain
from coca.statistics.density_pdf import top_hat
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
    """PySCo's spectral gradient with ours, its stencil of five points with our order 4."""
    assert force_benchmark[solver]["correlation"] > 0.9999999
    assert force_benchmark[solver]["relative_rms"] < 1e-5


def test_absent_peers_are_skipped_with_the_reason(force_benchmark):
    assert "checkout" in force_benchmark["pmwd"]["skipped"]


def test_truth_keeps_its_rows(tmp_path):
    """Pairs of few particles; what is there already is not run again."""
    command = [sys.executable, "-m", "benchmarks", "truth", "--scale", "0.25", "--threads", "1"]
    command += ["--parts", "softening", "--resume", "--out", str(tmp_path)]
    outputs = [
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    rows = read_rows(tmp_path / "truth.json")
    assert len(rows) == 4 * 3 and {row["z"] for row in rows} == {1.0, 0.5, 0.0}
    assert "16 32 fiducial 20" in outputs[0] and "16 32 fiducial 20" not in outputs[1]
    assert outputs[0].count("| 1/40 |") and outputs[0].partition("truth:")[2] in outputs[1]


@pytest.mark.parametrize("n", [-2.0, -1.0])
def test_tree_level_of_spheres(n):
    """34/7 + dln sigma^2 / dln R (Bernardeau 1994) of P ~ k^n; the mean of four realisations, whose
    scatter is a tenth."""
    domain = Domain(32.0, 32)
    fields = [
        linear_modes(
            domain,
            white_noise_modes(domain, seed, fixed_amplitude=True),
            lambda k: np.where(k > 0, np.maximum(k, 1e-9), 1.0) ** n,
        )
        for seed in range(4)
    ]
    slope = np.log(variance(domain, fields[0], 3.1) / variance(domain, fields[0], 2.9))
    found = np.mean([tree_level_S3(domain, delta_k, 3.0) for delta_k in fields])
    assert found == pytest.approx(34 / 7 + slope / np.log(3.1 / 2.9), rel=0.06)


def variance(domain, delta_k, radius):
    """Variance of the density in spheres."""
    i = np.fft.fftfreq(domain.n_side, 1 / domain.n_side) ** 2
    last = np.arange(domain.n_side // 2 + 1)
    k = domain.kf * np.sqrt(i[:, None, None] + i[None, :, None] + last**2)
    return np.sum(np.where(last > 0, 2, 1) * np.abs(delta_k * top_hat(k * radius)) ** 2)


def test_few_particles_of_a_halo_weigh_less():
    assert corrected(np.array([1.0, 32.0])) == pytest.approx([0.0, 32 * (1 - 1 / 8)])


def test_light_cone_benchmark(tmp_path):
    """A small one: particles are counted, and more snapshots are nearer to the cone."""
    pytest.importorskip("healpy")
    pytest.importorskip("camb")
    command = [
        sys.executable, "-m", "benchmarks", "light_cone", "--particles", "32", "--box-size", "128",
        "--z-max", "0.15", "--n-side", "512", "--seeds", "1", "--snapshots", "2,4", "--threads",
        "1", "--out", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "C_l / theory" in done.stdout
    rows = read_rows(tmp_path / "light_cone.json")
    (counts,) = (row for row in rows if row["part"] == "counts")
    np.testing.assert_allclose(counts["whole"][4:], 1.0, atol=0.1)
    few, more = (row for row in rows if row["part"] == "snapshots")
    assert few["moved"] > more["moved"] > 0.0 and few["r_missing"][-1] > more["r_missing"][-1]
