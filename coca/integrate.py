"""Drift and kick in a frame of reference.

The state is the residual of the motion in the frame, e = x - x_F and w = v - v_F with
v = dx/dD. It obeys

    de/dD = w,   dw/dD = -c D w - s,   s(x, D) = c [D v_F + g(x)] + a_F,

where s, the residual acceleration, is how wrong the frame is, measured by true gravity.
A frame at rest gives the plain equations of motion, whose velocity BullFrog and FastPM kick
with weights of their own.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

import kernels.particles
from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.force import Acceleration
from coca.frames import Frame
from coca.schemes import Step

Force = Callable[[np.ndarray, bool, np.ndarray], Acceleration]
"""Called with positions, whether the density is wanted too, and where to write g: see
`coca.force.ParticleMesh`."""


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


def initial_state(start: Frame, frame: Frame, D: float) -> State:
    """Residual at the start of particles that leave on the trajectories of frame `start`."""
    if start is frame:
        e, w = (np.zeros((3, frame.n_particles), np.float32) for _ in range(2))
        return State(e, w, D, D)
    e, w = start.displacement(D), start.velocity(D)
    frame.add(D, (-1.0, 0.0, 0.0), e)
    frame.add(D, (0.0, -1.0, 0.0), w)
    return State(e, w, D, D)


def drift(state: State, D: float) -> None:
    """Move the residual to `D` at its present velocity, taken at either end of the drift, unless
    it is there already."""
    if state.D_e == state.D_w == D:
        return
    if state.D_w not in (state.D_e, D):
        raise ValueError(f"drift from {state.D_e} to {D} with the velocity of {state.D_w}")
    kernels.particles.axpy(D - state.D_e, state.w.reshape(-1), state.e.reshape(-1))
    state.D_e = D


def kick(state: State, step: Step, rule: Kick, acceleration: Acceleration) -> Evaluation | None:
    """Advance the residual velocity over `step` with the force at its middle."""
    if (state.D_w, state.D_e) != (step.D0, step.D_mid):
        raise ValueError(f"kick of {step} with velocity at {state.D_w}, force at {state.D_e}")
    evaluation = rule(state, step, acceleration)
    state.D_w = step.D1
    if rule.moves:
        state.D_e = step.D1
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
    on_step: Callable[[], None] = lambda: None,
) -> Iterator[Snapshot]:
    """Follow the particles through `steps` and yield snapshots at `outputs`.

    A snapshot inside a step is the cubic Hermite interpolant of the residual between the
    step's ends, so the number of force evaluations does not depend on the outputs.

    Parameters
    ----------
    domain : Domain
    frame : Frame
    force : callable
        See `Force`.
    rule : Kick
    steps : sequence of Step
        Without steps the particles follow the frame itself.
    state : State
        At the start of the first step; advanced in place, and the last snapshot takes its
        memory.
    outputs : sequence of float
        Growth factors in increasing order, within the steps.
    on_evaluation : callable, optional
        Called after each force evaluation with what it showed.
    on_step : callable, optional
        Called after each step but the last, when its snapshots have been taken.

    Yields
    ------
    Snapshot
    """
    if not steps:
        for D in outputs:
            yield Snapshot(D, frame.displacement(D), frame.velocity(D))
        return
    pending, x = list(outputs), np.empty_like(state.e)
    for step in steps:
        inside = [D for D in pending if D <= step.D1 or step is steps[-1]]
        pending = pending[len(inside) :]
        between = any(D < step.D1 for D in inside)
        before = copy.deepcopy(state) if between else state
        drift(state, step.D_mid)
        frame.add(step.D_mid, (1.0, 0.0, 0.0), domain.add_lattice(state.e, out=x))
        rule.aim(x)
        acceleration = force(x, rule.needs_density, x)
        on_evaluation(kick(state, step, rule, acceleration))
        drift(state, step.D1)
        for D in inside:
            if D < step.D1:
                residual = hermite(before, state, D)
            elif step is steps[-1]:
                residual = state.e, state.w  # nobody needs them any more
            else:
                residual = state.e.copy(), state.w.copy()
            yield _snapshot(frame, D, *residual)
        if step is not steps[-1]:
            on_step()


def _snapshot(frame: Frame, D: float, e: np.ndarray, w: np.ndarray) -> Snapshot:
    """Particles with a residual in a frame; the residual's memory is used."""
    frame.add(D, (1.0, 0.0, 0.0), e)
    frame.add(D, (0.0, 1.0, 0.0), w)
    return Snapshot(D, e, w)


def hermite(before: State, after: State, D: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacement and velocity at `D` on the cubic through both states."""
    H = after.D_e - before.D_e
    t = (D - before.D_e) / H
    rise, slope = t**2 * (3 - 2 * t), 6 * t * (1 - t) / H
    weights_e = (1 - rise, H * t * (1 - t) ** 2, rise, H * t**2 * (t - 1))
    weights_w = (-slope, (1 - t) * (1 - 3 * t), slope, t * (3 * t - 2))
    e, w = np.zeros_like(after.e), np.zeros_like(after.w)
    fields = (before.e, before.w, after.e, after.w)
    for out, weights in ((e, weights_e), (w, weights_w)):
        kernels.particles.add_terms(fields, np.array(weights, np.float32), out)
    return e, w
