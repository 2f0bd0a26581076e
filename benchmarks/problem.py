"""The particles that everything is timed on: 2 Mpc/h apart, moved to where they are today."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from coca.configuration.loading import make_config
from coca.configuration.run import Config
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import linear_power
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.integration import reference
from coca.integration.kept_runs import KeptRuns
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from coca.run.plan import Plan, make_plan
from coca.run.simulation import run_plan

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
    D_start = float(COSMOLOGY.D1(0.05))
    run = reference.bullfrog_run(domain, COSMOLOGY, conditions, force, D_start, steps, outputs)
    return list(run)


def evolved_positions(domain: Domain, force: ParticleMesh) -> np.ndarray:
    """Positions (3, N) at z = 0 after eight steps, in the box."""
    snapshot = bullfrog_run(domain, conditions_of(domain, 1), force, 8)[-1]
    x = np.mod(domain.add_lattice(snapshot.disp), np.float32(domain.box_size))
    x[x >= domain.box_size] = 0
    return x


def fitted_run(domain: Domain, seed: int, references: Path) -> Snapshot:
    """Particles at z = 0 after four fitted steps, kept in a directory: N-body's haloes to a per
    cent, if less dense within, in a minute where N-body takes an hour."""
    values = {
        "cosmology": asdict(COSMOLOGY),
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": domain.box_size,
        "particles": domain.n_side,
        "mesh": 2 * domain.n_side,
        "seed": seed,
        "method": "fitted",
        "force_evaluations": 4,
        "output": {"directory": "."},
        "threads": domain.threads,
    }
    return kept_run(make_plan(make_config(values, Config)), [1.0], references)[0]


def kept_run(plan: Plan, outputs: list[float], references: Path) -> list[Snapshot]:
    """Particles of a run at the growth factors of its outputs, made where a directory has not got
    them."""
    identity = plan.config.model_dump(mode="json", exclude={"output", "threads"})
    particles = plan.config.particles**3
    return KeptRuns(references).get(identity, outputs, particles, lambda: run_plan(plan).snapshots)
