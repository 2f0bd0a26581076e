"""What a force evaluation does to the particles, and what it shows of the frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

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


class Kick(ABC):
    """What a force evaluation does to the residual; by default particles go straight on to where
    the force is wanted, and nothing is remembered."""

    needs_density = False
    moves = False
    """Whether the displacement too is taken to the step's end."""

    def __init__(self) -> None:
        self.memory: dict[str, np.ndarray] = {}
        """What is remembered from step to step, and kept in checkpoints."""

    def aim(self, x: np.ndarray) -> None:  # noqa: B027 - going straight on is a fair default
        """Move positions (3, N) in the middle of a step, which particles have come to straight on,
        to where the force is wanted."""

    def measure(self, state: State, step: Step, acceleration: Acceleration) -> Acceleration:
        """What the force in the middle of a step tells of the residual, in the memory of g."""
        return acceleration

    def read_out(self, state: State, step: Step, measured: Acceleration) -> None:  # noqa: B027
        """Note where particles are seen at the step's end, if elsewhere than where they go on, or
        where they would go on from the last step's; `state` stays."""

    def seen(self, D: float) -> State | None:
        """Where particles are seen at D, if `read_out` noted it."""
        return None

    def goes_on(self, D: float) -> State | None:
        """Where particles would go on from the last step's end D, if `read_out` noted it."""
        return None

    @abstractmethod
    def advance(self, state: State, step: Step, measured: Acceleration) -> Evaluation | None:
        """Take the residual to the step's end; `coca.integration.integrate.kick` stamps it."""


class VelocityKick(Kick):
    """v <- alpha v - beta g: BullFrog and FastPM, in the frame at rest."""

    def advance(self, state: State, step: Step, measured: Acceleration) -> None:
        """Kick the velocity."""
        kernels.particles.linear_kick(state.w, measured.g, step.alpha, step.beta)


class FrameKick(Kick):
    """A kick of the residual in a frame, of which the force shows how wrong it is.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    frame : Frame
    """

    needs_density = True

    def __init__(self, domain: Domain, cosmology: Cosmology, frame: Frame):
        super().__init__()
        self.domain, self.cosmology, self.frame = domain, cosmology, frame

    def measure(self, state: State, step: Step, acceleration: Acceleration) -> Acceleration:
        """The residual acceleration over c, s / c, in the place of g."""
        D = step.D_mid
        self.frame.add(D, (0.0, D, 1.0 / self.cosmology.c(D)), acceleration.g)
        return acceleration

    def evaluation(self, step: Step, sums: tuple[float, float]) -> Evaluation:
        """What the force showed, from this process's sums of |s / c|^2 and of
        |s / c / (1 + kappa (H/2)^2)|^2."""
        H, c = step.D1 - step.D0, self.cosmology.c(step.D_mid)
        residual, error = (
            c * float(np.sqrt(self.domain.sum(value) / self.domain.particles)) for value in sums
        )
        return Evaluation(step.D_mid, H, residual, 0.25 * H**2 * error)


class ResidualKick(FrameKick):
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

    def __init__(self, domain: Domain, cosmology: Cosmology, frame: Frame, gain: float):
        super().__init__(domain, cosmology, frame)
        self.gain = gain

    def advance(self, state: State, step: Step, measured: Acceleration) -> Evaluation:
        """Kick the residual velocity; say what the force showed."""
        H, c = step.D1 - step.D0, self.cosmology.c(step.D_mid)
        sums = kernels.particles.residual_kick(
            state.w,
            measured.g,
            measured.delta,
            step.alpha,
            c * step.beta,
            c / 3.0 * 0.25 * H**2,
            self.gain * H,
        )
        return self.evaluation(step, sums)
