"""Drift and kick in a frame of reference.

The state is the residual of the motion in the frame, e = x - x_F and w = v - v_F with
v = dx/dD. It obeys

    de/dD = w,   dw/dD = -c D w - s,   s(x, D) = c [D v_F + g(x)] + a_F,

where s, the residual acceleration, is how wrong the frame is, measured by true gravity.
A frame at rest gives the plain equations of motion, whose velocity BullFrog and FastPM kick
with weights of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import kernels.particles
from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.frames import Frame
from coca.schemes import Step

Force = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Positions (3, N) to acceleration g (3, N) and density contrast (N,) at the particles."""


@dataclass
class State:
    """Residual displacement and velocity, each stamped with the growth factor it belongs to."""

    e: np.ndarray
    """x - x_F, array (3, N) float32, Mpc/h."""
    w: np.ndarray
    """v - v_F, array (3, N) float32, Mpc/h."""
    D_e: float
    D_w: float


class Snapshot(NamedTuple):
    """All particles at one time, in Lagrangian order."""

    D: float
    disp: np.ndarray
    """x - q, array (3, N) float32, Mpc/h."""
    vel: np.ndarray
    """dx/dD, array (3, N) float32, Mpc/h."""


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


class VelocityKick:
    """v <- alpha v - beta g: BullFrog and FastPM, in the frame at rest."""

    def __call__(self, state: State, step: Step, g: np.ndarray, delta: np.ndarray) -> None:
        """Kick the velocity; the density contrast is not used."""
        kernels.particles.linear_kick(state.w, g, step.alpha, step.beta)


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

    def __call__(self, state: State, step: Step, g: np.ndarray, delta: np.ndarray) -> Evaluation:
        """Kick the residual velocity and say what the force showed."""
        c = self.cosmology.c(step.D_mid)
        s = self.frame.inertia(step.D_mid, c * step.D_mid)
        kernels.particles.axpy(c, g.reshape(-1), s.reshape(-1))
        H = step.D1 - step.D0
        quarter = 0.25 * H**2
        errors = kernels.particles.residual_kick(
            state.w, s, delta, step.alpha, step.beta, c / 3.0 * quarter, self.gain * H
        )
        error_rms = quarter * float(np.sqrt(self.domain.sum(errors) / self.domain.particles))
        return Evaluation(step.D_mid, H, self.domain.rms(s), error_rms)


Kick = VelocityKick | ResidualKick


def initial_state(start: Frame, frame: Frame, D: float) -> State:
    """Residual at the start of particles that leave on the trajectories of frame `start`."""
    e = start.displacement(D) - frame.displacement(D)
    return State(e, start.velocity(D) - frame.velocity(D), D, D)


def drift(state: State, D: float) -> None:
    """Move the residual to `D` at its present velocity, taken at either end of the drift."""
    if state.D_w not in (state.D_e, D):
        raise ValueError(f"drift from {state.D_e} to {D} with the velocity of {state.D_w}")
    kernels.particles.axpy(D - state.D_e, state.w.reshape(-1), state.e.reshape(-1))
    state.D_e = D


def kick(state: State, step: Step, rule: Kick, g: np.ndarray, delta: np.ndarray):
    """Advance the residual velocity over `step` with the force at its middle."""
    if (state.D_w, state.D_e) != (step.D0, step.D_mid):
        raise ValueError(f"kick of {step} with velocity at {state.D_w}, force at {state.D_e}")
    evaluation = rule(state, step, g, delta)
    state.D_w = step.D1
    return evaluation


def integrate(
    domain: Domain,
    frame: Frame,
    force: Force,
    rule: Kick,
    steps: Sequence[Step],
    state: State,
    outputs: Sequence[float],
    on_evaluation: Callable[[Evaluation | None], None] = lambda evaluation: None,
) -> Iterator[Snapshot]:
    """Follow the particles through `steps` and yield snapshots at `outputs`.

    A snapshot inside a step is the cubic Hermite interpolant of the residual between the
    step's ends, so the number of force evaluations does not depend on the outputs.

    Parameters
    ----------
    domain : Domain
    frame : Frame
    force : callable
        Positions to (g, delta).
    rule : VelocityKick or ResidualKick
    steps : sequence of Step
        Without steps the particles follow the frame itself.
    state : State
        At the start of the first step; advanced in place.
    outputs : sequence of float
        Growth factors in increasing order, within the steps.
    on_evaluation : callable, optional
        Called after each force evaluation with what it showed.

    Yields
    ------
    Snapshot
    """
    if not steps:
        for D in outputs:
            yield Snapshot(D, frame.displacement(D), frame.velocity(D))
        return
    pending = list(outputs)
    for step in steps:
        inside = [D for D in pending if D <= step.D1 or step is steps[-1]]
        pending = pending[len(inside) :]
        before = State(state.e.copy(), state.w.copy(), state.D_e, state.D_w) if inside else None
        drift(state, step.D_mid)
        disp = frame.displacement(step.D_mid)
        disp += state.e
        g, delta = force(domain.add_lattice(disp, out=disp))
        on_evaluation(kick(state, step, rule, g, delta))
        drift(state, step.D1)
        for D in inside:
            e, w = _hermite(before, state, D)
            yield Snapshot(D, frame.displacement(D) + e, frame.velocity(D) + w)


def _hermite(before: State, after: State, D: float) -> tuple[np.ndarray, np.ndarray]:
    """Residual and its derivative at `D` on the cubic through both states."""
    H = after.D_e - before.D_e
    t = (D - before.D_e) / H
    if t >= 1.0:
        return after.e, after.w
    e = (
        np.float32((1 + 2 * t) * (1 - t) ** 2) * before.e
        + np.float32(H * t * (1 - t) ** 2) * before.w
        + np.float32(t**2 * (3 - 2 * t)) * after.e
        + np.float32(H * t**2 * (t - 1)) * after.w
    )
    w = (
        np.float32(6 * t * (t - 1) / H) * (before.e - after.e)
        + np.float32((1 - t) * (1 - 3 * t)) * before.w
        + np.float32(t * (3 * t - 2)) * after.w
    )
    return e, w
