"""The simulations of a fit, and its runs of few steps beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.latin_hypercube import latin_hypercube
from coca.cosmology.linear_power import linear_power
from coca.frames import Frame
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions import linear_fields
from coca.integration import schemes, substeps
from coca.integration.fitted_kick import explicit_matrix, nonlinearity, sharpened, unmixing
from coca.integration.fitted_table import (
    CLASSES,
    DENSITIES,
    DENSITIES_BEFORE,
)
from coca.integration.integrate import drift, initial_state
from coca.integration.kicks import evaluation_of
from coca.integration.reference import bullfrog_run
from coca.integration.schemes import Step
from coca.integration.substeps import Followers, Orbits
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State, hermite
from coca.statistics.spectra import density_modes

FrameOf = Callable[["Truth"], Frame]
Report = Callable[[str], None]


class Truth:
    """A converged simulation, known at any growth factor by Hermite interpolation."""

    def __init__(
        self,
        domain: Domain,
        force: ParticleMesh,
        cosmology: Cosmology,
        seed: int,
        config: FitConfig,
    ):
        self.domain, self.cosmology, self.force = domain, cosmology, force
        power = linear_power(cosmology, "eisenstein_hu")
        self.conditions = linear_fields.from_seed(domain, power, seed)
        self.D_start = float(cosmology.D1(scale_factor(config.redshift)))
        lpt, D_start = self.conditions.lpt_frame(cosmology), self.D_start
        start = Snapshot(D_start, lpt.displacement(D_start), lpt.velocity(D_start))
        times = np.linspace(D_start, 1.0, config.times + 1)[1:]
        steps = config.reference_steps
        run = bullfrog_run(domain, cosmology, self.conditions, force, D_start, steps, times)
        self.states = [State(s.disp, s.vel, s.D, s.D) for s in (start, *run)]

    def at(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """Displacements and velocities."""
        edges = [state.D_e for state in self.states]
        i = int(np.clip(np.searchsorted(edges, D), 1, len(edges) - 1))
        return hermite(self.states[i - 1], self.states[i], D)


@dataclass
class Member:
    """One simulation to one final growth factor, as far as the steps have taken it."""

    truth: Truth
    frame: Frame
    D_end: float
    nonlinearity: float
    weights: np.ndarray = field(init=False)
    """Of the nodes of nonlinearity."""
    steps: list[Step] = field(init=False)
    state: State = field(init=False)
    s: np.ndarray = field(init=False)
    """Residual acceleration over c at the last evaluation, array (3, N)."""
    before: np.ndarray = field(init=False)
    """H^2 times the residual acceleration of the step before, array (3, N)."""
    delta: np.ndarray = field(init=False)
    """Density contrast at the last evaluation, array (N,)."""
    delta_before: np.ndarray = field(init=False)
    """That of the step before."""
    follow: Followers = field(init=False)
    """Takes particles through sub-steps."""
    orbits: Orbits = field(init=False)
    """What these gave at the last evaluation."""
    residuals: list[float] = field(init=False)
    """Rms H^2 s of each step over the spacing."""
    errors: list[float] = field(init=False)
    """Rms displacement per component that s stands for at each step, Mpc/h."""

    def start(self, fractions: np.ndarray, phase: float | None = None) -> None:
        """Go back to the start, with steps ahead between the edges of `coca.integration.schemes.edges`, and
        sub-steps of particles beyond a squared phase."""
        self.orbits = substeps.nobody()
        truth, n = self.truth, self.truth.domain.particles
        cosmology = truth.cosmology
        edges = schemes.edges(truth.D_start, self.D_end, fractions)
        self.steps = schemes.residual(cosmology, edges)
        lpt = truth.conditions.lpt_frame(cosmology)
        self.follow = Followers(truth.domain, cosmology, self.frame, self.steps, phase)
        self.state = initial_state(lpt, self.frame, truth.D_start)
        self.before = np.zeros((3, n), np.float32)
        self.now_class, self.before_class = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        self.delta = self.delta_before = np.full(n, -1.0, np.float32)
        self.residuals, self.errors = [], []

    def evaluate(self, step: Step) -> None:
        """Measure the residual acceleration in the middle of a step."""
        truth, state, D = self.truth, self.state, step.D_mid
        self.H, self.c = step.D1 - step.D0, truth.cosmology.c(D)
        drift(state, D)
        x = truth.domain.add_lattice(state.e)
        self.frame.add(D, (1.0, 0.0, 0.0), x)
        kernels.orbits.add_at(self.orbits.ahead, self.orbits.who, x)
        acceleration = truth.force(x, True, x)
        self.s, self.delta = acceleration.g, acceleration.delta
        self.frame.add(D, (0.0, D, 1.0 / self.c), self.s)
        self.orbits = self.follow(state, step, acceleration, self.c)
        kernels.fitted.classify(self.delta, DENSITIES, self.now_class)

    @cached_property
    def true_modes(self) -> np.ndarray:
        """Density modes that the run should end with."""
        domain = self.truth.domain
        x = domain.add_lattice(self.truth.at(self.D_end)[0])
        return density_modes(domain, x, 2 * domain.n)

    def target(self, D: float) -> tuple[np.ndarray, np.ndarray]:
        """The true residual at D."""
        e, w = self.truth.at(D)
        self.frame.add(D, (-1.0, 0.0, 0.0), e)
        self.frame.add(D, (0.0, -1.0, 0.0), w)
        return e, w

    def moments(self, step: Step) -> tuple[np.ndarray, np.ndarray]:
        """See `kernels.fitted.moments`; the targets are what explicit step and sub-steps leave."""
        e, w = self.target(step.D1)
        kicked = np.float32(step.alpha) * self.state.w - np.float32(self.c * step.beta) * self.s
        e -= self.state.e + np.float32(0.5 * self.H) * kicked
        w -= kicked
        kernels.orbits.add_at(-self.orbits.e, self.orbits.who, e)
        kernels.orbits.add_at(-self.orbits.w, self.orbits.who, w)
        classes = self.now_class, self.before_class
        return kernels.fitted.moments(*self._features, *classes, self.H, self.c, e, w, CLASSES)

    def error(self, D: float) -> float:
        """Rms error per component of the residual displacement, Mpc/h."""
        return float(np.std((self.state.e - self.target(D)[0]).astype(np.float64)))

    def advance(self, step: Step, matrices: np.ndarray) -> None:
        """Take the step with matrices on the nodes."""
        deviation = np.einsum("k,k...->...", self.weights, matrices)
        mine = explicit_matrix(step) + sharpened(deviation)
        mine = np.ascontiguousarray(mine, np.float32)
        densities = self.delta, self.delta_before, DENSITIES, DENSITIES_BEFORE
        sums = kernels.fitted.step(*self._features, *densities, mine, self.H, self.c)
        self.orbits.add_to(self.state)
        evaluation = evaluation_of(self.truth.domain, step, self.c, sums)
        self.residuals.append(self.H**2 * evaluation.residual_rms / self.truth.domain.cell)
        self.errors.append(evaluation.error_rms / np.sqrt(3.0))
        self.delta_before = self.delta
        kernels.fitted.classify(self.delta, DENSITIES_BEFORE, self.before_class)
        self.state.D_e = self.state.D_w = step.D1

    def displacement(self, rows: torch.Tensor) -> torch.Tensor:
        """Residual displacement (3, N) at the end of the last step, with derivatives.

        Parameters
        ----------
        rows : tensor (nodes, *CLASSES, FEATURES)
            Deviations from the explicit row for e.
        """
        H, step = np.float32(self.H), self.steps[-1]
        impulse = np.float32(self.H**2 * self.c)
        features = torch.from_numpy(
            np.stack([self.state.e, H * self.state.w, impulse * self.s, self.before])
        )
        explicit = torch.from_numpy(explicit_matrix(step)[0].astype(np.float32))
        sharp = (torch.from_numpy(inverse.astype(np.float32)) for inverse in unmixing())
        deviation = torch.einsum("k,k...->...", torch.from_numpy(self.weights), rows)
        mine = explicit + torch.einsum("bc,kl,clf->bkf", *sharp, deviation)
        now, before = _shares(self.delta, DENSITIES), _shares(self.delta_before, DENSITIES_BEFORE)
        flat = mine.reshape(-1, mine.shape[-1])
        per_particle = sum(
            (u * t)[:, None] * flat[b * CLASSES[1] + k] for b, u in before for k, t in now
        )
        found = np.zeros_like(self.s)
        kernels.orbits.add_at(self.orbits.e, self.orbits.who, found)
        return torch.einsum("pf,fcp->cp", per_particle, features) + torch.from_numpy(found)

    @property
    def _features(self) -> tuple[np.ndarray, ...]:
        return self.state.e, self.state.w, self.s, self.before


def _shares(delta: np.ndarray, edges: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two classes that each particle's matrix is of, and how much of each."""
    place = torch.from_numpy(kernels.fitted.place(delta, edges))
    low = place.floor().clamp(max=len(edges) - 1)
    return [(low.long(), 1 - (place - low)), (low.long() + 1, place - low)]


def make_members(
    config: FitConfig, threads: int, frame_of: FrameOf, report: Report
) -> list[Member]:
    """Members with their nonlinearities."""
    ranges = {**config.cosmology.model_dump(), "spacing": np.log(config.spacing)}
    members = []
    for i, point in enumerate(latin_hypercube(ranges, config.simulations, config.seed)):
        log_spacing = point.pop("spacing")
        cosmology = Cosmology(**point)
        domain = Domain(config.particles * np.exp(log_spacing), config.particles, threads)
        force = ParticleMesh(domain, 2 * config.particles)
        truth = Truth(domain, force, cosmology, config.seed + i, config)
        frame = frame_of(truth)
        for D_end in config.growth_factors:
            value = nonlinearity(domain, truth.conditions.delta_k, D_end)
            members.append(Member(truth, frame, D_end, value))
        report(f"simulation {i + 1} of {config.simulations}")
    return members
