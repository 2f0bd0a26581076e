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
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from coca import kernels
from coca.cosmology.background import NEARBY
from coca.frames import Frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration.inside_steps import End, Way
from coca.integration.kicks import Evaluation, Kick
from coca.integration.schemes import Step
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State

Force = Callable[[np.ndarray, bool, np.ndarray], Acceleration]
"""Called with positions, whether the density is wanted too, and where to write g: see
`coca.gravity.particle_mesh.ParticleMesh`."""


class Integrator(Protocol):
    """Follows particles from step to step."""

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """What it remembers from step to step, and checkpoints keep."""

    def follow(
        self,
        steps: Sequence[Step],
        state: State,
        outputs: Sequence[float],
        on_evaluation: Callable[[Evaluation | None], None],
        on_step: Callable[[], None],
    ) -> Iterator[Snapshot]:
        """Snapshots at `outputs`; arguments as for `integrate`."""


@dataclass(frozen=True)
class KickIntegrator:
    """Drift and kick with one force a step."""

    domain: Domain
    frame: Frame
    force: Force
    rule: Kick
    slopes: bool = False
    """Whether snapshots at the ends of steps have slopes."""

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """What the kick remembers."""
        return self.rule.memory

    def follow(
        self,
        steps: Sequence[Step],
        state: State,
        outputs: Sequence[float],
        on_evaluation: Callable[[Evaluation | None], None],
        on_step: Callable[[], None],
    ) -> Iterator[Snapshot]:
        """Snapshots at `outputs`; arguments as for `integrate`."""
        return integrate(
            self.domain, self.frame, self.force, self.rule, steps, state, outputs, on_evaluation,
            on_step, self.slopes,
        )  # fmt: skip


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


def measure(
    domain: Domain, frame: Frame, force: Force, rule: Kick, state: State, step: Step, x: np.ndarray
) -> Acceleration:
    """Drift to the middle of a step, and take there what the rule measures by the force.

    Parameters are as in `integrate`, with the array (3, N) that positions and acceleration are
    written to.
    """
    drift(state, step.D_mid)
    frame.add(step.D_mid, (1.0, 0.0, 0.0), domain.add_lattice(state.e, out=x))
    rule.aim(x)
    return rule.measure(state, step, force(x, rule.needs_density, x))


def kick(state: State, step: Step, rule: Kick, measured: Acceleration) -> Evaluation | None:
    """Advance the residual over `step` with what was measured at its middle."""
    if (state.D_w, state.D_e) != (step.D0, step.D_mid):
        raise ValueError(f"kick of {step} with velocity at {state.D_w}, force at {state.D_e}")
    evaluation = rule.advance(state, step, measured)
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
    slopes: bool = False,
) -> Iterator[Snapshot]:
    """Follow the particles through `steps` and yield snapshots at `outputs`.

    Snapshots inside a step are made of the residual at its ends, so the number of force evaluations
    does not depend on the outputs: by the cubic Hermite interpolant, unless the rule sees particles
    elsewhere than they go on, see `coca.integration.inside_steps`.

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
    slopes : bool
        Whether snapshots at the ends of steps have slopes, where they come on no cubic.

    Yields
    ------
    Snapshot
    """
    if not steps:
        for D in outputs:
            yield Snapshot(D, frame.displacement(D), frame.velocity(D))
        return
    pending, x = list(outputs), np.empty_like(state.e)
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        inside = [D for D in pending if D <= step.D1 or following is None]
        pending = pending[len(inside) :]
        between = any(slopes or D < step.D1 for D in inside)
        before = _end(rule, copy.deepcopy(state) if between else state, step.D0)
        measured = measure(domain, frame, force, rule, state, step, x)
        if between or (following and (inside or (pending and pending[0] < following.D1))):
            rule.read_out(state, step, measured)
        on_evaluation(kick(state, step, rule, measured))
        drift(state, step.D1)
        way = Way(domain, before, _end(rule, state, step.D1))
        yield from _snapshots(inside, frame, way, step, slopes, following is None)
        if following is not None:
            on_step()


def _end(rule: Kick, state: State, D: float) -> End:
    """Particles at the end of a step, which a rule may see elsewhere than they go on."""
    return End(rule.goes_on(D) or state, rule.seen(D) or state)


def _snapshots(
    outputs: Sequence[float], frame: Frame, way: Way, step: Step, slopes: bool, last: bool
) -> Iterator[Snapshot]:
    """Snapshots at outputs in a step or at its end, whose memory those of the last step take."""
    for D in outputs:
        if D + NEARBY < step.D1:
            yield _snapshot(frame, D, *way.at(D))
            continue
        seen = way.after.seen
        residual = (seen.e, seen.w) if last else (seen.e.copy(), seen.w.copy())
        ends = _slopes(frame, way, step) if slopes and not way.cubic else None
        yield _snapshot(frame, D, *residual, ends)


def _slopes(frame: Frame, way: Way, step: Step) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of the way of particles through a step, at its ends."""
    slopes = way.slopes()
    for D, slope in zip((step.D0, step.D1), slopes, strict=True):
        frame.add(D, (0.0, 1.0, 0.0), slope)
    return slopes


def _snapshot(
    frame: Frame,
    D: float,
    e: np.ndarray,
    w: np.ndarray,
    slopes: tuple[np.ndarray, np.ndarray] | None = None,
) -> Snapshot:
    """Particles with a residual in a frame; the residual's memory is used."""
    frame.add(D, (1.0, 0.0, 0.0), e)
    frame.add(D, (0.0, 1.0, 0.0), w)
    return Snapshot(D, e, w, slopes)
