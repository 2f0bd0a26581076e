"""Ranks share a light cone's particles, and write one map."""

import h5py
import numpy as np
import pytest

from coca.configuration.sections import LightConeConfig
from coca.frames import lpt_frame
from coca.initial_conditions.linear_fields import from_seed
from coca.light_cone.cone_particles import particle_files
from coca.light_cone.geometry import build_cone
from coca.light_cone.light_cone import LightCone
from coca.light_cone.shells import read_shell, shell_path
from coca.particles import Snapshot

CONE = {"footprint": {"axis": [-1.0, 1.0, 0.5], "radius": 50.0}}
NEAR = {"z_max": 0.004, "observer": (14.0, 40.0, 40.0)}
"""12 Mpc/h about an observer among the first rank's particles."""


@pytest.mark.parametrize(
    "option", [{}, {"redshift_space": True}, CONE, {"replicas": "rotated"}, NEAR], ids=str
)
def test_the_map_is_that_of_one_rank(option, ranks, parted, alone, cosmology, power, shared_path):
    """To the last particle: displacements of one rank, which others have their parts of."""
    conditions = from_seed(alone, power, 3)
    frame, size = lpt_frame(cosmology, conditions.psi1, conditions.psi2), parted.own_particles
    own = slice(parted.first_particle, parted.first_particle + size)
    observer = (1.0, 95.0, 40.0)
    values = {"z_max": 0.03, "n_side": 8, "shells": 2, "observer": observer} | option
    options = LightConeConfig(**values)
    cone = build_cone(options, cosmology, alone.box_size)
    shared = LightCone(cone, parted, shared_path / "shared", particles=True)
    single = LightCone(cone, alone, shared_path / f"alone{ranks.rank}", particles=True)
    for D in cone.times():
        disp, vel = frame.displacement(D), frame.velocity(D)
        single.see(Snapshot(D, disp, vel))
        parts = (np.ascontiguousarray(array[:, own]) for array in (disp, vel))
        shared.see(Snapshot(D, *parts))
    for i in range(2):
        found, wanted = (read_shell(shell_path(c.directory, i)) for c in (shared, single))
        np.testing.assert_array_equal(found.counts, wanted.counts)
        found, wanted = (
            particles_of(c, i, size) for c, size in ((shared, ranks.size), (single, 1))
        )
        assert len(found) == len(wanted) > (20 if option is NEAR else 100)
        np.testing.assert_array_equal(found, wanted)
    if option is NEAR and ranks.size > 2:
        assert 0 in [number_in(path) for path in particle_files(shared.directory, 1, ranks.size)]


def number_in(path):
    """Particles in one rank's file."""
    with h5py.File(path) as file:
        return int(file["Header"].attrs["NumPart_ThisFile"][1])


def particles_of(light_cone, number, ranks):
    """Identifiers, places and redshifts of all in a shell, in an order that does not depend on
    ranks."""
    rows = []
    for path in particle_files(light_cone.directory, number, ranks):
        with h5py.File(path) as file:
            assert file["Header"].attrs["NumFilesPerSnapshot"] == ranks
            columns = [file["PartType1"][name][:] for name in ("ParticleIDs", "Redshift")]
            rows.append(np.column_stack([*columns, file["PartType1/Coordinates"][:]]))
    rows = np.concatenate(rows)
    return rows[np.lexsort(rows.T)]
