"""Frames of reference: smooth families of trajectories x_F(q, D) = q + disp(q, D).

The integrator knows of LPT and of the network only through this seam.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import kernels.orbits
import kernels.particles
from coca.cosmology import Cosmology


class Frame(ABC):
    """Trajectories with exact derivatives in D. Arrays are (3, N) float32 in Mpc/h."""

    def __init__(self, n_particles: int):
        self.n_particles = n_particles

    @abstractmethod
    def add(self, D: float, derivatives: tuple[float, float, float], out: np.ndarray) -> None:
        """Add to `out` the displacement, velocity and acceleration, each times its factor."""

    @abstractmethod
    def part(self, who: np.ndarray) -> Frame:
        """The frame of particles `who`, (M,) int64, alone."""

    def displacement(self, D: float) -> np.ndarray:
        """Displacement x_F - q."""
        return self._new(D, (1.0, 0.0, 0.0))

    def velocity(self, D: float) -> np.ndarray:
        """dx_F/dD."""
        return self._new(D, (0.0, 1.0, 0.0))

    def acceleration(self, D: float) -> np.ndarray:
        """d2x_F/dD2."""
        return self._new(D, (0.0, 0.0, 1.0))

    def _new(self, D: float, derivatives: tuple[float, float, float]) -> np.ndarray:
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
        super().__init__(n_particles)
        self._growths = [term.growth for term in terms]
        self._fields = tuple(np.require(term.field, np.float32, ["C", "W"]) for term in terms)

    def add(self, D: float, derivatives: tuple[float, float, float], out: np.ndarray) -> None:
        """See `Frame`."""
        weights = [np.dot(derivatives, growth(D)) for growth in self._growths]
        if weights:
            kernels.particles.add_terms(self._fields, np.array(weights, np.float32), out)

    def part(self, who: np.ndarray) -> Frame:
        """See `Frame`."""
        pairs = zip(self._growths, self._fields, strict=True)
        terms = [Term(growth, kernels.orbits.picked(field, who)) for growth, field in pairs]
        return SeparableFrame(len(who), *terms)


class HeldFrame(Frame):
    """Particles with displacements and velocities known at one growth factor alone.

    Parameters
    ----------
    D : float
    disp, vel : array (3, N) float32
        x - q and dx/dD in Mpc/h.
    """

    def __init__(self, D: float, disp: np.ndarray, vel: np.ndarray):
        super().__init__(disp.shape[1])
        self.D, self._fields = D, (disp, vel)

    def add(self, D: float, derivatives: tuple[float, float, float], out: np.ndarray) -> None:
        """See `Frame`."""
        *weights, acceleration = derivatives
        if D != self.D or acceleration:
            raise ValueError(f"found D = {D}, wanted displacement or velocity at D = {self.D}")
        kernels.particles.add_terms(self._fields, np.array(weights, np.float32), out)

    def part(self, who: np.ndarray) -> Frame:
        """See `Frame`."""
        return HeldFrame(self.D, *(kernels.orbits.picked(field, who) for field in self._fields))


def rest_frame(n_particles: int) -> Frame:
    """Particles that stay on the lattice; the residual integrator is then a plain PM code."""
    return SeparableFrame(n_particles)


def lpt_terms(cosmology: Cosmology, psi1: np.ndarray, psi2: np.ndarray) -> list[Term]:
    """The terms D Psi1 + D2(D) Psi2 of second-order LPT."""
    return [Term(lambda D: (D, 1.0, 0.0), psi1), Term(cosmology.D2_of_D, psi2)]


def lpt_frame(cosmology: Cosmology, psi1: np.ndarray, psi2: np.ndarray) -> Frame:
    """Second-order LPT trajectories; the residual integrator is then COLA (Tassev et al. 2013)."""
    return SeparableFrame(psi1.shape[1], *lpt_terms(cosmology, psi1, psi2))
