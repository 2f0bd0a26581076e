"""Statistics of snapshots against closed forms, direct sums and an independent code."""

import itertools
import json
import warnings

import h5py
import numpy as np
import pytest
from scipy.special import jv

from coca.__main__ import main
from coca.configuration.loading import make_config
from coca.configuration.run import PDFConfig
from coca.errors import ConfigError, FileError
from coca.files.snapshot_reader import Header, Particles
from coca.files.snapshot_writer import write_snapshot
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from coca.results.write import write_results
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import simulate
from coca.statistics import bispectrum, density_pdf
from coca.statistics.fields import density_modes
from coca.statistics.particle_spectra import (
    displacement,
    displacement_power,
    momentum_power,
    multipoles,
    redshift_distortion,
)

L = 64.0
HEADER = Header(L, 0.5, 0.3, 0.7, 0, 1e10)


def made(x, u=None, ids=None):
    x = np.mod(x, L).astype(np.float32)
    x[x >= L] = 0
    u = np.zeros_like(x) if u is None else u.astype(np.float32)
    ids = np.arange(x.shape[1], dtype=np.uint64) if ids is None else ids
    return Particles(HEADER._replace(particles=x.shape[1]), x, u, ids)


def lattice(n):
    return (np.indices((n, n, n)).reshape(3, -1)) * (L / n)


def wave(n, amplitude, axis=0):
    """Lattice, and amplitude sin(kf q) along an axis."""
    q = lattice(n)
    shift = np.zeros_like(q)
    shift[axis] = amplitude * np.sin(2 * np.pi / L * q[axis])
    return q, shift


def test_momentum_of_a_plane_wave():
    """x = q + A sin kq, u = U sin kq: |p_k| = U/2 |J0(kA) - J2(kA)|."""
    domain, A, U = Domain(L, 32), 5.0, 100.0
    q, shift = wave(64, A)
    s = momentum_power(domain, made(q + shift, shift * (U / A)))
    kA = domain.kf * A
    wanted = 2 * (U / 2 * (jv(0, kA) - jv(2, kA))) ** 2 * L**3
    # two particles a cell along the wave: aliasing of what the crowding holds near the mesh's k
    assert s.P_a[0] * s.modes[0] == pytest.approx(wanted, rel=5e-3)


@pytest.mark.parametrize("first", [0, 1])
def test_displacement_of_a_plane_wave(first):
    """Also with particles in disorder, identifiers from 1 and over the edge of the box."""
    q, shift = wave(16, 3.0)
    order = np.random.default_rng(1).permutation(16**3)
    particles = made((q + shift)[:, order], ids=(order + first).astype(np.uint64))
    np.testing.assert_allclose(displacement(particles).reshape(3, -1), shift, atol=2e-5)
    s = displacement_power(Domain(L, 32), particles)
    assert s.P_a[0] * s.modes[0] == pytest.approx(2 * 1.5**2 * L**3, rel=1e-5)


def test_displacement_needs_a_lattice():
    q = lattice(8)
    for ids in (np.full(512, 3), np.arange(512) + 7, np.random.default_rng(1).permutation(512)):
        with pytest.raises(FileError, match=r"displacement: .*wanted"):
            displacement(made(q, ids=ids.astype(np.uint64)))


def test_kaiser_limit_of_a_plane_wave():
    """A small wave along x: power (1 + f)^2 with the line of sight along it, and 1 across."""
    f, A = 0.8, 0.02
    q, shift = wave(64, A)
    domain = Domain(L, 16)  # four particles a cell: with one, CIC sees only its edges
    particles = made(q + shift, shift * (f / redshift_distortion(HEADER)))
    m = multipoles(domain, particles)
    P = 2 * (domain.kf * A / 2) ** 2 * L**3
    along, across = (1 + f) ** 2 / 3, 2 / 3
    wanted = [along + across, 5 * (along - across / 2), 9 * (along + across * 3 / 8)]
    found = [pole[0] * m.modes[0] / P for pole in (m.P0, m.P2, m.P4)]
    # float32 positions of waves of 0.02 Mpc/h
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_multipoles_agree_with_abacusutils(domain, conditions):
    """Along z, without velocities; the last shell reaches the Nyquist plane, see test_analysis."""
    from coca.kernels.statistics import binned_multipoles

    abacus = pytest.importorskip("abacusnbody.analysis.power_spectrum")
    one = Domain(L, 32)
    delta_k = density_modes(one, domain.add_lattice(conditions.psi1))
    edges = (np.arange(1, 17) - 1e-3) * one.kf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = abacus.calc_pk_from_deltak(
            delta_k, L, edges, np.array([0.0, 1.0]), poles=np.array([0, 2, 4]), nthread=1
        )
    modes, _, *powers = binned_multipoles(delta_k, one.kf, 2, 0)[:, 1:-1]
    poles = np.asarray(found["binned_poles"])
    for row, l, power in zip(poles, (0, 2, 4), powers, strict=True):
        ours = (2 * l + 1) * L**3 * power / modes
        np.testing.assert_allclose(ours[:-1], row[:-1], rtol=1e-4, atol=1e-4 * poles[0].max())


def test_bispectrum_is_the_direct_sum():
    """All ordered triangles of a tiny mesh, one by one."""
    m = 12
    domain = Domain(L, m)
    x = np.random.default_rng(2).uniform(0, L, (3, 500))
    delta = np.fft.fftn(np.fft.irfftn(density_modes(domain, made(x).x), (m, m, m)))
    w = np.sinc(np.fft.fftfreq(m)) ** 2
    delta /= w[:, None, None] * w[None, :, None] * w[None, None, :]
    numbers = np.rint(np.fft.fftfreq(m, 1 / m)).astype(int)
    shells = {1: [], 2: [], 3: []}
    for k in itertools.product(numbers, repeat=3):
        if (shell := int(np.sqrt(np.dot(k, k)))) in shells:
            shells[shell].append(k)

    def direct(a, b):
        """Number of triangles and mean of the product, one side in a and two in b."""
        other, products = set(shells[b]), []
        for p, q in itertools.product(shells[a], shells[b]):
            r = tuple(-i - j for i, j in zip(p, q, strict=True))
            if r in other:
                products.append(delta[p] * delta[q] * delta[r])
        return len(products), np.mean(products).real * L**6

    found = bispectrum.equilateral(domain, made(x))
    for i, shell in enumerate((2, 3)):
        triangles, B = direct(shell, shell)
        assert found.triangles[i] == triangles
        assert found.B[i] == pytest.approx(B, rel=1e-4)
    every = bispectrum.Shells(domain, density_modes(domain, made(x).x))
    _, _, triangles, B, _ = bispectrum._triangle(domain, every[1], every[3])
    assert (triangles, pytest.approx(B, rel=1e-4)) == direct(1, 3)


def test_pdf_of_random_particles():
    """Counts in spheres of Poisson particles: variance 1/N, third moment 1/N^2, so S3 = 1."""
    particles = made(np.random.default_rng(3).uniform(0, L, (3, 40000)))
    found = density_pdf.density_pdf(Domain(L, 64), particles, PDFConfig(radii=[5.0]))[0]
    N = 40000 / L**3 * 4 / 3 * np.pi * 5.0**3
    # a box holds 500 such spheres; the window's correction leaves a few per cent on small scales
    assert found.variance == pytest.approx(1 / N, rel=0.1)
    assert pytest.approx(1, abs=0.35) == found.S3
    total = np.sum(found.pdf * np.diff(np.log10(density_pdf.EDGES))) + found.outside
    assert total == pytest.approx(1)


def test_pdf_of_random_particles_smoothed_by_a_gaussian():
    """Variance 1 / (8 pi^(3/2) R^3 n), the integral of the squared window; S3 = 8 / 3^(3/2)."""
    particles = made(np.random.default_rng(3).uniform(0, L, (3, 40000)))
    options = PDFConfig(window="gaussian", radii=[3.0])
    found = density_pdf.density_pdf(Domain(L, 64), particles, options)[0]
    wanted = 1 / (8 * np.pi**1.5 * 3.0**3 * 40000 / L**3)
    # some hundred independent volumes
    assert found.variance == pytest.approx(wanted, rel=0.1)
    assert pytest.approx(8 / 3**1.5, abs=0.5) == found.S3


def test_statistics_of_a_run(config_values, tmp_path):
    """From the configuration, listed in the record; without snapshots there are none."""
    config_values["output"] |= {"statistics": ["power", "haloes"], "report": False}
    plan = make_plan(make_config(config_values))
    write_results(plan, simulate(plan), Progress(quiet=True))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {"snapshot_000_power.txt", "snapshot_000_haloes.hdf5"} <= set(record["files"])
    _, _, P = np.loadtxt(tmp_path / "run" / "snapshot_000_power.txt").T
    of_run = np.loadtxt(tmp_path / "run" / "spectra_000.txt")
    # positions of the snapshot are float32 kpc/h, wrapped
    np.testing.assert_allclose(P, of_run[:, 2], rtol=1e-4)
    config_values["output"]["snapshots"] = False
    with pytest.raises(ConfigError, match=r"output.statistics: wanted snapshots"):
        make_config(config_values)


def test_command_line(tmp_path, domain, cosmology, conditions, capsys):
    """Two snapshots: every file, r near one, one line for what is wrong."""
    lpt = conditions.lpt_frame(cosmology)
    paths = [tmp_path / f"{name}.hdf5" for name in ("late", "early")]
    for path, D in zip(paths, (0.8, 0.5), strict=True):
        snapshot = Snapshot(D, lpt.displacement(D), lpt.velocity(D))
        write_snapshot(path, domain, cosmology, snapshot, {})
    assert main(["analyse", *map(str, paths), "--out", str(tmp_path / "out"), "--mesh", "32"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    for name in ("power", "momentum", "displacement", "multipoles", "pdf"):
        assert {f"late_{name}.txt", f"late_{name}.png"} <= names
    assert {"late_haloes.hdf5", "early_bispectrum.png", "early_with_late.txt"} <= names
    k, _, _, _, _, r, _ = np.loadtxt(tmp_path / "out" / "early_with_late.txt").T
    assert np.all(r[k < 0.3] > 0.9)
    how = ["--statistics", "pdf,haloes", "--pdf-window", "gaussian", "--pdf-radii", "4,6"]
    assert (
        main(["analyse", str(paths[0]), "--out", str(tmp_path / "how"), *how, "--halo-particles"])
        == 0
    )
    assert "pdf_4Mpc/h" in (tmp_path / "how" / "late_pdf.txt").read_text()
    with h5py.File(tmp_path / "how" / "late_haloes.hdf5") as file:
        assert len(file["ParticleIDs"]) == file["Particles"][:].sum()
    for option, value, message in (
        ("--pdf-radii", "4,far", "--pdf-radii: found 4,far, wanted numbers and commas"),
        ("--pdf-radii", "4,1e4", "--pdf-radii: found 10000, wanted less than half the box"),
        ("--pdf-radii", "-1", "--pdf: radii"),
        ("--pdf-window", "box", "--pdf: window"),
    ):
        capsys.readouterr()
        assert main(["analyse", str(paths[0]), f"{option}={value}"]) == 2
        assert message in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["analyse", str(paths[0]), "--statistics", "power,colour"]) == 2
    assert "error: --statistics: found colour, wanted some of" in capsys.readouterr().err
