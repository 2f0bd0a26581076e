"""Particles of a light cone against the trajectories that they were on."""

import h5py
import numpy as np
import pytest

from coca.configuration.sections import LightConeConfig
from coca.cosmology.background import scale_factor
from coca.cosmology.distance import comoving_distance
from coca.frames import lpt_frame, rest_frame
from coca.light_cone.cone_particles import particle_files
from coca.light_cone.geometry import build_cone
from coca.light_cone.light_cone import LightCone
from coca.light_cone.shells import read_shell, shell_path
from coca.parallel.domain import Domain
from coca.particles import Snapshot

OBSERVER = np.array([3.0, 60.1, 33.3])


def cone_of(domain, cosmology, path, **options):
    values = {"z_max": 0.03, "n_side": 8, "shells": 3, "observer": tuple(OBSERVER)} | options
    cone = build_cone(LightConeConfig(**values), cosmology, domain.box_size)
    return LightCone(cone, domain, path, particles=True)


def see(light_cone, frame, times):
    for D in times:
        light_cone.see(Snapshot(D, frame.displacement(D), frame.velocity(D)))


def read(light_cone, number):
    (path,) = particle_files(light_cone.directory, number, 1)
    with h5py.File(path) as file:
        return dict(file["Header"].attrs), {k: v[:] for k, v in file["PartType1"].items()}


def test_a_lattice_at_rest(cosmology, tmp_path):
    """Places are sites of copies of the box, within the shell, each as often as the map says."""
    domain = Domain(64.0, 16)
    light_cone = cone_of(domain, cosmology, tmp_path)
    see(light_cone, rest_frame(domain.particles), light_cone.times)
    for i in range(3):
        shell = read_shell(shell_path(tmp_path, i))
        header, found = read(light_cone, i)
        assert len(found["ParticleIDs"]) == shell.counts.sum() == header["NumPart_ThisFile"][1]
        x = found["Coordinates"] / 1e3
        r = np.linalg.norm(x, axis=1)
        assert np.all((r > shell.chi[0] - 1e-3) & (r < shell.chi[1] + 1e-3))
        site = np.round((x + OBSERVER) / domain.cell).astype(int)
        np.testing.assert_allclose(site * domain.cell, x + OBSERVER, atol=1e-4)
        wanted = np.ravel_multi_index(tuple((site % 16).T), (16, 16, 16))
        np.testing.assert_array_equal(found["ParticleIDs"], wanted)
        assert len(np.unique(site, axis=0)) == len(site) and not np.any(found["Velocities"])
        assert header["MassTable"][1] == pytest.approx(shell.particle_mass / 1e10)


def test_moving_particles_are_on_their_trajectories_and_on_the_cone(
    cosmology, conditions, domain, tmp_path
):
    """At its own redshift each is where its frame has it, with its velocity, and where light comes
    from."""
    frame = lpt_frame(cosmology, conditions.psi1, conditions.psi2)
    light_cone = cone_of(domain, cosmology, tmp_path)
    see(light_cone, frame, light_cone.times)
    _, found = read(light_cone, 2)
    a = scale_factor(found["Redshift"].astype(np.float64))
    x = found["Coordinates"] / 1e3
    chi = comoving_distance(cosmology, a)
    # float32 of 1 + z is 1.2e-7, of 3000 Mpc/h
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), chi, atol=2e-3)
    for row in range(0, len(x), len(x) // 20):
        D, particle = float(cosmology.D1(a[row])), int(found["ParticleIDs"][row])
        q = domain.cell * np.array(np.unravel_index(particle, (domain.n_side,) * 3))
        off = x[row] + OBSERVER - q - frame.displacement(D)[:, particle]
        off -= domain.box_size * np.round(off / domain.box_size)
        np.testing.assert_allclose(off, 0.0, atol=2e-3)
        u = frame.velocity(D)[:, particle] * cosmology.velocity_unit(D)
        np.testing.assert_allclose(
            found["Velocities"][row] * np.sqrt(a[row]), u, rtol=2e-3, atol=1e-2
        )


def test_velocities_that_are_read_out_beside_the_ways_keep_their_size(
    cosmology, conditions, domain, tmp_path
):
    """As in haloes, where orbits are not resolved: speeds that positions know nothing of. They are
    those that particles have at both ends; cubics through them would turn them round half-way."""
    frame = lpt_frame(cosmology, conditions.psi1, conditions.psi2)
    orbital = 5.0 * np.random.default_rng(0).normal(size=(3, domain.particles)).astype(np.float32)
    found = {}
    for apart in (False, True):
        light_cone = cone_of(domain, cosmology, tmp_path / str(apart), shells=1)
        light_cone.velocities_apart = apart
        for D in light_cone.times:
            light_cone.see(Snapshot(D, frame.displacement(D), frame.velocity(D) + orbital))
        found[apart] = read(light_cone, 0)[1]
    a = scale_factor(found[True]["Redshift"].astype(np.float64))
    ids, rows = found[True]["ParticleIDs"].astype(int), np.arange(0, len(a), 50)
    for row in rows:
        D = float(cosmology.D1(a[row]))
        v = frame.velocity(D)[:, ids[row]] + orbital[:, ids[row]]
        wanted = v * cosmology.velocity_unit(D)
        u = found[True]["Velocities"][row] * np.sqrt(a[row])
        np.testing.assert_allclose(u, wanted, rtol=2e-3, atol=0.1)
    other = np.std(found[False]["Velocities"]) / np.std(found[True]["Velocities"])
    assert other < 0.8  # so it was


def test_a_run_that_was_killed_has_them_all(cosmology, conditions, domain, tmp_path):
    """What a checkpoint keeps in the middle of a shell."""
    frame = lpt_frame(cosmology, conditions.psi1, conditions.psi2)
    whole = cone_of(domain, cosmology, tmp_path / "whole", z_max=0.06, shells=1)
    assert len(whole.times) > 2
    see(whole, frame, whole.times)
    begun = cone_of(domain, cosmology, tmp_path / "killed", z_max=0.06, shells=1)
    see(begun, frame, begun.times[:2])
    assert len(begun.memory["light_cone/0/ids"]) > 1000
    again = cone_of(domain, cosmology, tmp_path / "killed", z_max=0.06, shells=1)
    again.restore(begun.memory)
    see(again, frame, again.times[2:])
    for name, wanted in read(whole, 0)[1].items():
        np.testing.assert_array_equal(read(again, 0)[1][name], wanted)


def test_an_octant_that_nothing_is_in(cosmology, tmp_path):
    """A file all the same."""
    domain = Domain(64.0, 4)
    light_cone = cone_of(
        domain, cosmology, tmp_path, z_max=0.001, shells=1, observer=(1.0, 1.0, 1.0),
        footprint="octant",
    )  # fmt: skip
    see(light_cone, rest_frame(domain.particles), light_cone.times)
    header, found = read(light_cone, 0)
    assert header["NumPart_Total"][1] == 0 and found["Coordinates"].shape == (0, 3)
