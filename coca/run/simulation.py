"""The stages of a run, one a line: from a checked configuration to particles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from coca.configuration.run import Config
from coca.configuration.sections import ReferenceConfig
from coca.configuration.values import MOST_FOR_TOLERANCE
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.linear_power import LinearPower, linear_power
from coca.frames import Frame, rest_frame
from coca.gravity.p3m import P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions import from_snapshot, linear_fields
from coca.initial_conditions.gaussian_modes import GENERATORS
from coca.initial_conditions.linear_fields import InitialConditions
from coca.initial_conditions.primordial import LocalType
from coca.integration.error_estimate import Trust, estimate_error
from coca.integration.kicks import Evaluation
from coca.integration.schemes import Step
from coca.light_cone.geometry import merged
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from coca.run.checkpoint import Checkpoints, NoCheckpoints
from coca.run.evolution import Problem, evolve
from coca.run.method import FrameRejected, Method
from coca.run.plan import Plan
from coca.run.progress import Clock, Progress


class Run(NamedTuple):
    """What a method with some number of force evaluations gave."""

    method: Method
    frame: Frame
    steps: list[Step]
    """One for each force evaluation."""
    snapshots: list[Snapshot]
    """One for each output redshift."""
    evaluations: list[Evaluation]
    """What each force evaluation showed of the frame; none for velocity kicks."""
    trust: Trust


@dataclass(frozen=True)
class Simulation:
    """A run's particles with what made them. Units as in `coca.particles.Snapshot`."""

    config: Config
    domain: Domain
    cosmology: Cosmology
    power: LinearPower
    run: Run
    reference: list[Snapshot]
    """The reference run's, or none."""
    warnings: list[str]
    """The plan's, and what the forces rejected."""
    clock: Clock
    lpt: Frame
    """2LPT trajectories; the particles started on them, or near them where on a snapshot."""
    D_start: float

    @property
    def snapshots(self) -> list[Snapshot]:
        """One for each output redshift."""
        return self.run.snapshots


def run_plan(
    plan: Plan, progress: Progress | None = None, checkpoints: Checkpoints | None = None
) -> Simulation:
    """Run a plan.

    Parameters
    ----------
    plan : Plan
        From `coca.run.plan.make_plan`.
    progress : Progress, optional
        Where to say what is going on; silent by default.
    checkpoints : Checkpoints, optional
        Kept while the run is under way; none by default.

    Raises
    ------
    FileError
        A checkpoint to resume from does not fit.
    Terminated
        The run was told to end, and is saved.
    """
    config = plan.config
    problem = build_problem(plan, progress or Progress(quiet=True), checkpoints or NoCheckpoints())
    run, rejected = follow_methods(problem)
    reference: list[Snapshot] = []
    if config.reference is not None:
        with problem.clock("reference run"):
            reference = run_reference(problem, config.reference, run.snapshots)
    warnings = [*plan.warnings, *problem.conditions.remarks, *rejected]
    if run.trust.excess(config.wanted_error) > 1.0:
        warnings.append(
            f"tolerance: {run.trust.error:.3g} Mpc/h is left after {len(run.steps)} force "
            f"evaluations, the most that are taken for it, wanted {config.wanted_error:g}"
        )
    return Simulation(
        config, problem.domain, problem.cosmology, problem.power, run, reference, warnings,
        problem.clock, problem.lpt, problem.D_start,
    )  # fmt: skip


def build_problem(plan: Plan, progress: Progress, checkpoints: Checkpoints) -> Problem:
    """The linear power, initial conditions and force of a plan; errors as in `run_plan`."""
    config, clock, cosmology = plan.config, Clock(), plan.config.build_cosmology()
    source = config.linear_power
    domain = Domain(config.box_size, config.particles, plan.threads, plan.ranks)
    with clock("linear power"):
        power = domain.once(lambda: linear_power(cosmology, source.source, source.file))
    D_start, outputs = growth_factors(cosmology, plan.redshift, config.output.redshifts)
    with clock("initial conditions"):
        conditions = build_initial_conditions(config, domain, power, D_start)
    for line in conditions.remarks:
        progress.say(f"  {line}")
    with clock("force"):
        force = build_force(config, domain)
    found = checkpoints.open(domain)
    if found:
        progress.say(found)
    return Problem(
        plan, domain, cosmology, power, conditions, force, D_start, outputs, checkpoints, clock,
        progress,
    )  # fmt: skip


def build_initial_conditions(
    config: Config, domain: Domain, power: LinearPower, D_start: float
) -> InitialConditions:
    """Linear modes and LPT displacements, from the seed, the user's file or a snapshot."""
    options = config.initial_conditions
    if options.snapshot is not None:
        return from_snapshot.from_snapshot(
            domain, config.build_cosmology(), options.snapshot, D_start
        )
    local = LocalType(options.f_NL, config.build_cosmology()) if options.f_NL else None
    if options.file is not None:
        return linear_fields.from_file(domain, power, options.file, local, options.paired)
    return linear_fields.from_seed(
        domain, power, config.seed, options.fixed_amplitude, options.paired, local,
        GENERATORS[options.generator],
    )  # fmt: skip


def initial_particles(config: Config, domain: Domain, redshift: float) -> Snapshot:
    """The particles that a run starts on, whatever its method."""
    cosmology, source = config.build_cosmology(), config.linear_power
    power = domain.once(lambda: linear_power(cosmology, source.source, source.file))
    D = float(cosmology.D1(scale_factor(redshift)))
    conditions = build_initial_conditions(config, domain, power, D)
    start = conditions.snapshot or conditions.lpt_frame(cosmology)
    return Snapshot(D, start.displacement(D), start.velocity(D))


def build_force(config: Config, domain: Domain) -> ParticleMesh | P3M:
    """The solver that a configuration asks for."""
    if config.solver == "p3m":
        return P3M(domain, config.mesh, config.softening)
    return ParticleMesh(domain, config.mesh, deconvolve=config.force.deconvolve)


def follow_methods(problem: Problem) -> tuple[Run, list[str]]:
    """The first method that no force rejects, and what was said of those before."""
    *first, last = problem.plan.methods
    rejected: list[str] = []
    for method in first:
        try:
            return follow(problem, method), rejected
        except FrameRejected as reason:
            rejected.append(str(reason))
            problem.progress.say(f"  {rejected[-1]}")
    return follow(problem, last), rejected


def follow(problem: Problem, method: Method) -> Run:
    """Run a method with the force evaluations asked for, or as few as the tolerance lets.

    Raises
    ------
    FrameRejected
        A force evaluation showed a residual beyond the method's limits.
    """
    config = problem.plan.config
    with problem.clock("network" if method.frame == "emulator" else "frame"):
        frame = build_frame(problem, method)
    count, tolerance = config.force_evaluations, config.wanted_error
    if count == "auto":
        with problem.clock("integration"):
            error = tolerance / problem.domain.cell
            count = method.first_try(error, lambda: problem.density)
    while True:
        run = follow_steps(problem, method, frame, count)
        excess = run.trust.excess(tolerance)
        more = method.at_least(more_steps(count, excess))
        if excess <= 1.0 or more <= count:
            return run
        problem.progress.say(f"  estimated error {run.trust.error:.2g} Mpc/h: more steps")
        count = more
        del run  # its snapshots


def more_steps(count: int, excess: float) -> int:
    """Steps for an error smaller by a factor, if it falls with their square."""
    return min(max(count + 1, math.ceil(count * min(math.sqrt(excess), 4.0))), MOST_FOR_TOLERANCE)


def build_frame(problem: Problem, method: Method) -> Frame:
    """The frame of reference of a method."""
    plan, domain = problem.plan, problem.domain
    of = problem.cosmology, problem.conditions
    builders: dict[str, Callable[[], Frame]] = {
        "rest": lambda: rest_frame(domain.own_particles),
        "lpt": lambda: problem.lpt,
    }
    if plan.own is not None:
        builders["emulator"] = partial(plan.own.frame, *of)
    elif plan.network is not None:
        builders["emulator"] = partial(plan.network.frame, domain, *of)
    return builders[method.frame]()


def follow_steps(problem: Problem, method: Method, frame: Frame, count: int) -> Run:
    """Run a method with `count` force evaluations; errors as in `follow`."""
    domain, cosmology = problem.domain, problem.cosmology
    cone = problem.light_cone()
    with problem.clock("integration"):
        times = merged(problem.outputs, cone.times) if cone else problem.outputs
        steps = method.steps(cosmology, problem.D_start, times, count)
        at_ends = cone is not None and bool(steps) and method.cubic and not cone.has_velocities
        if cone is not None:
            cone.velocities_apart = method.fitted(count) is not None
        if cone is not None and at_ends:
            cone.ask_at([steps[0].D0, *(step.D1 for step in steps)])
        integrator = method.integrator(
            domain,
            cosmology,
            frame,
            problem.force,
            count,
            steps,
            lambda: problem.density,
            partial(problem.clock.timed, "force"),
            slopes=at_ends and method.fitted(count) is not None,
        )
        limits = method.limits(domain, steps, lambda: problem.density)
        try:
            snapshots, evaluations = evolve(problem, frame, integrator, steps, limits, cone=cone)
        except (FrameRejected, FloatingPointError) as reason:
            if method is problem.plan.methods[-1]:
                raise
            raise FrameRejected(f"{method.describe(count)} given up: {reason}") from None
    trust = estimate_error(evaluations, method.fitted(count), method.truth(count))
    return Run(method, frame, steps, snapshots, evaluations, trust)


def run_reference(
    problem: Problem, options: ReferenceConfig, kept: Sequence[Snapshot]
) -> list[Snapshot]:
    """The reference that the configuration asks for; `kept` are the run's snapshots."""
    method, cosmology = Method(options.method), problem.cosmology
    problem.progress.say(f"reference run ({method.describe()})")
    rest = rest_frame(problem.domain.own_particles)
    density = lambda: problem.density  # noqa: E731
    count = options.force_evaluations or method.first_try(np.inf, density)
    steps = method.steps(cosmology, problem.D_start, problem.outputs, count)
    integrator = method.integrator(
        problem.domain, cosmology, rest, problem.reference_force, count, steps, density
    )
    return evolve(problem, rest, integrator, steps, np.full(len(steps), np.inf), kept)[0]


def growth_factors(
    cosmology: Cosmology, start: float, outputs: Sequence[float]
) -> tuple[float, list[float]]:
    """Growth factors of the redshifts of the start and of the outputs."""
    D_start, *D_outputs = (float(cosmology.D1(scale_factor(z))) for z in (start, *outputs))
    return D_start, D_outputs
