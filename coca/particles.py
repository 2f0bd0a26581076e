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


def into_box(x: np.ndarray, box_size: float, out: np.ndarray | None = None) -> np.ndarray:
    """Positions float32 in [0, box_size), of positions anywhere; round-off leaves none at box_size
    itself."""
    L = np.float32(box_size)
    x = np.mod(x, L, out=out)
    x[x >= L] = 0.0
    return x
