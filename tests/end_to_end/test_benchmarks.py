"""Benchmarks write their rows, and other codes find our forces."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from scipy.integrate import quad

from benchmarks.lensing_theory import ccl_power, kept_by_motion, line_of_sight, shell_power
from benchmarks.light_cone_limits import OwnPower, limber_of_shells
from benchmarks.problem import COSMOLOGY
from benchmarks.rows import read_rows, write_rows
from benchmarks.theory import corrected, tree_level_S3
from coca.cosmology.background import redshift, scale_factor
from coca.cosmology.distance import comoving_distance, scale_factor_at
from coca.cosmology.nonlinear_power import nonlinear_power
from coca.initial_conditions.gaussian_modes import linear_modes, white_noise_modes
from coca.initial_conditions.linear_fields import InitialConditions
from coca.light_cone.footprint import FULL
from coca.light_cone.geometry import Cone
from coca.light_cone.lensing import Convergence, convergence, efficiency
from coca.light_cone.shells import Shell
from coca.light_cone.sources import Sources
from coca.light_cone.theory import limber
from coca.parallel.domain import Domain
from coca.statistics.density_pdf import top_hat
from coca.statistics.spectra import Spectra
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


def test_rows_of_several_runs_are_joined(tmp_path):
    rows = [{"state": "z = 0", "particles": n, "ours": 0.5, "swift": 1.0} for n in (32, 64)]
    files = [tmp_path / f"{row['particles']}.json" for row in rows]
    for file, row in zip(files, rows, strict=True):
        write_rows(file, [row])
    command = [sys.executable, "-m", "benchmarks", "swift", "--rows", *files, "--out", tmp_path]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert read_rows(tmp_path / "swift.json") == rows
    assert "| 64^3 | z = 0 | 0.500 | 1.000 | 2.0 |" in done.stdout


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


def test_start_up_runs_the_quickstart_again_and_again(tmp_path):
    """Into one directory, whose results each of them replaces."""
    pytest.importorskip("camb")
    command = [sys.executable, "-m", "benchmarks", "startup", "--rounds", "1", "--cold-rounds", "0"]
    subprocess.run([*command, "--out", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    rows = read_rows(tmp_path / "startup.json")
    assert [row["command"] for row in rows][0::2] == ["coca run --help", "quickstart"]


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
        "1", "--cones", "2", "--out", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert "C_l / theory" in done.stdout
    rows = read_rows(tmp_path / "light_cone.json")
    (counts,) = (row for row in rows if row["part"] == "counts")
    np.testing.assert_allclose(counts["whole"][4:], 1.0, atol=0.1)
    few, more = (row for row in rows if row["part"] == "snapshots")
    (shell,) = (row for row in rows if row["part"] == "shell")
    # of one shell and its snapshot, which is 14 Mpc/h away at most
    np.testing.assert_allclose(shell["cut"][:3], 1.0, atol=0.02)
    (linear,) = (row for row in rows if row["part"] == "linear")
    assert linear["over_modes"][0] == pytest.approx(1.0, abs=0.1)  # of 32^3 particles
    (limits,) = (row for row in rows if row["part"] == "limits")
    # of the run's own P(k, z): where lattice planes of so few particles are not seen
    np.testing.assert_allclose(limits["projection"][0], 1.0, atol=0.1)
    for glass in (row for row in rows if row["part"] == "glass"):  # where it is installed
        np.testing.assert_allclose(glass["ratio"], 1.0, atol=0.02)  # planes of 27 Mpc/h
        assert max(glass["r_missing"]) < 1e-4
    none, plain = (row for row in rows if row["part"] == "cost")
    assert none["painted"] == 0 < plain["painted"] and 0.0 < plain["cone"] < plain["all"]
    assert few["moved"] > more["moved"] > 0.0 and few["r_missing"][-1] > more["r_missing"][-1]


def test_a_plane_wave_along_lines_of_sight():
    """Its convergence by quadrature, in the twelve directions of the coarsest map."""
    healpy = pytest.importorskip("healpy")
    L, n, A = 200.0, 16, 0.1
    delta_k = np.zeros((n, n, n // 2 + 1), np.complex64)
    delta_k[2, 0, 0] = delta_k[-2, 0, 0] = A / 2
    observer = np.array([30.0, 80.0, 150.0])
    cone = Cone(COSMOLOGY, observer, np.array([0.0, 0.2]), 1, False)
    conditions = InitialConditions(delta_k, np.zeros((3, 0)), np.zeros((3, 0)))
    sources = Sources.at(0.2)
    found = line_of_sight(conditions, cone, sources, L, 1)

    def integrand(chi, cosine):
        D = COSMOLOGY.D1(scale_factor_at(COSMOLOGY, chi))
        wave = A * np.cos(4 * np.pi / L * (observer[0] + chi * cosine))
        return efficiency(COSMOLOGY, np.array([chi]), sources)[0] * D * wave

    wanted = [
        quad(integrand, 0.0, cone.chi[-1], args=(cosine,), limit=200)[0]
        for cosine in healpy.pix2vec(1, np.arange(12))[0]
    ]
    # cubic splines through 16 points a wave are good to 1e-3
    np.testing.assert_allclose(found, wanted, atol=2e-3 * np.abs(wanted).max())


def test_a_shell_of_noise_and_of_long_waves():
    """Particles thrown at random have one over their number in a steradian; in a thick shell waves
    along the line of sight add nothing, and P is Limber's."""
    k, l = np.geomspace(1e-3, 10.0, 400), np.array([100.0, 300.0])
    chi, density = (500.0, 600.0), 0.01
    noise = Spectra(k, k, np.full(400, 1 / density), k, k)
    steradian = density * (600.0**3 - 500.0**3) / 3
    np.testing.assert_allclose(shell_power(chi, l, noise), 1 / steradian, rtol=1e-3)
    steep = Spectra(k, k, 50.0 / k, k, k)
    r = np.linspace(*chi, 2001)
    weight = r**2 / (600.0**3 - 500.0**3) * 3
    wanted = [np.trapezoid(weight**2 / r**2 * 50.0 * r / (each + 0.5), r) for each in l]
    found = shell_power(chi, l, steep)
    assert np.all(found < wanted)  # waves along it are shorter, and weaker
    # less by about 1/2 over k times its thickness, 18 and 55
    np.testing.assert_allclose(found, wanted, rtol=0.04)
    assert found[1] > 0.988 * wanted[1]
    thin = shell_power((548.0, 552.0), l, steep)
    assert np.all(thin < 0.9 * 50.0 * 550.0 / (l + 0.5) / 550.0**2 / 4.0)


def test_shells_of_white_noise_and_of_theory():
    """What particles thrown at random add to C_l; thin shells have the continuous kernel's C_l."""
    pytest.importorskip("camb")
    z = np.linspace(0.0, 0.5, 41)
    chi = comoving_distance(COSMOLOGY, scale_factor(z))
    shells = [
        Shell(i, 40, (z[i], z[i + 1]), (chi[i], chi[i + 1]), COSMOLOGY, 500.0, 64**3, FULL,
              np.zeros(12, np.int32))
        for i in range(40)
    ]  # fmt: skip
    kappa = convergence(shells, Sources.at(0.5))
    l, noise = np.array([30.0, 300.0, 1000.0]), 500.0**3 / 64**3
    found = limber_of_shells(shells, kappa, l, lambda k, chi: np.full(len(k), noise))
    np.testing.assert_allclose(found, kappa.shot_noise, rtol=1e-3)
    theory = nonlinear_power(COSMOLOGY, 0.5)

    def power(k, chi):
        at = redshift(scale_factor_at(COSMOLOGY, np.array([chi])))
        return theory(k, np.broadcast_to(at, k.shape))

    np.testing.assert_allclose(
        limber_of_shells(shells, kappa, l, power), limber(kappa, l), rtol=3e-3
    )


def test_own_power_falls_to_noise_beyond_what_was_measured():
    k, P = np.array([0.1, 1.0]), np.array([[100.0, 10.0], [400.0, 40.0]])
    own = OwnPower(k, np.array([100.0, 300.0]), P, 7.0, 0.02)
    wanted = [0, 200, 200, 20, 7 + 13 * 2**-2.4]  # nothing beyond the box
    np.testing.assert_allclose(own(np.array([0.01, 0.05, 0.1, 1.0, 2.0]), 200.0), wanted)
    np.testing.assert_allclose(own(k, 1000.0), P[1])


def test_motion_takes_more_off_shorter_waves():
    """Nothing off those of a field that hardly moves."""
    pytest.importorskip("camb")
    l, lost = np.array([30.0, 100.0, 200.0]), []
    for sigma_8 in (0.1, 0.01):
        cosmology = replace(COSMOLOGY, sigma_8=sigma_8)
        found = Convergence(np.zeros(12), 0.0, (0.0, 0.5), Sources.at(0.5), cosmology, 500.0, FULL)
        lost.append(1.0 - kept_by_motion(found, l, 500.0))
    assert np.all(np.diff(lost[0]) > 0.0) and 0.005 < lost[0][1] < 0.02
    # as the amplitude squared, or less steeply: nearby, where waves are short, nothing was left
    assert np.all((lost[1] > 0.99e-2 * lost[0]) & (lost[1] < 1.3e-2 * lost[0]))


def test_theory_is_pyccls():
    """Limber over HMcode2020, by CAMB in both."""
    pytest.importorskip("pyccl")
    pytest.importorskip("camb")
    found = Convergence(np.zeros(12), 0.0, (0.0, 0.5), Sources.at(0.5), COSMOLOGY, 500.0, FULL)
    l = np.array([30.0, 100.0, 300.0, 1000.0])
    np.testing.assert_allclose(limber(found, l), ccl_power(found, l, "HMcode2020"), rtol=1e-3)
    assert ccl_power(found, l[-1:], "linear") < 0.2 * ccl_power(found, l[-1:], "halofit")
