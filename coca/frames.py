"""Frames of reference: smooth families of trajectories x_F(q, D) = q + disp(q, D).

The integrator knows of LPT and of the network only through this seam.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.cosmology.background import Cosmology

GROWTHS = 64
"""Growth factors whose terms a frame remembers."""


Derivatives = tuple[float, float, float]
"""Factors of a displacement, velocity and acceleration."""


class Frame(ABC):
    """Trajectories with exact derivatives in D, sums of fields. Arrays are (3, N) float32 in Mpc/h.

    Parameters
    ----------
    n_particles : int
        Particles N of this process.
    fields : sequence of array (3, N)
    """

    def __init__(self, n_particles: int, fields: Sequence[np.ndarray]):
        self.n_particles = n_particles
        self._fields = tuple(np.require(field, np.float32, ["C", "W"]) for field in fields)

    @abstractmethod
    def weights(self, D: float, derivatives: Derivatives) -> np.ndarray:
        """Weights of the fields in the sum of displacement, velocity and acceleration, each times
        its factor."""

    def add(self, D: float, derivatives: Derivatives, out: np.ndarray) -> None:
        """Add to `out` the displacement, velocity and acceleration, each times its factor."""
        if self._fields:
            weights = self.weights(D, derivatives).astype(np.float32)
            kernels.particles.add_terms(self._fields, weights, out)

    def gather(self, weights: Sequence[np.ndarray], indices: np.ndarray, rows: np.ndarray) -> None:
        """Sums of the fields of some particles.

        Parameters
        ----------
        weights : sequence of R arrays
            See `weights`.
        indices : array (M,) int64
        rows : array (M, 3 R or more) float32
            Gets the sums of each particle one after the other.
        """
        if self._fields:
            all_weights = np.array(weights, np.float32)
            kernels.substeps.gather_terms(self._fields, all_weights, indices, rows)
        else:
            rows[:, : 3 * len(weights)] = 0.0

    def displacement(self, D: float) -> np.ndarray:
        """Displacement x_F - q."""
        return self._new(D, (1.0, 0.0, 0.0))

    def velocity(self, D: float) -> np.ndarray:
        """dx_F/dD."""
        return self._new(D, (0.0, 1.0, 0.0))

    def acceleration(self, D: float) -> np.ndarray:
        """d2x_F/dD2."""
        return self._new(D, (0.0, 0.0, 1.0))

    def _new(self, D: float, derivatives: Derivatives) -> np.ndarray:
        out = np.zeros((3, self.n_particles), np.float32)
        self.add(D, derivatives, out)
        return out


class Term(NamedTuple):
    """One separable term t(D) F(q) of a trajectory."""

    growth: Callable[[float], tuple[float, float, float]]
    """Gives t, dt/dD and d2t/dD2 at D."""
    field: np.ndarray
    """F(q), array (3, N) float32."""


class SeparableFrame(Frame):
    """The sum of separable terms: disp(q, D) = sum_j t_j(D) F_j(q).

    Parameters
    ----------
    n_particles : int
        Particles N of this process.
    terms : sequence of Term
    """

    def __init__(self, n_particles: int, *terms: Term):
        super().__init__(n_particles, [term.field for term in terms])
        self._growths = [lru_cache(GROWTHS)(term.growth) for term in terms]

    def weights(self, D: float, derivatives: Derivatives) -> np.ndarray:
        """Weights t_j(D) and its derivatives, each times its factor."""
        return np.array([np.dot(derivatives, growth(D)) for growth in self._growths])


class SnapshotFrame(Frame):
    """Particles with displacements and velocities known at one growth factor alone.

    Parameters
    ----------
    D : float
    disp, vel : array (3, N) float32
        x - q and dx/dD in Mpc/h.
    """

    def __init__(self, D: float, disp: np.ndarray, vel: np.ndarray):
        super().__init__(disp.shape[1], (disp, vel))
        self.D = D

    def weights(self, D: float, derivatives: Derivatives) -> np.ndarray:
        """Weights of the displacement and the velocity, at the one growth factor."""
        *weights, acceleration = derivatives
        if D != self.D or acceleration:
            raise ValueError(f"found D = {D}, wanted displacement or velocity at D = {self.D}")
        return np.array(weights)


def rest_frame(n_particles: int) -> Frame:
    """Particles that stay on the lattice; the residual integrator is then a plain PM code."""
    return SeparableFrame(n_particles)


def lpt_terms(cosmology: Cosmology, psi1: np.ndarray, psi2: np.ndarray) -> list[Term]:
    """The terms D Psi1 + D2(D) Psi2 of second-order LPT."""
    return [Term(lambda D: (D, 1.0, 0.0), psi1), Term(cosmology.D2_of_D, psi2)]


def lpt_frame(cosmology: Cosmology, psi1: np.ndarray, psi2: np.ndarray) -> Frame:
    """Second-order LPT trajectories; the residual integrator is then COLA (Tassev et al. 2013)."""
    return SeparableFrame(psi1.shape[1], *lpt_terms(cosmology, psi1, psi2))
