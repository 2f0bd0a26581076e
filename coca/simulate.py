"""From a checked configuration to particles: the stages of a run, one a line."""

from __future__ import annotations

from dataclasses import dataclass

from coca import initial, schemes
from coca.config import Config
from coca.cosmology import Cosmology, scale_factor
from coca.domain import Domain
from coca.force import ParticleMesh
from coca.frames import Frame, rest_frame
from coca.initial import InitialConditions
from coca.integrate import (
    Evaluation,
    Force,
    ResidualKick,
    Snapshot,
    VelocityKick,
    initial_state,
    integrate,
)
from coca.plan import Plan
from coca.power import LinearPower, linear_power
from coca.progress import Clock, Progress
from coca.trust import Trust, estimate_error


@dataclass(frozen=True)
class Simulation:
    """A run's particles with what made them. Units as in `coca.integrate.Snapshot`."""

    config: Config
    domain: Domain
    cosmology: Cosmology
    power: LinearPower
    frame: Frame
    snapshots: list[Snapshot]
    """One for each output redshift."""
    reference: list[Snapshot]
    """The reference run's, or none."""
    evaluations: list[Evaluation]
    """What each force evaluation showed of the frame; none for velocity kicks."""
    trust: Trust
    clock: Clock


def simulate(plan: Plan, progress: Progress | None = None) -> Simulation:
    """Run a plan.

    Parameters
    ----------
    plan : Plan
        From `coca.plan.make_plan`.
    progress : Progress, optional
        Where to say what is going on; silent by default.
    """
    config, clock, progress = plan.config, Clock(), progress or Progress(quiet=True)
    cosmology = config.cosmology.build()
    domain = Domain(config.box_size, config.particles, plan.threads, config.force.fft_planning)
    with clock("linear power"):
        power = linear_power(cosmology, config.linear_power.source, config.linear_power.file)
    with clock("initial conditions"):
        conditions = initial_conditions(config, domain, power)
    with clock("network" if plan.network else "frame"):
        frame = build_frame(plan, domain, cosmology, conditions)
    with clock("force"):
        force = ParticleMesh(domain, config.mesh, **config.force.solver)
    with clock("integration"):
        timed_force = clock.timed("force", force)
        snapshots, evaluations = evolve(
            config, domain, cosmology, conditions, frame, timed_force, progress
        )
    reference = []
    if config.reference is not None:
        with clock("reference run"):
            reference = run_reference(config, domain, cosmology, conditions, force, progress)
    trust = estimate_error(config, evaluations)
    return Simulation(
        config, domain, cosmology, power, frame, snapshots, reference, evaluations, trust, clock
    )


def initial_conditions(config: Config, domain: Domain, power: LinearPower) -> InitialConditions:
    """Linear modes and LPT displacements, from the seed or the user's file."""
    options = config.initial_conditions
    if options.file is not None:
        return initial.from_file(domain, power, options.file)
    return initial.from_seed(domain, power, config.seed, options.fixed_amplitude, options.paired)


def build_frame(
    plan: Plan, domain: Domain, cosmology: Cosmology, conditions: InitialConditions
) -> Frame:
    """The frame of reference that the configuration names."""
    if plan.config.frame == "rest":
        return rest_frame(conditions.psi1.shape[1])
    if plan.config.frame == "lpt":
        return conditions.lpt_frame(cosmology)
    network = plan.network
    return network.emulator.frame(domain, cosmology, conditions, network.device, network.precision)


def evolve(
    config: Config,
    domain: Domain,
    cosmology: Cosmology,
    conditions: InitialConditions,
    frame: Frame,
    force: Force,
    progress: Progress,
) -> tuple[list[Snapshot], list[Evaluation]]:
    """Integrate from 2LPT at the starting redshift through all outputs."""
    D_start, outputs = growth_factors(config, cosmology)
    method, count = config.integrator.method, config.force_evaluations
    steps = getattr(schemes, method)(cosmology, D_start, outputs[-1], count)
    if method == "residual":
        rule = ResidualKick(domain, cosmology, frame, config.gain)
    else:
        rule = VelocityKick()
    state = initial_state(conditions.lpt_frame(cosmology), frame, D_start)
    evaluations = []
    with progress.count("force evaluations", count) as bar:

        def note(evaluation):
            bar.update()
            if evaluation is not None:
                evaluations.append(evaluation)
                progress.say(
                    f"  D = {evaluation.D:.3f}  residual {evaluation.residual_rms:.3f} Mpc/h"
                )

        run = integrate(domain, frame, force, rule, steps, state, outputs, note)
        return list(run), evaluations


def run_reference(
    config: Config,
    domain: Domain,
    cosmology: Cosmology,
    conditions: InitialConditions,
    force: Force,
    progress: Progress,
) -> list[Snapshot]:
    """The BullFrog reference that the configuration asks for."""
    values = config.model_dump()
    values |= {"frame": "rest", "force_evaluations": config.reference.force_evaluations}
    values["integrator"]["method"] = "bullfrog"
    bullfrog, rest = Config.model_validate(values), rest_frame(conditions.psi1.shape[1])
    progress.say("reference run (BullFrog)")
    return evolve(bullfrog, domain, cosmology, conditions, rest, force, progress)[0]


def growth_factors(config: Config, cosmology: Cosmology) -> tuple[float, list[float]]:
    """Growth factors of the start and of the outputs."""
    D_start = float(cosmology.D1(scale_factor(config.initial_conditions.redshift)))
    outputs = [float(cosmology.D1(scale_factor(z))) for z in config.output.redshifts]
    return D_start, outputs
