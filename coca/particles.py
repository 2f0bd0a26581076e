"""Particles at one time: the state of the integrator, and snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from coca import kernels


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
    slopes: tuple[np.ndarray, np.ndarray] | None = None
    """dx/dD, as `vel`, of the way from the step's start to here at both ends of it, where that is
    not the cubic through the velocities, and was asked for."""


def hermite_weights(t: float, H: float) -> tuple[np.ndarray, np.ndarray]:
    """What (x, v) at the start and (x, v) at the end of a time H weigh in the position, and in the
    velocity, after a part t of it on the cubic through both."""
    rise, slope = t**2 * (3 - 2 * t), 6 * t * (1 - t) / H
    of_position = (1 - rise, H * t * (1 - t) ** 2, rise, H * t**2 * (t - 1))
    of_velocity = (-slope, (1 - t) * (1 - 3 * t), slope, t * (3 * t - 2))
    return np.array(of_position), np.array(of_velocity)


def hermite(before: State, after: State, D: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacement and velocity at `D` on the cubic through both states."""
    H = after.D_e - before.D_e
    e, w = np.zeros_like(after.e), np.zeros_like(after.w)
    fields = (before.e, before.w, after.e, after.w)
    for out, weights in zip((e, w), hermite_weights((D - before.D_e) / H, H), strict=True):
        kernels.particles.add_terms(fields, weights.astype(np.float32), out)
    return e, w


def into_box(x: np.ndarray, box_size: float, out: np.ndarray | None = None) -> np.ndarray:
    """Positions float32 in [0, box_size), of positions anywhere; round-off leaves none at box_size
    itself."""
    L = np.float32(box_size)
    x = np.mod(x, L, out=out)
    x[x >= L] = 0.0
    return x
