"""Mean values of some particles over what is near them, by mass."""

from __future__ import annotations

import numpy as np

import kernels.orbits
from coca.domain import Domain
from coca.mesh import GHOSTS
from kernels.assignment import CIC


class Neighbourhood:
    """Particles on a coarse mesh of cells twice their spacing, where means over haloes are taken.

    Parameters
    ----------
    domain : Domain
        Its ranks divide half of the particle lattice, see `coca.domain.check_ranks`.
    x : array (3, M) float32
        Positions of this rank's particles in Mpc/h.
    mass : array (M,) float32
        Their say in the means.
    """

    def __init__(self, domain: Domain, x: np.ndarray, mass: np.ndarray):
        self._domain, self._x, self._mass = domain, x, mass
        self._m = domain.n // 2
        self._planes = self._m // domain.ranks.size
        self._travel = domain.travel(x, self._m, CIC)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means (c, M) at the particles of their values (c, M), float32."""
        planes, first = self._planes, self._domain.ranks.rank * self._planes
        inverse_cell, travel = self._m / self._domain.box_size, self._travel
        mesh = np.zeros((planes + 1, self._m, self._m, 1 + len(values)), np.float32)
        rows = np.empty((len(self._mass), 1 + len(values)), np.float32)
        rows[:, 0] = self._mass
        np.multiply(self._mass, values, out=rows[:, 1:].T)
        kernels.orbits.deposit(self._x, inverse_cell, rows, mesh, first)
        brought = travel.bring(rows)
        kernels.orbits.deposit(travel.guests, inverse_cell, brought, mesh, first)
        del rows, brought
        mesh[0] += self._domain.shift(mesh[planes:], 1, GHOSTS)[0]
        mesh[planes:] = self._domain.edges(mesh[:planes], 0, 1, GHOSTS)[1]
        answers = np.empty((len(values), travel.guests.shape[1]), np.float32)
        kernels.orbits.average(travel.guests, inverse_cell, mesh, first, answers)
        travel.send_back(*answers)
        out = np.empty_like(values)
        kernels.orbits.average(self._x, inverse_cell, mesh, first, out)
        travel.come_home(*out)
        return out
