"""Sub-steps: particles whose orbits a step does not resolve, in the potential that stands still.

A force evaluation costs Fourier transforms; reading the potential that it leaves, at other
positions, costs little, and the less the fewer they are. So particles whose squared phase
y = c (1 + delta) / 3 (H/2)^2 is beyond what a step H in D resolves are taken through it, and on to
the middle of the next step, in sub-steps of half the length: haloes are where most of the error
of few steps is, and hold little of the mass.

The potential of a halo moves with it: it is read where the particle would be had the halo not
moved since the force was taken, by the mean velocity of such particles within two spacings or so.
It deepens like D^GROWTH. A halo in a potential that stands still would be held back by itself;
therefore the mean of what sub-steps change, by mass over the same neighbourhood, is taken out:
centres of mass move as the whole step says. docs/steps.md has what this gains.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.frames import Frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration import schemes
from coca.integration.neighbourhood import Neighbourhood
from coca.integration.schemes import Step
from coca.parallel.domain import Domain
from coca.particles import State

GROWTH = 2.0
"""Power of D with which the acceleration at one place in a halo grows."""
LEAST_DENSITY = 3.0
"""Least 1 + delta of particles with sub-steps."""
ON_FRAME = 0.01
"""Residual, in spacings, of particles that follow their frame without sub-steps."""


class SubStepChanges(NamedTuple):
    """What sub-steps change for M particles, arrays (3, M) float32 in Mpc/h."""

    indices: np.ndarray
    """Which particles, (M,) int64."""
    e: np.ndarray
    """What to add to the displacement that the explicit step gives at its end."""
    w: np.ndarray
    """What to add to the velocity there."""
    ahead: np.ndarray
    """What to add to the straight way from there to the middle of the next step, if there is
    one."""

    def add_to(self, state: State) -> None:
        """Add to what the explicit step gave."""
        kernels.substeps.add_at(self.e, self.indices, state.e)
        kernels.substeps.add_at(self.w, self.indices, state.w)


def no_substeps() -> SubStepChanges:
    """The changes of no particle."""
    nothing = np.empty((3, 0), np.float32)
    return SubStepChanges(np.empty(0, np.int64), nothing, nothing, nothing)


class SubStepper:
    """Follows the particles that need it through each step of a run, and to the middle of the next.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    frame : Frame
    steps : list of Step
        All of the run, of `coca.integration.schemes.residual`.
    threshold : float, optional
        Squared phase beyond which particles have sub-steps; by default none have.
    """

    def __init__(
        self,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        steps: list[Step],
        threshold: float | None,
    ):
        self._domain, self._frame, self._steps, self._threshold = domain, frame, steps, threshold
        halves = [D for step in steps for D in (step.D0, step.D_mid)] + [steps[-1].D1]
        self._halves = (
            schemes.residual(cosmology, np.array(halves)) if threshold is not None else []
        )
        self._c = cosmology.c(np.array([half.D_mid for half in self._halves]))

    def __call__(
        self, state: State, step: Step, acceleration: Acceleration, c: float
    ) -> SubStepChanges:
        """Follow them through a step.

        Parameters
        ----------
        state : State
            e drifted straight to the middle of the step, w at its start.
        step : Step
        acceleration : Acceleration
            Of the middle, with s / c in the place of g, and the density.
        c : float
            Of the equation of motion there.
        """
        if self._threshold is None:
            return no_substeps()
        read = acceleration.at
        if read is None:
            raise ValueError("sub-steps need a force that can be read elsewhere")
        H = step.D1 - step.D0
        least = max(LEAST_DENSITY, self._threshold / (c / 3.0 * 0.25 * H**2))
        ramp = kernels.fitted.RAMP
        bound = (1.0 - ramp) * least - 1.0
        indices = kernels.substeps.above(acceleration.delta, bound, self._domain.lattice)
        if self._domain.sum(len(indices)) == 0:
            return no_substeps()
        number = self._steps.index(step)
        D_next = self._steps[number + 1].D_mid if number + 1 < len(self._steps) else step.D1
        rows = np.empty((len(indices), kernels.substeps.ROW), np.float32)
        middle, sums = (
            np.empty((3, len(indices)), np.float32),
            np.empty((len(indices), 4), np.float32),
        )
        self._frame.gather(self._frame_weights(step, D_next), indices, rows)
        kernels.substeps.start(
            rows, indices, state.e, state.w, acceleration.g, acceleration.delta,
            self._domain.lattice, self._domain.first_plane, self._domain.cell,
            (step.D_mid - step.D0, step.D1 - step.D_mid), step.alpha, c * step.beta,
            (H, H**2 * c, (ON_FRAME * self._domain.cell) ** 2), (bound, 0.5 / (ramp * least)),
            middle, sums,
        )  # fmt: skip
        near = Neighbourhood(self._domain, middle)
        flow, where = near.mean(sums, 3), np.empty_like(middle)
        for half in (2 * number, 2 * number + 1):
            self._half_step(half, step, read, rows, flow, where)
        kernels.substeps.compare(rows, D_next - step.D1)
        if D_next > step.D1:
            self._half_step(2 * number + 2, step, read, rows, flow, where)
        sums = np.empty((len(indices), 12), np.float32)
        kernels.substeps.weigh(rows, sums)
        change = near.mean(sums, kernels.substeps.CHANGES)
        kernels.substeps.settle(rows, change)
        return SubStepChanges(indices, change[:3], change[3:6], change[6:])

    def _frame_weights(self, step: Step, D_next: float) -> list[np.ndarray]:
        """Weights of the frame's fields in the rows that `kernels.substeps.start` fills."""
        displacement, velocity = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
        ends = [self._frame.weights(D, what) for D in (step.D0, step.D1)
                for what in (displacement, velocity)]  # fmt: skip
        after = self._frame.weights(D_next, displacement)
        return [*ends, after - ends[2] - (D_next - step.D1) * ends[3]]

    def _half_step(
        self,
        number: int,
        step: Step,
        read: Callable[[np.ndarray], np.ndarray],
        rows: np.ndarray,
        flow: np.ndarray,
        where: np.ndarray,
    ) -> None:
        """Take particles through half a step, reading the potential of the middle of `step`."""
        half, c = self._halves[number], self._c[number]
        time = half.D_mid - half.D0
        kernels.substeps.drift(rows, time, flow, half.D_mid - step.D_mid, where)
        impulse = half.beta * c * (half.D_mid / step.D_mid) ** GROWTH
        kernels.substeps.kick(rows, read(where), half.alpha, impulse, time)
