"""The particles that everything is timed on: 2 Mpc/h apart, moved to where they are today."""

from __future__ import annotations

import numpy as np

from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.force import ParticleMesh
from coca.frames import rest_frame
from coca.initial import InitialConditions, from_seed
from coca.integrate import Snapshot, VelocityKick, initial_state, integrate
from coca.power import linear_power
from coca.schemes import bullfrog

COSMOLOGY = Cosmology(0.3175, 0.049, 0.6711, 0.9624, 0.834)
"""The Quijote fiducial cosmology."""
SPACING = 2.0


def conditions_of(domain: Domain, seed: int) -> InitialConditions:
    """Initial conditions in that cosmology."""
    return from_seed(domain, linear_power(COSMOLOGY, "eisenstein_hu"), seed)


def bullfrog_run(
    domain: Domain,
    conditions: InitialConditions,
    force: ParticleMesh,
    steps: int,
    outputs: tuple[float, ...] = (1.0,),
) -> list[Snapshot]:
    """Snapshots of a BullFrog run from z = 19 to the growth factors `outputs`."""
    D_start, rest = float(COSMOLOGY.D1(0.05)), rest_frame(domain.particles)
    state = initial_state(conditions.lpt_frame(COSMOLOGY), rest, D_start)
    plan = bullfrog(COSMOLOGY, D_start, outputs[-1], steps)
    return list(integrate(domain, rest, force, VelocityKick(), plan, state, outputs))


def evolved_positions(domain: Domain, force: ParticleMesh) -> np.ndarray:
    """Positions (3, N) at z = 0 after eight steps, in the box."""
    snapshot = bullfrog_run(domain, conditions_of(domain, 1), force, 8)[-1]
    x = np.mod(domain.add_lattice(snapshot.disp), np.float32(domain.box_size))
    x[x >= domain.box_size] = 0
    return x
