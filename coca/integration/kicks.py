"""What a force evaluation does to the particles, and what it shows of the frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.frames import Frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration.schemes import Step
from coca.parallel.domain import Domain
from coca.particles import State


class Evaluation(NamedTuple):
    """What one force evaluation showed of the frame's error."""

    D: float
    step: float
    """Length in D of the step it served."""
    residual_rms: float
    """Rms residual acceleration |s| over particles, Mpc/h."""
    error_rms: float
    """Rms displacement |s| (H/2)^2 / (1 + kappa (H/2)^2) that the residual acceleration stands
    for, Mpc/h: s / kappa where the local frequency is not resolved by the step H, the
    displacement it causes in half a step where it is."""


class Kick(Protocol):
    """What a force evaluation does to the residual."""

    needs_density: bool
    moves: bool
    """Whether the displacement too is taken to the step's end."""

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """What it remembers from step to step."""

    def aim(self, x: np.ndarray) -> None:
        """Move positions (3, N) in the middle of a step, which particles have come to straight on,
        to where the force is wanted."""

    def __call__(self, state: State, step: Step, acceleration: Acceleration) -> Evaluation | None:
        """Kick; `kick` stamps the state."""


class VelocityKick:
    """v <- alpha v - beta g: BullFrog and FastPM, in the frame at rest."""

    needs_density = False
    moves = False

    def __init__(self) -> None:
        self.memory: dict[str, np.ndarray] = {}

    def aim(self, x: np.ndarray) -> None:
        """Straight on is right."""

    def __call__(self, state: State, step: Step, acceleration: Acceleration) -> None:
        """Kick the velocity."""
        kernels.particles.linear_kick(state.w, acceleration.g, step.alpha, step.beta)


@dataclass(frozen=True)
class ResidualKick:
    """w <- G_w alpha w - G_s beta s, with a gain G for each particle.

    In haloes the orbital time is shorter than the step, and a full kick would throw particles
    out. With kappa = c (1 + delta) / 3, the local frequency squared, and x = gain H kappa (H/2)^2
    for a step H in D, G_s = 1 / (1 + x) and G_w = 1 / (1 + x^(3/2)). Both go to one fast enough
    for the step to stay of second order. The factor H makes long steps trust the frame more
    than the squared phase kappa (H/2)^2 alone would; docs/accuracy.md has the measurements.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    frame : Frame
    gain : float
        Strength of the gain; 0 gives explicit kicks.
    """

    domain: Domain
    cosmology: Cosmology
    frame: Frame
    gain: float
    memory: dict[str, np.ndarray] = field(default_factory=dict, init=False)
    needs_density = True
    moves = False

    def aim(self, x: np.ndarray) -> None:
        """Straight on is right."""

    def __call__(self, state: State, step: Step, acceleration: Acceleration) -> Evaluation:
        """Kick the residual velocity, turning g into s / c; say what the force showed."""
        D, H, c = step.D_mid, step.D1 - step.D0, self.cosmology.c(step.D_mid)
        s_c = acceleration.g
        self.frame.add(D, (0.0, D, 1.0 / c), s_c)
        squared_phase = c / 3.0 * 0.25 * H**2
        sums = kernels.particles.residual_kick(
            state.w,
            s_c,
            acceleration.delta,
            step.alpha,
            c * step.beta,
            squared_phase,
            self.gain * H,
        )
        return evaluation_of(self.domain, step, c, sums)


def evaluation_of(domain: Domain, step: Step, c: float, sums: tuple[float, float]) -> Evaluation:
    """The evaluation from this process's sums of |s / c|^2 and |s / c / (1 + kappa (H/2)^2)|^2."""
    H = step.D1 - step.D0
    residual, error = (c * float(np.sqrt(domain.sum(value) / domain.particles)) for value in sums)
    return Evaluation(step.D_mid, H, residual, 0.25 * H**2 * error)
