"""Snapshots as other codes read them."""

import warnings

import h5py
import numpy as np
import pytest

from coca.files.snapshot_writer import (
    particle_mass,
    peculiar_velocities,
    wrapped_positions,
    write_snapshot,
)
from coca.particles import Snapshot


@pytest.fixture(scope="module")
def written(tmp_path_factory, domain, cosmology, conditions):
    D = float(cosmology.D1(0.5))
    lpt = conditions.lpt_frame(cosmology)
    snapshot = Snapshot(D, lpt.displacement(D), lpt.velocity(D))
    path = tmp_path_factory.mktemp("snapshots") / "snapshot_000.hdf5"
    write_snapshot(path, domain, cosmology, snapshot, {"seed": 3})
    return path, snapshot


def check(domain, cosmology, snapshot, box, x, u, mass, Omega_m, h, z, rtol=1e-6):
    assert box == pytest.approx(domain.box_size, rel=rtol)
    # float32 kpc/h
    np.testing.assert_allclose(
        x, wrapped_positions(domain, domain.add_lattice(snapshot.disp)), rtol=rtol, atol=1e-4
    )
    np.testing.assert_allclose(
        u, peculiar_velocities(cosmology, snapshot.D, snapshot.vel), rtol=1e-5, atol=1e-2
    )
    density = cosmology.Omega_m * 2.77536627e11 * domain.box_size**3
    assert mass == pytest.approx(density, rel=1e-3)
    assert (Omega_m, h) == (cosmology.Omega_m, cosmology.h)
    assert z == pytest.approx(1.0, abs=1e-6)


def test_yt_reads_it(written, domain, cosmology):
    yt = pytest.importorskip("yt")
    path, snapshot = written
    yt.set_log_level("error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = yt.load(str(path))
        data = ds.all_data()
        order = np.argsort(data["PartType1", "ParticleIDs"].d)
        check(
            domain,
            cosmology,
            snapshot,
            float(ds.domain_width[0].to("Mpccm/h")),
            data["PartType1", "Coordinates"].to("Mpccm/h").d[order],
            data["PartType1", "particle_velocity"].to("km/s").d[order],
            float(data["PartType1", "Masses"].sum().to("Msun/h")),
            ds.omega_matter,
            ds.hubble_constant,
            ds.current_redshift,
        )


def test_pynbody_reads_it(written, domain, cosmology):
    pynbody = pytest.importorskip("pynbody")
    path, snapshot = written
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        s = pynbody.load(str(path))
        order = np.argsort(s.dm["iord"])
        context = s.conversion_context()
        check(
            domain,
            cosmology,
            snapshot,
            float(s.properties["boxsize"].in_units("Mpc a h^-1", **context)),
            np.asarray(s.dm["pos"].in_units("Mpc a h^-1", **context))[order],
            np.asarray(s.dm["vel"].in_units("km s^-1", **context))[order],
            float(s.dm["mass"].in_units("Msol h^-1", **context).sum(dtype="f8")),
            s.properties["omegaM0"],
            s.properties["h"],
            s.properties["z"],
        )


def test_particles_know_their_lattice_site(written, domain):
    path, snapshot = written
    with h5py.File(path) as file:
        ids, x = file["PartType1/ParticleIDs"][:], file["PartType1/Coordinates"][:] / 1e3
    n, L = domain.n_side, domain.box_size
    q = np.stack([ids // n**2, ids // n % n, ids % n], axis=1) * domain.cell
    disp = (x - q + L / 2) % L - L / 2
    np.testing.assert_allclose(disp, snapshot.disp.T, atol=2e-4)


def test_mass_is_the_critical_density(domain, cosmology):
    # H0^2 3 / (8 pi G) with G in (km/s)^2 Mpc / Msun
    rho = 3 * 100.0**2 / (8 * np.pi * 4.30091727e-9)
    expected = cosmology.Omega_m * rho * domain.cell**3
    assert particle_mass(cosmology, domain) == pytest.approx(expected, rel=1e-5)
