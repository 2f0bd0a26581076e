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

from typing import NamedTuple

import numpy as np

import kernels.orbits
import kernels.particles
from coca import schemes
from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.flow import Neighbourhood
from coca.force import Acceleration
from coca.frames import Frame
from coca.integrate import State
from coca.schemes import Step
from kernels.fitted import RAMP

GROWTH = 2.0
"""Of the acceleration with D at one place in a halo."""
LEAST_DENSITY = 3.0
"""In 1 + delta, of particles with sub-steps."""
ON_FRAME = 0.01
"""Residual, in spacings, of particles that follow their frame without sub-steps."""


class Orbits(NamedTuple):
    """What sub-steps change for M particles, arrays (3, M) float32 in Mpc/h."""

    who: np.ndarray
    """Which particles, (M,) int64."""
    e: np.ndarray
    """To add to what the explicit step gives at its end, displacement."""
    w: np.ndarray
    """And velocity."""
    ahead: np.ndarray
    """To add to the straight way from there to the middle of the next step; (3, 0) after the
    last."""

    def add_to(self, state: State) -> None:
        """Add to what the explicit step gave."""
        kernels.orbits.add_at(self.e, self.who, state.e)
        kernels.orbits.add_at(self.w, self.who, state.w)


def nobody() -> Orbits:
    """Of no particle."""
    nothing = np.empty((3, 0), np.float32)
    return Orbits(np.empty(0, np.int64), nothing, nothing, nothing)


def follow(
    domain: Domain,
    cosmology: Cosmology,
    frame: Frame,
    state: State,
    steps: list[Step],
    step: Step,
    acceleration: Acceleration,
    phase: float | None,
) -> Orbits:
    """Follow the particles that need it through a step and to the middle of the next, if any.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    frame : Frame
    state : State
        e drifted straight to the middle of the step, w at its start.
    steps : list of Step
        All of the run, of `coca.schemes.residual`.
    step : Step
        The one to take.
    acceleration : Acceleration
        Of the middle, with s / c in the place of g, and the density.
    phase : float, optional
        Squared phase beyond which particles have sub-steps; by default none have.
    """
    if phase is None:
        return nobody()
    read = acceleration.at
    if read is None:
        raise ValueError("sub-steps need a force that can be read elsewhere")
    H, c = step.D1 - step.D0, cosmology.c(step.D_mid)
    least = max(LEAST_DENSITY, phase / (c / 3.0 * 0.25 * H**2))
    s_c, delta = acceleration.g, acceleration.delta
    who = kernels.orbits.above(delta, (1.0 - RAMP) * least - 1.0, domain.lattice)
    if domain.sum(len(who)) == 0:
        return nobody()
    e, w, s = (kernels.orbits.picked(field, who) for field in (state.e, state.w, s_c))
    squares = sum(f**2 * np.einsum("cp,cp->p", a, a) for f, a in ((1, e), (H, w), (H**2 * c, s)))
    share = _share(squares, 1.0 + delta[who], least, domain.cell)
    part = frame.part(who)
    x, v = e - np.float32(step.D_mid - step.D0) * w, w.copy()
    domain.add_lattice_points(x, who)
    part.add(step.D0, (1.0, 0.0, 0.0), x)
    part.add(step.D0, (0.0, 1.0, 0.0), v)
    near = Neighbourhood(domain, x + np.float32(step.D_mid - step.D0) * v, share)
    flow = near.mean(v)
    where = np.empty_like(x)

    def go(first: float, last: float) -> None:
        """Take x and v through a sub-step."""
        middle, half = 0.5 * (first + last), 0.5 * (last - first)
        kernels.orbits.drift(x, v, half, flow, middle - step.D_mid, where)
        g = read(where)
        (sub_step,) = schemes.residual(cosmology, np.array([first, last]))
        impulse = sub_step.beta * cosmology.c(middle) * (middle / step.D_mid) ** GROWTH
        kernels.particles.linear_kick(v, g, sub_step.alpha, impulse)
        kernels.particles.axpy(half, v.reshape(-1), x.reshape(-1))

    go(step.D0, step.D_mid)
    go(step.D_mid, step.D1)
    # what the explicit step gives them, and the straight way on from where they are
    w = np.float32(step.alpha) * w - np.float32(c * step.beta) * s
    e += np.float32(step.D1 - step.D_mid) * w
    domain.add_lattice_points(e, who)
    part.add(step.D1, (1.0, 0.0, 0.0), e)
    part.add(step.D1, (0.0, 1.0, 0.0), w)
    change = np.empty((6 if step is steps[-1] else 9, len(who)), np.float32)
    np.subtract(x, e, out=change[:3])
    np.subtract(v, w, out=change[3:6])
    del e, w, s
    if step is not steps[-1]:
        D = steps[steps.index(step) + 1].D_mid
        straight = x + np.float32(D - step.D1) * v
        part.add(step.D1, (-1.0, step.D1 - D, 0.0), straight)
        part.add(D, (1.0, 0.0, 0.0), straight)
        go(step.D1, D)
        np.subtract(x, straight, out=change[6:])
        del straight
    change -= near.mean(change)
    change *= share
    return Orbits(who, change[:3], change[3:6], change[6:])


def _share(squares: np.ndarray, density: np.ndarray, least: float, cell: float) -> np.ndarray:
    """How much of its sub-steps each particle takes, (M,) float32: none to all within RAMP of the
    least density, so that round-off moves no particle far, and none whose squared residual
    vanishes."""
    rise = np.clip((density / np.float32(least) - (1.0 - RAMP)) / (2.0 * RAMP), 0.0, 1.0)
    return (rise * squares / (squares + (ON_FRAME * cell) ** 2)).astype(np.float32)
