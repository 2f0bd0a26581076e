"""How the residual in a frame is integrated, and what to do when a force refutes the frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from coca.configuration.run import Config, ForceConfig
from coca.cosmology.background import Cosmology
from coca.errors import ConfigError
from coca.frames import Frame
from coca.integration import fitted_table, schemes
from coca.integration.fitted_kick import FittedKick
from coca.integration.fitted_table import FittedSteps
from coca.integration.kicks import Kick, ResidualKick, VelocityKick
from coca.integration.schemes import Step
from coca.parallel.domain import Domain

DISTRUST = 3.0
"""A residual this many times the largest of the fit means another frame than the fitted one."""
USELESS = 0.75
"""With a residual above this share of 2LPT's in many steps, fitted steps of 2LPT do better than a
frame with the gain. It is asked of the first force, where particles are still on the frame: the
shipped emulator's are 0.35 to 0.7. Later, when errors of the steps add to it, up to 0.87, the share
is one."""


class FrameRefuted(Exception):
    """A force has shown that the frame is not what its method takes it for."""


@dataclass(frozen=True)
class Method:
    """A frame with an integrator and its kicks."""

    frame: str
    """As `frame` of the configuration."""
    integrator: str
    """A scheme of `coca.integration.schemes`."""
    exponent: float = 1.0
    """Of the steps that are not fitted."""
    table: FittedSteps | None = None
    """Fitted steps for the numbers of evaluations that it knows."""
    gain: float = 0.0
    """Strength of the resolved gain where nothing is fitted; 0 for explicit kicks."""
    yardstick: FittedSteps | None = None
    """2LPT's fitted steps, whose residuals a frame without fitted steps has to beat."""

    def sub_steps(self, count: int | Literal["auto"]) -> bool:
        """Whether this number of force evaluations has sub-steps, see `coca.integration.substeps`; or some."""
        phases = self.table.phases if self.table else {}
        return bool(phases) if count == "auto" else count in phases

    def fitted(self, count: int) -> FittedSteps | None:
        """The table, if it serves this number of force evaluations."""
        return self.table if self.table and count in self.table.counts else None

    def describe(self, count: int | None = None) -> str:
        """In words, for a number of evaluations or in general."""
        if self.integrator != "residual":
            return f"{self.frame} frame, {self.integrator}"
        if self.fitted(count) if count is not None else self.table:
            return f"{self.frame} frame, fitted steps"
        return f"{self.frame} frame, " + (f"gain {self.gain:g}" if self.gain else "explicit kicks")

    def steps(self, cosmology: Cosmology, D_start: float, D_end: float, count: int) -> list[Step]:
        """The steps of `count` force evaluations."""
        table, scheme = self.fitted(count), getattr(schemes, self.integrator)
        own = schemes.power_fractions(count, self.exponent)
        fractions = table.fractions[count] if table else own
        return scheme(cosmology, schemes.edges(D_start, D_end, fractions))

    def rule(
        self,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        steps: list[Step],
        nonlinearity: Callable[[], float],
    ) -> Kick:
        """What a force evaluation does to the particles.

        Parameters
        ----------
        domain : Domain
        cosmology : Cosmology
        frame : Frame
        steps : list of Step
        nonlinearity : callable
            Gives that of `coca.integration.fitted_kick.nonlinearity`, for which methods with a table ask.
        """
        if self.integrator != "residual":
            return VelocityKick()
        table = self.fitted(len(steps))
        if table is None:
            return ResidualKick(domain, cosmology, frame, self.gain)
        return FittedKick(domain, cosmology, frame, table, steps, nonlinearity())

    def limits(
        self, domain: Domain, steps: list[Step], nonlinearity: Callable[[], float]
    ) -> np.ndarray:
        """Rms residual acceleration of each step, Mpc/h, above which the frame is refuted;
        `nonlinearity` as for `rule`."""
        if not steps:
            return np.empty(0)
        table = self.fitted(len(steps))
        if table is not None:
            return DISTRUST * table.residual(steps, nonlinearity(), len(steps)) * domain.cell
        if self.yardstick is not None:
            most = self.yardstick.counts[-1]
            share = np.array([USELESS, *np.ones(len(steps) - 1)])
            return share * self.yardstick.residual(steps, nonlinearity(), most) * domain.cell
        return np.full(len(steps), np.inf)


def choose_methods(config: Config, own_frame: bool = False) -> tuple[Method, ...]:
    """What to try, in this order: the next where a force refutes the frame.

    An emulator that is not what it should be gives way to 2LPT, and so do fitted steps to
    explicit ones. The last one is never refuted. The user's own frame, for which nothing is fitted,
    is treated as an emulator's.

    Raises
    ------
    ConfigError
        Fitted steps are asked for that cannot be.
    """
    options, exponent = config.integrator, config.integrator.step_exponent or 1.0
    if options.kick in ("gain", "explicit") and options.table is not None:
        raise ConfigError(
            f"integrator.table: found {options.table}, wanted none with kick: {options.kick}"
        )
    if options.method != "residual":
        if options.kick != "auto" or options.table is not None:
            raise ConfigError(
                f"integrator: found method: {options.method} with a kick or a table, which are "
                "those of method: residual"
            )
        return (Method(config.frame, options.method, exponent),)
    table = _table(config, own_frame)
    fall_back = config.frame == "emulator" and options.kick in ("auto", "fitted")
    gain = options.gain if options.kick == "gain" or fall_back else 0.0
    first = Method(config.frame, "residual", exponent, table, gain)
    if config.frame == "rest" or (config.frame == "lpt" and table is None):
        return (first,)
    plain = Method("lpt", "residual", exponent)
    if config.frame == "lpt":
        return first, plain
    lpt = FittedSteps.load(fitted_table.shipped("lpt"))
    first = replace(first, yardstick=lpt)
    if _obstacle(config, lpt) is not None:
        return first, plain
    return first, Method("lpt", "residual", exponent, lpt), plain


def _table(config: Config, own_frame: bool) -> FittedSteps | None:
    """The fitted steps of this run, if it asks for them or they serve it."""
    kick, path = config.integrator.kick, config.integrator.table
    if kick in ("gain", "explicit"):
        return None
    own_network = own_frame or (config.emulator.weights is not None and path is None)
    table, obstacle = None, None
    if config.frame == "rest":
        obstacle = "frame: lpt or emulator, found rest"
    elif config.frame == "emulator" and own_network:
        obstacle = "a table fitted with these emulator.weights"
    else:
        table = FittedSteps.load(path or fitted_table.shipped(config.frame))
        obstacle = _obstacle(config, table)
        if table.frame != config.frame:
            obstacle = f"a table of frame: {config.frame}, found one of {table.frame}"
    if obstacle is None:
        return table
    if kick == "fitted" or path is not None:
        raise ConfigError(f"integrator.kick: fitted steps need {obstacle}")
    return None


def _obstacle(config: Config, table: FittedSteps) -> str | None:
    """Why fitted steps cannot serve a run, if so."""
    if config.mesh != 2 * config.particles:
        return f"a mesh of twice the particles, found {config.mesh}"
    if config.force.solver != ForceConfig().solver:
        return f"the default force, found {config.force.solver}"
    if config.integrator.step_exponent is not None:
        return f"no step_exponent of its own, found {config.integrator.step_exponent:g}"
    count = config.force_evaluations
    if count not in ("auto", 0, *table.counts):
        return f"force_evaluations from 1 to {table.counts[-1]}, found {count}"
    return None
