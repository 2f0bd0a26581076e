"""Velocities within haloes, which are read out larger than they are carried on.

The mean velocity of particles that look alike has less spread than they have: haloes of such are
too cold. A factor on all of a velocity would heat them and speed up the haloes as a whole. So the
velocity relative to the mean of what is near, v - <v>, is read out times 1 + h, with h from a fit
(`coca.step_fitting.read_out`) for each density.
"""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.frames import Frame
from coca.integration.neighbourhood import Neighbourhood
from coca.parallel.domain import Domain
from coca.particles import State

DENSITIES = np.array([7, 12, 20, 35, 70, 150], np.float32)
"""1 + delta at which h is known; none is at the first, and it stays beyond the last."""


def heat(domain: Domain, frame: Frame, state: State, delta: np.ndarray, h: np.ndarray) -> None:
    """Add h (v - <v>) to the velocities of a state at one growth factor.

    Parameters
    ----------
    domain : Domain
    frame : Frame
    state : State
        With e and w at one growth factor; w is changed.
    delta : array (N,) float32
        Density contrast at the particles.
    h : array (5,)
        At `DENSITIES` but the first.
    """
    indices = dense_particles(domain, delta)
    if domain.sum(len(indices)) == 0:
        return
    rows, M = np.empty((len(indices), 6), np.float32), len(indices)
    x, sums = np.empty((3, M), np.float32), np.empty((M, 4), np.float32)
    derivatives = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    frame.gather([frame.weights(state.D_e, d) for d in derivatives], indices, rows)
    kernels.heating.pick(
        rows, indices, state.e, state.w, delta, domain.lattice, domain.first_plane, domain.cell,
        DENSITIES, x, sums,
    )  # fmt: skip
    near = Neighbourhood(domain, x).mean(sums, 3)
    strengths = np.concatenate([[0.0], h]).astype(np.float32)
    kernels.heating.warm(rows, near, indices, delta, DENSITIES, strengths, state.w)


def dense_particles(domain: Domain, delta: np.ndarray) -> np.ndarray:
    """Which particles are dense enough to be heated, array (M,) int64."""
    return kernels.substeps.above(delta, DENSITIES[0] - 1.0, domain.lattice)


def share_of(delta: np.ndarray) -> np.ndarray:
    """Weights (M,) float32 of particles in means, which rise from the first of `DENSITIES` to the
    second."""
    low, high = np.log(DENSITIES[:2])
    return np.clip((np.log1p(delta) - low) / (high - low), 0.0, 1.0)


def rise(delta: np.ndarray) -> np.ndarray:
    """Weights (M, 5) of the values at `DENSITIES` but the first."""
    at, values = np.log(DENSITIES.astype(np.float64)), np.log1p(delta)
    rows = np.eye(len(at))[1:]
    return np.column_stack([np.interp(values, at, row) for row in rows])
