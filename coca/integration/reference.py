"""Converged runs to compare with, to train on and to fit to, from 2LPT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from coca.configuration.sections import SPACINGS_A_SOFTENING
from coca.cosmology.background import Cosmology
from coca.frames import Frame, rest_frame
from coca.gravity.p3m import P3M
from coca.initial_conditions.linear_fields import InitialConditions
from coca.integration import schemes
from coca.integration.integrate import Force, initial_state, integrate
from coca.integration.kicks import VelocityKick
from coca.integration.nbody import LONG_STEPS, NBody, long_steps, phase_of
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State


def bullfrog_run(
    domain: Domain,
    cosmology: Cosmology,
    conditions: InitialConditions,
    force: Force,
    D_start: float,
    steps: int,
    outputs: Sequence[float] | np.ndarray,
) -> Iterator[Snapshot]:
    """Snapshots at the growth factors `outputs` of BullFrog with steps uniform in D to the last."""
    rest, state = _at_rest(domain, cosmology, conditions, D_start)
    plan = schemes.bullfrog(cosmology, np.linspace(D_start, outputs[-1], steps + 1))
    return integrate(domain, rest, force, VelocityKick(), plan, state, list(outputs))


def nbody_force(domain: Domain, mesh: int) -> P3M:
    """The force of N-body with the softening that a run takes where none is given."""
    return P3M(domain, mesh, domain.cell / SPACINGS_A_SOFTENING)


def nbody_run(
    domain: Domain,
    cosmology: Cosmology,
    conditions: InitialConditions,
    force: P3M,
    D_start: float,
    outputs: Sequence[float] | np.ndarray,
    number: int = LONG_STEPS,
) -> Iterator[Snapshot]:
    """Snapshots at the growth factors `outputs` of N-body with `number` long steps to today."""
    _, state = _at_rest(domain, cosmology, conditions, D_start)
    steps = long_steps(cosmology, D_start, [float(D) for D in outputs], number)
    run = NBody(domain, cosmology, force, phase_of(number))
    return run.follow(steps, state, list(outputs))


def _at_rest(
    domain: Domain, cosmology: Cosmology, conditions: InitialConditions, D_start: float
) -> tuple[Frame, State]:
    """The frame at rest, and particles in it that leave on 2LPT trajectories."""
    rest = rest_frame(domain.own_particles)
    return rest, initial_state(conditions.lpt_frame(cosmology), rest, D_start)
