"""Friends-of-friends haloes against a direct search, and their mass function."""

import h5py
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from coca.files.snapshot_reader import Header, Particles
from coca.statistics import haloes

L = 50.0
HEADER = Header(L, 1.0, 0.3, 0.7, 0, 1e10)


def clumps(seed=1):
    """Particles crowded around points, some of them at the box's edges, and velocities."""
    rng = np.random.default_rng(seed)
    centres = np.column_stack([rng.uniform(0, L, (3, 30)), [[0.0], [0.0], [0.0]]])
    x = np.concatenate(
        [centres[:, i, None] + rng.normal(0, 0.5, (3, 20 + i)) for i in range(31)]
        + [rng.uniform(0, L, (3, 500))],
        axis=1,
    )
    x = np.mod(x, L).astype(np.float32)
    x[x >= L] = 0
    u = rng.normal(0, 100, x.shape).astype(np.float32)
    ids = np.arange(x.shape[1], dtype=np.uint64)
    return Particles(HEADER._replace(particles=x.shape[1]), x, u, ids)


@pytest.mark.parametrize("piece", [2**18, 400, 37])
def test_groups_are_those_of_all_pairs(monkeypatch, piece):
    """Distances of all pairs; slabs of any number of particles give the same groups."""
    monkeypatch.setattr(haloes, "PIECE", piece)
    x, length = clumps().x, 0.8
    offset = x[:, :, None].astype(np.float64) - x[:, None, :]
    offset -= L * np.rint(offset / L)
    near = np.sqrt((offset**2).sum(axis=0)) <= length
    _, wanted = connected_components(near, directed=False)
    found = haloes.friends(x, L, length)
    pairs = np.unique(np.array([found, wanted]), axis=1)
    assert pairs.shape[1] == found.max() + 1 == wanted.max() + 1


def test_haloes_have_the_means_of_their_particles():
    """The clump around the corner of the box: its mean, seen across the edges."""
    particles = clumps()
    found = haloes.find_haloes(particles, 0.25)
    assert np.all(np.diff(found.mass) <= 0) and found.particles.min() >= 20
    np.testing.assert_allclose(found.mass, 1e10 * found.particles)
    group = haloes.friends(particles.x, L, 0.25 * L / particles.x.shape[1] ** (1 / 3))
    sizes = np.bincount(group)
    largest = np.argmax(sizes)
    own = particles.x[:, group == largest].astype(np.float64)
    angle = np.exp(2j * np.pi * own / L)
    near = L * np.angle(angle.mean(axis=1)) / (2 * np.pi)  # of compact clumps nearly the mean
    offset = found.centre[:, 0] - near
    assert np.abs(offset - L * np.rint(offset / L)).max() < 0.05
    mean = particles.u[:, group == largest].mean(axis=1)
    np.testing.assert_allclose(found.velocity[:, 0], mean, rtol=1e-4)


def test_haloes_do_not_know_where_the_box_begins():
    """In the corner of the box, and moved by a third of it; no halo has another member."""
    particles = clumps()
    moved = np.mod(particles.x + np.float32(L / 3), np.float32(L))
    first, second = (haloes.find_haloes(particles._replace(x=x)) for x in (particles.x, moved))
    np.testing.assert_array_equal(first.particles, second.particles)
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_allclose(first.velocity, second.velocity, rtol=1e-5, atol=1e-4)
    offset = second.centre - first.centre - L / 3
    assert np.abs(offset - L * np.rint(offset / L)).max() < 1e-4
    corner = np.abs(first.centre - L * np.rint(first.centre / L)).max(axis=0).min()
    assert corner < 0.5  # the clump there is one halo


def test_catalogue_and_mass_function_count_every_halo(tmp_path):
    found = haloes.find_haloes(clumps())
    m = haloes.mass_function(HEADER, found)
    assert m.haloes.sum() == len(found.mass)
    density = m.dn_dlnM * np.log(10) / haloes.BINS_PER_DECADE
    np.testing.assert_allclose(density.sum() * L**3, len(found.mass))
    haloes.write_catalogue(tmp_path / "h.hdf5", HEADER, found)
    with h5py.File(tmp_path / "h.hdf5") as file:
        np.testing.assert_array_equal(file["Centre"][:], found.centre.T)
        assert file["Mass"].attrs["Unit"] == "Msun/h"
        assert "ParticleIDs" not in file


def test_catalogue_has_the_particles_of_each_halo(tmp_path):
    """The mean of their velocities is the halo's."""
    particles = clumps()
    shuffled = np.random.default_rng(2).permutation(len(particles.ids))
    particles = particles._replace(ids=shuffled.astype(np.uint64))
    found = haloes.find_haloes(particles)
    haloes.write_catalogue(tmp_path / "h.hdf5", HEADER, found, with_particles=True)
    row = np.argsort(shuffled)
    with h5py.File(tmp_path / "h.hdf5") as file:
        for i, (start, count) in enumerate(zip(file["Offset"][:], file["Particles"], strict=True)):
            own = row[file["ParticleIDs"][start : start + count]]
            np.testing.assert_allclose(
                particles.u[:, own].mean(axis=1), file["Velocity"][i], rtol=1e-3, atol=1e-3
            )
        assert len(file["ParticleIDs"]) == found.particles.sum()


def test_tinker_is_the_published_fit(cosmology, power):
    """f(sigma) of Tinker et al. 2008, table 2 at 200, with sigma(M) of our own linear power."""
    pytest.importorskip("colossus")
    M = np.array([1e12, 1e13, 1e14])
    k = np.geomspace(1e-4, 50, 4000)

    def sigma(mass):
        rho = cosmology.Omega_m * 2.77536627e11
        y = k * (3 * mass / (4 * np.pi * rho)) ** (1 / 3)
        w = 3 * (np.sin(y) - y * np.cos(y)) / y**3
        return np.sqrt(np.trapezoid(k**3 * power(k) * w**2 / (2 * np.pi**2), np.log(k)))

    for mass, found in zip(M, haloes.tinker08(cosmology, 0.0, M), strict=True):
        s = sigma(mass)
        slope = -np.log(sigma(1.01 * mass) / sigma(0.99 * mass)) / np.log(1.01 / 0.99)
        f = 0.186 * ((s / 2.57) ** -1.47 + 1) * np.exp(-1.19 / s**2)
        wanted = f * cosmology.Omega_m * 2.77536627e11 / mass * slope
        # both are Eisenstein & Hu 1998, with and without oscillations' finer points
        assert found == pytest.approx(wanted, rel=0.03)
