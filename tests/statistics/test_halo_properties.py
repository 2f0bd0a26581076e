"""Properties of haloes that were made to have them."""

import h5py
import numpy as np
import pytest

from coca.cosmology.background import RHO_CRIT
from coca.files.snapshot_reader import Header, Particles
from coca.statistics import halo_properties as properties
from coca.statistics.haloes import find_haloes, write_catalogue

L, RADIUS, N, A, OMEGA_M = 50.0, 1.5, 20000, 0.5, 0.3
MASS = 200 * OMEGA_M * RHO_CRIT * 4 / 3 * np.pi * RADIUS**3 / N
DISPERSION, TURN = 300.0, 80.0


def nfw(c, rng):
    """Distances of the profile within RADIUS."""
    x = np.geomspace(1e-4, 1, 4000) * c
    enclosed = np.log(1 + x) - x / (1 + x)
    return np.interp(rng.uniform(0, enclosed[-1], N), enclosed, x) * RADIUS / c


def halo(c=8.0, seed=1):
    """An NFW halo at the corner of the box that turns about z, and some of the field."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=(3, N))
    x = nfw(c, rng) * direction / np.linalg.norm(direction, axis=0)
    u = rng.normal(0, DISPERSION, (3, N)) + TURN * np.array([-x[1], x[0], 0 * x[0]])
    field = rng.uniform(5, L - 5, (3, 200))
    every = np.mod(np.concatenate([x, field], axis=1), L).astype(np.float32)
    every[every >= L] = 0
    u = np.concatenate([u, 0 * field], axis=1).astype(np.float32)
    header = Header(L, A, OMEGA_M, 0.7, N + 200, MASS)
    return Particles(header, every, u, np.arange(N + 200, dtype=np.uint64)), x


@pytest.fixture(scope="module")
def made():
    return halo()


@pytest.fixture(scope="module")
def found(made):
    particles, _ = made
    return properties.halo_properties(particles, find_haloes(particles, 0.2))


def test_the_sphere_of_200_times_the_mean_density(found):
    assert found.radius[0] == pytest.approx(RADIUS, rel=0.01)
    assert found.mass[0] == pytest.approx(N * MASS, rel=0.01)
    offset = found.peak[:, 0] - L * np.rint(found.peak[:, 0] / L)
    assert np.abs(offset).max() < 0.02 * RADIUS
    assert (found.peak >= 0).all() and (found.peak < L).all()


def test_dispersion_and_spin(made, found):
    """Solid rotation about z: J / M = TURN a <x^2 + y^2>."""
    _, x = made
    turning = TURN**2 * np.mean(x[0] ** 2 + x[1] ** 2) / 3
    assert found.dispersion[0] == pytest.approx(np.sqrt(DISPERSION**2 + turning), rel=0.01)
    moment = TURN * A * np.mean(x[0] ** 2 + x[1] ** 2)
    speed = np.sqrt(4.30091e-9 * N * MASS / (A * RADIUS))
    # random velocities add sqrt(2 N) r sigma / N at right angles and along
    assert found.spin[0] == pytest.approx(moment / (np.sqrt(2) * speed * A * RADIUS), rel=0.1)


@pytest.mark.parametrize("c", [4.0, 8.0, 15.0])
def test_concentration_is_the_profiles(c):
    r = np.sort(nfw(c, np.random.default_rng(3)))
    assert properties.concentration(r) == pytest.approx(c, rel=0.05)


def test_what_few_particles_do_not_tell():
    assert np.isnan(properties.concentration(np.linspace(0.1, 1, 99)))
    assert properties.concentration(np.linspace(0.1, 1, 999) ** (1 / 3)) == 2.163
    assert properties.within_radius(np.array([1.0, 2.0]), 1e-9) == 0
    assert properties.within_radius(np.array([0.1, 0.12, 9.0]), 1.0) == 2


def test_the_densest_point_is_not_the_centre_of_mass():
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 0.3, (3, 2000)), 3 + rng.normal(0, 1, (3, 1500))], axis=1)
    assert np.abs(properties.densest_point(x)).max() < 0.05 < np.abs(x.mean(axis=1)).min()


def test_they_are_in_the_catalogue(tmp_path, made, found):
    particles, _ = made
    some = find_haloes(particles, 0.2)
    write_catalogue(tmp_path / "h.hdf5", particles.header, some, more=found.columns())
    with h5py.File(tmp_path / "h.hdf5") as file:
        np.testing.assert_array_equal(file["Radius200m"], found.radius)
        assert file["Spin"].shape == file["Mass"].shape == (len(some.mass),)
        assert file["Peak"].attrs["Unit"] == "Mpc/h, comoving"
