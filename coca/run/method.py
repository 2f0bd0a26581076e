"""How the residual in a frame is integrated, and what to do when a force rejects the frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from coca.configuration.run import FRAMES, Config
from coca.cosmology.background import Cosmology
from coca.errors import ConfigError
from coca.frames import Frame
from coca.gravity.p3m import P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.integration import fitted_table, schemes
from coca.integration.error_estimate import OWN_FORCE, TRUTHS
from coca.integration.fitted_kick import FittedKick
from coca.integration.fitted_table import FittedCount, FittedSteps
from coca.integration.integrate import Force, Integrator, KickIntegrator
from coca.integration.kicks import Kick, ResidualKick, VelocityKick
from coca.integration.linear_density import LinearDensity
from coca.integration.nbody import LONG_STEPS, NBody, long_steps, phase_of
from coca.integration.schemes import Scheme, Step
from coca.parallel.domain import Domain

MAX_RESIDUAL_RATIO = 3.0
"""A residual this many times the largest of the fit means another frame than the fitted one."""
MAX_RATIO_TO_LPT = 0.75
"""With a residual above this share of 2LPT's in many steps, fitted steps of 2LPT do better than a
frame with the gain. It is asked of the first force, where particles are still on the frame: the
shipped emulator's are 0.35 to 0.7. Later, when errors of the steps add to it, up to 0.87, the share
is one."""
FIRST_TRY = 6
"""Force evaluations to begin with where the tolerance decides and nothing is fitted."""
GAIN = 6.0
"""Strength of the resolved gain, see `coca.integration.kicks.ResidualKick`."""
GAIN_COST = (
    "the resolved gain takes their place, as accurate as BullFrog with as many forces "
    "(docs/accuracy.md)"
)
TO_PM_COST = (
    "those that end at what the mesh converges to take their place, 10 % low in P at k = 1 h/Mpc "
    "(docs/accuracy.md)"
)
LABELS = {
    "coca": "COCA",
    "fitted": "fitted steps",
    "cola": "COLA",
    "bullfrog": "BullFrog",
    "fastpm": "FastPM",
    "pm": "PM",
    "nbody": "N-body",
}
SCHEMES: dict[str, Scheme] = {
    "bullfrog": schemes.bullfrog,
    "fastpm": schemes.fastpm,
    "nbody": schemes.fastpm,
}
"""Schemes of methods; the others integrate a residual."""
WHERE = {
    "emulator": "in the emulator's frame",
    "lpt": "in the frame of 2LPT",
    "rest": "without a frame",
}


ALONE = "the frame's own trajectories"
"""What a run without forces is."""


class FrameRejected(Exception):
    """A force has shown that the frame is not what its method takes it for."""


@dataclass(frozen=True)
class Method:
    """A frame with a scheme and its kicks."""

    name: str
    """The value of the configuration's `method`."""
    table: FittedSteps | None = None
    """Fitted steps for the numbers of evaluations that it knows."""
    gain: float = 0.0
    """Strength of the resolved gain where nothing is fitted; 0 for explicit kicks."""
    lpt_table: FittedSteps | None = None
    """2LPT's fitted steps, whose residuals a frame without fitted steps has to beat."""

    @property
    def frame(self) -> str:
        """The frame of reference: emulator, lpt or rest."""
        return FRAMES.get(self.name, "rest")

    @property
    def scheme(self) -> Scheme:
        """How its steps are weighed."""
        return SCHEMES.get(self.name, schemes.residual)

    @property
    def label(self) -> str:
        """The method's name in figures."""
        return LABELS[self.name]

    @property
    def cubic(self) -> bool:
        """Whether trajectories within a step are cubics in D, as the residual's and, but for a
        trace, 2LPT's are."""
        return self.name != "nbody" and self.frame != "emulator"

    def sub_steps(self, count: int | Literal["auto"]) -> bool:
        """Whether this number of force evaluations has sub-steps, see
        `coca.integration.substeps`; for auto, whether some have."""
        counts = self.table.with_substeps if self.table else []
        return bool(counts) if count == "auto" else count in counts

    def reads_out(self, count: int | Literal["auto"]) -> bool:
        """Whether a network reads out this number of force evaluations; for auto, whether it does
        some."""
        fitted = self.table.by_count if self.table else {}
        return any(steps.network for n, steps in fitted.items() if count in ("auto", n))

    def fitted(self, count: int) -> FittedCount | None:
        """The fitted steps of this number of force evaluations, if there are any."""
        return self.table.by_count.get(count) if self.table else None

    def truth(self, count: int) -> str:
        """What a run with this number of force evaluations comes near to, in words."""
        if self.name == "nbody":
            return TRUTHS["nbody"]
        return TRUTHS[self.table.truth] if self.table and self.fitted(count) else OWN_FORCE

    def describe(self, count: int | None = None) -> str:
        """The method in words, for a number of evaluations or in general."""
        if self.name == "nbody":
            return "N-body, P3M with steps of each particle's own"
        if self.scheme is not schemes.residual:
            return self.label
        if count == 0:
            return f"{self.label if self.name != 'fitted' else '2LPT'} without forces, {ALONE}"
        fitted = self.fitted(count) if count is not None else self.table
        kicks = f"gain {self.gain:g}" if self.gain else "explicit kicks"
        how = f"{'fitted steps' if fitted else kicks} {WHERE[self.frame]}"
        return how if self.name == "fitted" else f"{self.label}, {how}"

    def first_try(self, error: float, density: Callable[[], LinearDensity]) -> int:
        """Force evaluations to begin with where an error in spacings, or convergence, decides."""
        if self.name == "nbody":
            return LONG_STEPS
        if self.name == "bullfrog":
            return BULLFROG_REFERENCE
        return self.table.steps_for(error, density()) if self.table else FIRST_TRY

    def at_least(self, count: int) -> int:
        """The fewest force evaluations, `count` or more, that bring a run nearer to its truth.

        Explicit kicks end where their force does, so where fitted steps end as N-body the largest
        number that was fitted is the most.
        """
        if self.table is None or self.table.truth != "nbody":
            return count
        return next((n for n in self.table.counts if n >= count), self.table.counts[-1])

    def steps(
        self, cosmology: Cosmology, D_start: float, outputs: Sequence[float], count: int
    ) -> list[Step]:
        """The steps of `count` force evaluations, to the last of the outputs."""
        if self.name == "nbody":
            return long_steps(cosmology, D_start, outputs, count)
        table = self.fitted(count)
        fractions = table.fractions if table else schemes.power_fractions(count)
        return self.scheme(cosmology, schemes.step_boundaries(D_start, outputs[-1], fractions))

    def integrator(
        self,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        force: ParticleMesh | P3M,
        count: int,
        steps: list[Step],
        density: Callable[[], LinearDensity],
        timed: Callable[[Force], Force] = lambda force: force,
        slopes: bool = False,
    ) -> Integrator:
        """What takes particles through the steps of `count` force evaluations; arguments as for
        `rule`, with the force, what measures its time, and `slopes` of `KickIntegrator`."""
        if self.name == "nbody":
            assert isinstance(force, P3M)
            return NBody(domain, cosmology, force, phase_of(count))
        taken = timed(force)
        rule = self.rule(domain, cosmology, frame, taken, steps, density)
        return KickIntegrator(domain, frame, taken, rule, slopes)

    def rule(
        self,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        force: Force,
        steps: list[Step],
        density: Callable[[], LinearDensity],
    ) -> Kick:
        """What a force evaluation does to the particles.

        Parameters
        ----------
        domain : Domain
        cosmology : Cosmology
        frame : Frame
        force : Force
        steps : list of Step
        density : callable
            Gives `coca.integration.linear_density.linear_density` of the last output, for which
            methods with a table ask.
        """
        if self.scheme is not schemes.residual:
            return VelocityKick()
        table = self.fitted(len(steps))
        if table is None:
            return ResidualKick(domain, cosmology, frame, self.gain)
        assert self.table is not None
        others = self.table.shorter(len(steps)), self.table.longer(len(steps))
        return FittedKick.of_table(
            domain, cosmology, frame, table, steps, density(), force, *others
        )

    def limits(
        self, domain: Domain, steps: list[Step], density: Callable[[], LinearDensity]
    ) -> np.ndarray:
        """Rms residual acceleration of each step, Mpc/h, above which the frame is rejected;
        `density` as for `rule`."""
        if not steps:
            return np.empty(0)
        table = self.fitted(len(steps))
        if table is not None:
            return MAX_RESIDUAL_RATIO * table.residual(steps, density()) * domain.cell
        if self.lpt_table is not None:
            lpt = self.lpt_table.by_count[self.lpt_table.counts[-1]]
            share = np.array([MAX_RATIO_TO_LPT, *np.ones(len(steps) - 1)])
            return share * lpt.residual(steps, density()) * domain.cell
        return np.full(len(steps), np.inf)


COLA = Method("cola")
P3M_MESH = 2
"""Mesh of a P3M reference in those of the particle lattice, where the run has no P3M of its own."""
BULLFROG_REFERENCE = 64
"""Steps of a BullFrog reference, where nothing else is said."""


def choose_methods(config: Config, own_frame: bool = False) -> tuple[tuple[Method, ...], list[str]]:
    """What to try, in this order, the next where a force rejects the frame; and warnings.

    An emulator that is not what it should be gives way to 2LPT, and so do fitted steps to explicit
    ones. The last one is never rejected. The user's own frame, for which nothing is fitted, is
    treated as an emulator's.

    Raises
    ------
    ConfigError
        The method's table does not serve the configuration.
    """
    match config.method:
        case "nbody":
            return (Method("nbody"),), _nbody_remarks(config)
        case "fitted":
            table = "lpt_3x" if config.mesh == 3 * config.particles else "lpt"
            return (_fitted(config, config.table or fitted_table.shipped(table)), COLA), []
        case "coca":
            return _coca(config, own_frame)
    return (Method(config.method),), []


def _nbody_remarks(config: Config) -> list[str]:
    """A warning of long steps that do not converge."""
    count = config.force_evaluations
    if count == "auto" or count >= LONG_STEPS:
        return []
    return [
        f"force_evaluations: found {count} long steps of N-body, wanted auto, or {LONG_STEPS} and "
        "more, for a converged run"
    ]


def _fitted(config: Config, path: Path) -> Method:
    """Fitted steps in the frame of 2LPT; errors as in `choose_methods`."""
    return Method("fitted", table=_checked(config, FittedSteps.load(path), "lpt"))


def _coca(config: Config, own_frame: bool) -> tuple[tuple[Method, ...], list[str]]:
    """COCA, with what it gives way to, whose truth is its own; errors as in `choose_methods`."""
    table, remarks = _emulator_table(config, own_frame)
    lpt_table = FittedSteps.load(fitted_table.shipped("lpt_pm"))
    coca = Method("coca", table, GAIN, lpt_table)
    if table is not None and table.truth == "nbody":
        lpt_table = FittedSteps.load(fitted_table.shipped("lpt"))
    if _obstacle(config, lpt_table) is not None:
        return (coca, COLA), remarks
    return (coca, Method("fitted", table=lpt_table), COLA), remarks


def _emulator_table(config: Config, own_frame: bool) -> tuple[FittedSteps | None, list[str]]:
    """The fitted steps in the emulator's frame, if they serve; else why not, and what it costs."""
    if config.table is not None:
        return _checked(config, FittedSteps.load(config.table), "emulator"), []
    if config.force_evaluations == 0:
        return None, []
    if own_frame or config.emulator.weights is not None:
        reason = "emulator: no table of steps is fitted with it (coca fit makes one)"
        return None, [f"{reason}; {GAIN_COST}"]
    table = FittedSteps.load(fitted_table.shipped("emulator"))
    obstacle = _obstacle(config, table)
    if obstacle is None:
        return table, []
    to_pm = FittedSteps.load(fitted_table.shipped("emulator_pm"))
    obstacle_to_pm = _obstacle(config, to_pm)
    if obstacle_to_pm is None:
        return to_pm, [f"{obstacle} that end at N-body; {TO_PM_COST}"]
    return None, [f"{obstacle_to_pm}; {GAIN_COST}"]


def _checked(config: Config, table: FittedSteps, frame: str) -> FittedSteps:
    """A table, if it serves; errors as in `choose_methods`."""
    if table.frame != frame:
        raise ConfigError(
            f"table: found one of frame {table.frame}, wanted one of frame {frame} with method: "
            f"{config.method}"
        )
    obstacle = _obstacle(config, table)
    if obstacle is not None:
        raise ConfigError(
            f"{obstacle} with method: {config.method}; methods cola and bullfrog take any"
        )
    return table


def _obstacle(config: Config, table: FittedSteps) -> str | None:
    """Why fitted steps cannot serve a run, if so: the key, what was found and what is wanted."""
    if config.mesh != table.refinement * config.particles:
        wanted = table.refinement * config.particles
        return f"mesh: found {config.mesh}, wanted {wanted} for fitted steps"
    if config.solver != "pm":
        return f"force.solver: found {config.solver}, wanted pm for fitted steps"
    if config.force.deconvolve:
        return "force.deconvolve: found true, wanted false for fitted steps"
    count = config.force_evaluations
    if count not in ("auto", 0, *table.counts):
        fitted = ", ".join(map(str, (0, *table.counts)))
        return f"force_evaluations: found {count}, wanted one of {fitted} for fitted steps"
    return None
