"""The simulations of a fit, and its runs of few steps beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.latin_hypercube import latin_hypercube
from coca.cosmology.linear_power import linear_power
from coca.frames import Frame
from coca.gravity.particle_mesh import Acceleration, ParticleMesh
from coca.initial_conditions import linear_fields
from coca.integration import schemes
from coca.integration.fitted_kick import FittedKick
from coca.integration.fitted_table import (
    CLASSES,
    DENSITIES,
    DENSITIES_BEFORE,
    TILTS,
    FittedCount,
)
from coca.integration.integrate import initial_state, kick, measure
from coca.integration.kept_runs import KeptRuns
from coca.integration.kicks import Evaluation
from coca.integration.linear_density import LinearDensity, linear_density
from coca.integration.read_out import LatticeFields
from coca.integration.reference import bullfrog_run, nbody_force, nbody_run
from coca.integration.schemes import Step
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State, hermite
from coca.statistics.spectra import density_modes
from coca.step_fitting.true_haloes import TrueHaloes, find_true_haloes

FrameOf = Callable[["ReferenceRun"], Frame]
Report = Callable[[str], None]


@dataclass(frozen=True)
class SimulationPlan:
    """A simulation of a fit: what it is of, and where it is kept."""

    domain: Domain
    cosmology: Cosmology
    seed: int
    config: FitConfig

    @property
    def D_start(self) -> float:
        """Growth factor of the start."""
        return float(self.cosmology.D1(scale_factor(self.config.redshift)))

    @property
    def times(self) -> list[float]:
        """Growth factors at which it is kept."""
        even = np.arange(1, self.config.times + 1) / self.config.times
        times = np.union1d(even, self.config.growth_factors)
        return times[times > 1.5 * self.D_start].tolist()

    @property
    def identity(self) -> dict:
        """All that defines it but its outputs."""
        config, domain = self.config, self.domain
        force = {"mesh": config.mesh} if config.truth == "bullfrog" else {}
        return {
            "method": config.truth,
            "steps": config.truth_steps,
            "cosmology": self.cosmology.known(),
            "redshift": config.redshift,
            "seed": self.seed,
            "box_size": domain.box_size,
            "particles": domain.n_side,
            **force,
        }

    def path(self, kept: KeptRuns) -> Path:
        """The file in which it is kept."""
        return kept.path(self.identity, self.times)


class ReferenceRun:
    """A converged simulation, known at any growth factor by Hermite interpolation.

    Parameters
    ----------
    plan : SimulationPlan
    kept : KeptRuns
        Where its snapshots are, or come to be.
    """

    def __init__(self, plan: SimulationPlan, kept: KeptRuns):
        self.plan, self.domain, self.cosmology = plan, plan.domain, plan.cosmology
        self.force = ParticleMesh(plan.domain, plan.config.mesh)
        """That of runs of few steps."""
        power = linear_power(plan.cosmology, "eisenstein_hu")
        self.conditions = linear_fields.from_seed(plan.domain, power, plan.seed)
        self.D_start, times = plan.D_start, plan.times
        lpt = self.conditions.lpt_frame(plan.cosmology)
        D = self.D_start
        start = State(lpt.displacement(D), lpt.velocity(D), D, D)
        run = kept.get(plan.identity, times, plan.domain.particles, lambda: self._run(times))
        self.states = [start, *(State(s.disp, s.vel, s.D, s.D) for s in run)]

    def _run(self, times: list[float]) -> Iterator[Snapshot]:
        """The simulation's snapshots."""
        domain, config = self.domain, self.plan.config
        of = domain, self.cosmology, self.conditions
        if config.truth == "bullfrog":
            return bullfrog_run(*of, self.force, self.D_start, config.truth_steps, times)
        force = nbody_force(domain, 2 * domain.n_side)
        return nbody_run(*of, force, self.D_start, times, config.truth_steps)

    def at(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """Displacements and velocities."""
        times = [state.D_e for state in self.states]
        i = int(np.clip(np.searchsorted(times, D), 1, len(times) - 1))
        return hermite(self.states[i - 1], self.states[i], D)


@dataclass
class FitRun:
    """A run of few steps beside a simulation, to one growth factor, as far as it has come.

    It takes the steps that runs take, `coca.integration.integrate.measure` and `kick`; between the
    two there is time to fit the step's matrices.
    """

    truth: ReferenceRun
    frame: Frame
    D_end: float
    density: LinearDensity
    """At its end."""
    weights: np.ndarray = field(init=False)
    """Weights of the matrices, array (K,) float32, see `coca.integration.fitted_table.basis`."""
    tilts: int = field(init=False, default=TILTS)
    """How many of them are of tilts."""
    steps: list[Step] = field(init=False)
    rule: FittedKick = field(init=False)
    state: State = field(init=False)
    measured: Acceleration = field(init=False)
    """What the last force told of the residual, s / c in the place of g."""
    evaluations: list[Evaluation] = field(init=False)

    @property
    def on_nodes(self) -> np.ndarray:
        """The weights of those on nodes."""
        return self.weights[: len(self.weights) - self.tilts]

    def start(self, fractions: np.ndarray, threshold: float | None = None) -> None:
        """Go back to the start.

        Parameters
        ----------
        fractions : array
            Boundaries of the steps ahead, see `coca.integration.schemes.step_boundaries`.
        threshold : float, optional
            Squared phase beyond which particles have sub-steps.
        """
        truth = self.truth
        boundaries = schemes.step_boundaries(truth.D_start, self.D_end, fractions)
        self.steps = schemes.residual(truth.cosmology, boundaries)
        self.rule = FittedKick(truth.domain, truth.cosmology, self.frame, self.steps, threshold)
        lpt = truth.conditions.lpt_frame(truth.cosmology)
        self.state = initial_state(lpt, self.frame, truth.D_start)
        self.evaluations = []

    def measure(self, step: Step) -> None:
        """Take the force in the middle of a step."""
        truth, x = self.truth, np.empty_like(self.state.e)
        self.measured = measure(
            truth.domain, self.frame, truth.force, self.rule, self.state, step, x
        )

    def advance(self, step: Step, matrices: np.ndarray) -> None:
        """Take the step with matrices (K, *CLASSES, TARGETS, FEATURES)."""
        self.rule.set_matrices(step, np.einsum("k,k...->...", self.weights, matrices))
        evaluation = kick(self.state, step, self.rule, self.measured)
        assert evaluation is not None
        self.evaluations.append(evaluation)

    def follow(self, table: FittedCount) -> None:
        """Take all steps of a table, to where its network, if it has one, would read them out."""
        self.weights = table.weights(self.density).astype(np.float32)
        self.tilts = 0 if table.ranges is None else TILTS
        self.start(table.fractions, table.substep_threshold)
        for step, matrices in zip(self.steps, table.matrices, strict=True):
            self.measure(step)
            self.advance(step, matrices)

    def lattice_fields(self) -> LatticeFields:
        """What a network sees of the last step's end."""
        last = self.rule.last_force(self.steps[-1], self.measured)
        return LatticeFields(self.truth.domain, self.frame, self.truth.force, self.state, last)

    def rest(self) -> None:
        """Give away the memory of what only further steps would need."""
        del self.rule, self.measured

    def moments(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """Moments of `kernels.fitted.moments`; the targets are what the explicit step and sub-steps
        leave."""
        state, s, changes = self.state, self.measured.g, self.rule.changes
        H, c = step.D1 - step.D0, self.truth.cosmology.c(step.D_mid)
        e, w = self.target(step.D1)
        kicked = np.float32(step.alpha) * state.w - np.float32(c * step.beta) * s
        e -= state.e + np.float32(0.5 * H) * kicked
        w -= kicked
        kernels.substeps.add_at(-changes.e, changes.indices, e)
        kernels.substeps.add_at(-changes.w, changes.indices, w)
        memory = self.rule.memory
        now = _classes(self.measured.delta, DENSITIES)
        before = _classes(memory["delta_before"], DENSITIES_BEFORE)
        return kernels.fitted.moments(
            state.e, state.w, s, memory["before"], now, before, H, c, e, w, CLASSES
        )

    def target(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """The true residual at D."""
        e, w = self.truth.at(D)
        self.frame.add(D, (-1.0, 0.0, 0.0), e)
        self.frame.add(D, (0.0, -1.0, 0.0), w)
        return e, w

    @cached_property
    def true_modes(self) -> np.ndarray:
        """Density modes that the run should end with."""
        domain = self.truth.domain
        x = domain.add_lattice(self.truth.at(self.D_end)[0])
        return density_modes(domain, x, 2 * domain.n_side)

    @cached_property
    def true_haloes(self) -> TrueHaloes | None:
        """The haloes that the run should end with."""
        domain = self.truth.domain
        disp, vel = self.truth.at(self.D_end)
        return find_true_haloes(domain, domain.add_lattice(disp), vel)

    def error(self, D: float) -> float:
        """Rms error per component of the residual displacement, Mpc/h."""
        return float(np.std((self.state.e - self.target(D)[0]).astype(np.float64)))

    def estimate(self) -> float:
        """Rms over the steps of the displacement per component that the residual accelerations
        stand for, Mpc/h."""
        errors = [evaluation.error_rms / np.sqrt(3.0) for evaluation in self.evaluations]
        return float(np.sqrt(np.mean(np.square(errors))))

    def last_residual(self) -> float:
        """Rms H^2 s of the last step over the particle spacing."""
        last = self.evaluations[-1]
        return last.step**2 * last.residual_rms / self.truth.domain.cell


def _classes(delta: np.ndarray, boundaries: np.ndarray) -> np.ndarray:
    """Number (N,) uint8 of each particle's density class."""
    found = np.empty(len(delta), np.uint8)
    kernels.fitted.classify(delta, boundaries, found)
    return found


def simulations(
    config: FitConfig,
    threads: int,
    report: Report,
    held_out: bool = False,
    as_they_come: bool = False,
) -> Iterator[ReferenceRun]:
    """The simulations of a fit, or those held out from it, made where they are missing, or without
    those."""
    count, shift = (config.held_out, config.simulations) if held_out else (config.simulations, 0)
    if not count:
        return
    ranges = {**config.cosmology.model_dump(), "spacing": np.log(config.spacing)}
    kept = KeptRuns(config.simulations_directory)
    for i, point in enumerate(latin_hypercube(ranges, count, config.seed + int(held_out))):
        spacing = np.exp(point.pop("spacing"))
        domain = Domain(config.particles * spacing, config.particles, threads)
        plan = SimulationPlan(domain, Cosmology(**point), config.seed + shift + i, config)
        if plan.path(kept).exists() or not as_they_come:
            yield ReferenceRun(plan, kept)
            report(f"simulation {i + 1} of {count}{', held out' if held_out else ''}")


def make_runs(
    config: FitConfig,
    threads: int,
    frame_of: FrameOf,
    report: Report,
    held_out: bool = False,
    as_they_come: bool = False,
) -> list[FitRun]:
    """Runs beside `simulations`, to every growth factor at which they are to end."""
    runs = []
    for truth in simulations(config, threads, report, held_out, as_they_come):
        frame = frame_of(truth)
        for D_end in config.growth_factors:
            density = linear_density(truth.domain, truth.conditions.delta_k, D_end)
            runs.append(FitRun(truth, frame, D_end, density))
    return runs
