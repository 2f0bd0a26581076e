import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numba
import numpy as np
import pytest

from coca.domain import Domain
from coca.force import ParticleMesh

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def evolved(domain, conditions):
    """Positions after shell crossing in many places."""
    return domain.add_lattice(conditions.psi1)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_total_momentum_is_conserved(domain, evolved, factor):
    g, _ = ParticleMesh(domain, factor * domain.n)(evolved)
    total = g.sum(axis=1, dtype=np.float64)
    # float32 round-off of N forces that add up like a random walk
    assert np.abs(total).max() < 1e-6 * np.abs(g).sum(dtype=np.float64)


# On a mesh twice as fine as the lattice, the lattice's own harmonics lie at the Nyquist
# wavenumber of the mesh and add a force of a few per cent as long as the lattice is intact.
@pytest.mark.parametrize(("factor", "tolerance"), [(1, 0.01), (2, 0.08), (3, 0.01)])
def test_plane_wave_has_the_linear_force(domain, factor, tolerance):
    """A long wave of small amplitude: g = -D Psi1."""
    n, k = domain.n, domain.kf
    q = np.arange(n) * domain.cell
    disp = np.zeros((3, n, n, n), np.float32)
    disp[1] = 0.3 * np.sin(k * q)[None, :, None]
    g, _ = ParticleMesh(domain, factor * n)(domain.add_lattice(disp.reshape(3, -1)))
    g = g.reshape(3, n, n, n)
    amplitude = np.sum(g[1] * disp[1]) / np.sum(disp[1] ** 2)
    assert amplitude == pytest.approx(-1.0, abs=tolerance)
    assert np.abs(g[[0, 2]]).max() < 1e-3 * np.abs(g[1]).max()


def test_deconvolution_restores_the_amplitude(domain):
    """The CIC windows of assignment and interpolation lower the force by (k h)^2 / 6."""
    n, k = domain.n, 4 * domain.kf
    q = np.arange(n) * domain.cell
    disp = np.zeros((3, n, n, n), np.float32)
    disp[0] = 0.02 * np.sin(k * q)[:, None, None]
    x = domain.add_lattice(disp.reshape(3, -1))

    def amplitude(deconvolve):
        g = ParticleMesh(domain, n, deconvolve)(x)[0].reshape(disp.shape)
        return -np.sum(g[0] * disp[0]) / np.sum(disp[0] ** 2)

    window = np.sinc(k * domain.cell / (2 * np.pi)) ** 4
    assert amplitude(False) / amplitude(True) == pytest.approx(window, rel=1e-3)


def test_density_at_the_particles(domain):
    n = domain.n
    q = np.arange(n) * domain.cell
    disp = np.zeros((3, n, n, n), np.float32)
    disp[0] = 0.2 * np.sin(domain.kf * q)[:, None, None]
    x = domain.add_lattice(disp.reshape(3, -1))
    delta = ParticleMesh(domain, n)(x)[1].reshape(n, n, n)
    expected = -0.2 * domain.kf * np.cos(domain.kf * q)[:, None, None]
    moved = np.sin(domain.kf * q) ** 2 > 1e-6  # CIC takes one-sided differences where it is not
    expected = np.broadcast_to(expected, delta.shape)
    np.testing.assert_allclose(delta[moved], expected[moved], atol=2e-3)


def test_result_does_not_depend_on_threads(domain, evolved):
    g1 = ParticleMesh(domain, 64)(evolved)[0].copy()
    two = Domain(domain.box_size, domain.n, min(2, numba.config.NUMBA_NUM_THREADS))
    g2 = ParticleMesh(two, 64)(evolved)[0]
    numba.set_num_threads(domain.threads)
    np.testing.assert_allclose(g1, g2, atol=1e-5 * np.abs(g1).max())


def test_particles_that_are_not_finite_are_an_error(domain, evolved):
    x = evolved.copy()
    x[0, 5] = np.nan
    with pytest.raises(FloatingPointError, match="not finite"):
        ParticleMesh(domain, 32)(x)


def test_agrees_with_pysco(tmp_path):
    """PySCo's spectral solver on the same mesh, in a process of its own: it takes over names."""
    if find_spec("pysco") is None:
        pytest.skip("the extra 'peers' is not installed")
    out = tmp_path / "peers.json"
    command = ["benchmarks/peers.py", "--peers", "pysco", "--particles", "32", "--json", str(out)]
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    row = next(row for row in json.loads(out.read_text()) if row["code"] == "pysco")
    assert row["correlation"] > 0.999999
    assert row["relative_rms"] < 1e-4
