"""Spectra of snapshots against closed forms."""

import numpy as np
import pytest
from scipy.special import jv

from coca.errors import FileError
from coca.parallel.domain import Grid
from coca.statistics.particle_spectra import (
    displacement,
    displacement_power,
    momentum_power,
    multipoles,
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
