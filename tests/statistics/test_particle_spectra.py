"""Spectra of snapshots against closed forms."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import jv, legendre

from coca.configuration.loading import make_config
from coca.errors import FileError
from coca.files.snapshot_reader import read_particles
from coca.files.snapshot_writer import write_snapshot
from coca.initial_conditions.linear_fields import from_seed
from coca.parallel.domain import Grid
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.fields import momentum_modes
from coca.statistics.particle_spectra import (
    displacement,
    displacement_power,
    momentum_power,
    multipoles,
    power,
    redshift_distortion,
)
from tests.statistics.made import HEADER, L, lattice, made, wave


def test_momentum_of_a_plane_wave():
    """x = q + A sin kq, u = U sin kq: |p_k| = U/2 |J0(kA) - J2(kA)|."""
    domain, A, U = Grid(L, 32), 5.0, 100.0
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
    s = displacement_power(Grid(L, 32), particles)
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
    domain = Grid(L, 16)  # four particles a cell: with one, CIC sees only its edges
    particles = made(q + shift, shift * (f / redshift_distortion(HEADER)))
    m = multipoles(domain, particles)
    P = 2 * (domain.kf * A / 2) ** 2 * L**3
    along, across = (1 + f) ** 2 / 3, 2 / 3
    wanted = [along + across, 5 * (along - across / 2), 9 * (along + across * 3 / 8)]
    found = [pole[0] * m.modes[0] / P for pole in (m.P0, m.P2, m.P4)]
    # float32 positions of waves of 0.02 Mpc/h
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


@pytest.mark.parametrize("statistic", [power, multipoles, momentum_power])
def test_odd_lattices_are_as_even_ones(statistic):
    """The power of a wave of 33^3 particles is that of 32^3."""
    found = []
    for n in (32, 33):
        q, shift = wave(n, 0.5)
        s = statistic(Grid(L, 2 * n), made(q + shift, 100 * shift))
        found.append([s[2][0] * s.modes[0], s[2][1:8].sum() / s[2][0]])
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-3)
    assert max(found[0][1], found[1][1]) < 1e-2  # nothing in other shells but the wave's harmonics


MOVED = np.float32(L / 3)  # whole cells of a mesh that three divides


@pytest.fixture(scope="module")
def moved(domain, conditions):
    """Clumped particles with velocities, and the same moved by a third of the box."""
    x, u = domain.add_lattice(2 * conditions.psi1), 300 * conditions.psi1
    return made(x, u), made(x + MOVED, u)


@pytest.mark.parametrize("statistic", [power, momentum_power, displacement_power, multipoles])
def test_no_statistic_knows_where_the_box_begins(moved, statistic):
    first, second = (statistic(Grid(L, 48), particles) for particles in moved)
    for name in first._fields:
        a, b = getattr(first, name), getattr(second, name)
        # float32 positions, 4e-6 Mpc/h in cells of 1.3
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(a).max())


def test_counts_of_modes_are_the_lattices():
    """By integers alone: 6 + 12 + 8 in the first shell."""
    grid = Grid(L, 16)
    i = np.indices((17, 17, 17)) - 8
    shell = np.array([math.isqrt(int(n)) for n in (i**2).sum(axis=0).ravel()])
    wanted = np.bincount(shell)[1:8]
    assert wanted[0] == 26
    particles = made(lattice(16))
    np.testing.assert_array_equal(power(grid, particles).modes, wanted)
    np.testing.assert_array_equal(multipoles(grid, particles).modes, wanted)


@pytest.mark.parametrize("cell", [1.0, 2.0])
@pytest.mark.parametrize("count", [400, 20000])
def test_multipoles_are_those_of_a_direct_sum(cell, count):
    """Points as sparse as haloes, and more: |sum of exp(-i k s)|^2 of each mode, k about 0.4."""
    rng = np.random.default_rng(count)
    centres = rng.uniform(0, L, (3, count // 10))
    x = np.repeat(centres, 10, axis=1) + rng.normal(0, 1.0, (3, count))
    particles = made(x, rng.normal(0, 200, (3, count)))
    m, shell = multipoles(Grid(L, round(L / cell)), particles), 4
    kf = 2 * np.pi / L
    assert kf * shell == pytest.approx(0.39, abs=0.01)
    i = (np.indices((11, 11, 11)) - 5).reshape(3, -1)
    i = i[:, np.sqrt((i**2).sum(axis=0)).astype(int) == shell]
    sums = np.zeros(3)
    for axis in range(3):
        s = particles.x.astype(float)
        s[axis] += redshift_distortion(HEADER) * particles.u[axis]
        P = np.abs(np.exp(-1j * kf * (i.T @ s)).mean(axis=1)) ** 2 * L**3
        mu = i[axis] / np.sqrt((i**2).sum(axis=0))
        sums += [(P * legendre(l)(mu)).mean() * (2 * l + 1) / 3 for l in (0, 2, 4)]
    found = [pole[shell - 1] for pole in (m.P0, m.P2, m.P4)]
    np.testing.assert_allclose(found, sums, rtol=0.01, atol=0.01 * sums[0])


@pytest.mark.parametrize(
    ("method", "steps", "dark"),
    [("cola", 4, {}), ("bullfrog", 4, {}), ("pm", 32, {"w0": -0.6, "wa": -0.5})],
)
def test_velocities_of_a_run_are_linear_theorys(config_values, tmp_path, method, steps, dark):
    """At z = 4, where no factor is 1, and where dark energy of another kind than Lambda matters:
    (1 + delta) u projected on i k / k^2 delta_linear of the largest waves is 100 E a f D."""
    values = config_values | {"box_size": 1000.0, "method": method, "force_evaluations": steps}
    values["output"] = {"redshifts": [0.5 if dark else 4.0]}
    values["cosmology"] |= dark
    done = run_plan(make_plan(make_config(values)))
    write_snapshot(tmp_path / "s.hdf5", done.domain, done.cosmology, done.snapshots[0], {})
    _, x, u, _ = read_particles(tmp_path / "s.hdf5")
    grid, linear = Grid(1000.0, 64), from_seed(done.domain, done.power, 3).delta_k
    momentum = np.array([momentum_modes(grid, x, part) for part in u])
    found = norm = 0.0
    for i, j, l in itertools.product(range(-1, 2), range(-1, 2), (1,)):
        k, delta = np.array([i, j, l]) * grid.kf, linear[i, j, l]
        growing = 1j * k / (k @ k) * delta
        found += (np.conj(growing) @ momentum[:, i, j, l]).real
        norm += (np.conj(growing) @ growing).real
    assert found / norm == pytest.approx(
        done.cosmology.velocity_unit(done.snapshots[0].D), rel=0.01
    )
