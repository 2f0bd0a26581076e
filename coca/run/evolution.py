"""Particles followed through the steps of a method: judged at every force, saved after every step.

A run evolves its particles once or more, see `coca.run.checkpoint`; each evolution is one call of
`evolve`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import LinearPower
from coca.frames import Frame
from coca.gravity.p3m import P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions.linear_fields import InitialConditions
from coca.integration.integrate import Integrator, initial_state
from coca.integration.kicks import Evaluation
from coca.integration.linear_density import LinearDensity, linear_density
from coca.integration.schemes import Step
from coca.light_cone.geometry import build_cone, merged
from coca.light_cone.light_cone import LightCone
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State
from coca.run.checkpoint import Checkpoints, Evolution
from coca.run.method import P3M_MESH, FrameRejected
from coca.run.plan import Plan
from coca.run.progress import Clock, Counter, Progress


@dataclass(frozen=True)
class Problem:
    """The initial conditions and the force of a run, and those who are told of its evolutions."""

    plan: Plan
    domain: Domain
    cosmology: Cosmology
    power: LinearPower
    conditions: InitialConditions
    force: ParticleMesh | P3M
    D_start: float
    outputs: list[float]
    """Growth factors of the outputs."""
    checkpoints: Checkpoints
    clock: Clock
    progress: Progress

    @cached_property
    def lpt(self) -> Frame:
        """2LPT trajectories."""
        return self.conditions.lpt_frame(self.cosmology)

    def light_cone(self) -> LightCone | None:
        """A new light cone, where one is asked for."""
        config, options = self.plan.config, self.plan.config.light_cone
        if options is None:
            return None
        cone = build_cone(options, self.cosmology, config.box_size, config.seed)
        directory = config.output.needed_directory()
        return LightCone(
            cone, self.domain, directory, options.momentum, options.fits, options.particles
        )

    @cached_property
    def reference_force(self) -> ParticleMesh | P3M:
        """The force of the reference run."""
        config = self.plan.config
        if config.reference is not None and config.reference.method == "bullfrog":
            return self.force
        if isinstance(self.force, P3M):
            return self.force
        return P3M(self.domain, P3M_MESH * config.particles, config.softening)

    @cached_property
    def density(self) -> LinearDensity:
        """The linear density at the last output, which takes a pass over the modes."""
        return linear_density(self.domain, self.conditions.delta_k, self.outputs[-1])


def evolve(
    problem: Problem,
    frame: Frame,
    integrator: Integrator,
    steps: list[Step],
    limits: np.ndarray,
    kept: Sequence[Snapshot] = (),
    cone: LightCone | None = None,
) -> tuple[list[Snapshot], list[Evaluation]]:
    """Integrate through all outputs, or as far as a checkpoint has not come.

    Parameters
    ----------
    problem : Problem
    frame : Frame
    integrator : Integrator
    steps : list of Step
    limits : array
        Rms residual acceleration at each step above which the frame is rejected, Mpc/h.
    kept : list of Snapshot
        Results of the evolution before, which a checkpoint has to hold beside this one.
    cone : LightCone, optional
        Takes the particles at its times.

    Raises
    ------
    FrameRejected
        A force evaluation showed a residual beyond its limit, now or before the checkpoint.
    """
    past = problem.checkpoints.begin()
    if past.failure is not None:
        raise FrameRejected(past.failure)
    if not past.finished:
        with (
            _failure_kept(past),
            problem.progress.count("force evaluations", len(steps)) as bar,
        ):
            _Running(problem, integrator, limits, kept, cone, past, bar).follow(frame, steps)
        past.finished, past.state, past.memory = True, None, {}
    elif cone is not None:
        problem.domain.once(cone.check_files)
    snapshots, past.snapshots = past.snapshots, []  # not kept beyond the caller's use
    return snapshots, past.evaluations


@contextmanager
def _failure_kept(past: Evolution) -> Iterator[None]:
    """Inside the block, a failure that another method may mend is noted in the evolution."""
    try:
        yield
    except (FrameRejected, FloatingPointError) as reason:
        past.failure = str(reason)
        past.snapshots = []
        raise


@dataclass(frozen=True)
class _Running:
    """An evolution under way, with those who are told of it; arguments as for `evolve`."""

    problem: Problem
    integrator: Integrator
    limits: np.ndarray
    kept: Sequence[Snapshot]
    cone: LightCone | None
    past: Evolution
    bar: Counter

    def follow(self, frame: Frame, steps: list[Step]) -> None:
        """Take the particles through the steps and outputs that are left."""
        past, problem = self.past, self.problem
        self.bar.update(past.done)
        state = self._state(frame)
        left, outputs = steps[past.done :], problem.outputs[len(past.snapshots) :]
        times = merged(outputs, self.cone.pending) if self.cone else outputs
        with problem.checkpoints.watching():
            snapshots = self.integrator.follow(
                left, state, times, self._judge, lambda: self._save(state)
            )
            for snapshot in snapshots:
                self._show(snapshot)
                if snapshot.D in outputs:
                    past.snapshots.append(snapshot._replace(slopes=None))

    def _state(self, frame: Frame) -> State:
        """The state that a checkpoint has kept, with what was remembered, or that of the start."""
        past, problem = self.past, self.problem
        if self.cone is not None:
            self.cone.restore(past.memory)
        self.integrator.memory.update(past.memory)
        start = problem.conditions.snapshot or problem.lpt
        return past.state or initial_state(start, frame, problem.D_start)

    def _judge(self, evaluation: Evaluation | None) -> None:
        """Note what a force evaluation showed; raise FrameRejected where it is beyond its limit."""
        self.bar.update()
        if evaluation is None:
            return
        limit = self.limits[len(self.past.evaluations)]
        self.past.evaluations.append(evaluation)
        D, residual = evaluation.D, evaluation.residual_rms
        self.problem.progress.say(f"  D = {D:.3f}  residual {residual:.3f} Mpc/h")
        if residual > limit:
            raise FrameRejected(
                f"the residual acceleration at D = {D:.2f} is {residual:.3g} Mpc/h rms, wanted at "
                f"most {limit:.3g}"
            )

    def _save(self, state: State) -> None:
        """Let the checkpoints know that a step is done."""
        self.past.done += 1
        self.past.memory = self.integrator.memory | (self.cone.memory if self.cone else {})
        self.problem.checkpoints.step(state, self.kept)

    def _show(self, snapshot: Snapshot) -> None:
        """Let the light cone see the particles."""
        if self.cone is not None:
            with self.problem.clock("light cone"):
                self.cone.see(snapshot)
