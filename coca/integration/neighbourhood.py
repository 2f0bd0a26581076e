"""Mean values of some particles over what is near them, by mass."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.gravity.mesh import GHOSTS
from coca.kernels.assignment import CIC
from coca.parallel.domain import Domain


class Neighbourhood:
    """Particles on a coarse mesh of cells twice their spacing, where means over haloes are taken.

    Parameters
    ----------
    domain : Domain
        Its ranks divide half of the particle lattice, see `coca.parallel.domain.check_ranks`.
    x : array (3, M) float32
        Positions of this rank's particles in Mpc/h.
    """

    def __init__(self, domain: Domain, x: np.ndarray):
        self._domain, self._x = domain, x
        self._m = domain.n // 2
        self._planes = self._m // domain.ranks.size
        self._travel = domain.travel(x, self._m, CIC)

    def mean(self, rows: np.ndarray, count: int) -> np.ndarray:
        """Means at the particles by mass.

        Parameters
        ----------
        rows : array (M, 4 c) float32
            The particles' mass and mass times values; four at a time are added.
        count : int
            How many of the values are wanted.

        Returns
        -------
        array (count, M) float32
        """
        planes, first = self._planes, self._domain.ranks.rank * self._planes
        inverse_cell, travel = self._m / self._domain.box_size, self._travel
        mesh = np.zeros((planes + 1, self._m, self._m, rows.shape[1]), np.float32)
        kernels.orbits.deposit(self._x, inverse_cell, rows, mesh, first)
        brought = travel.bring(rows)
        if brought.size:
            kernels.orbits.deposit(travel.guests, inverse_cell, brought, mesh, first)
        del brought
        mesh[0] += self._domain.shift(mesh[planes:], 1, GHOSTS)[0]
        mesh[planes:] = self._domain.edges(mesh[:planes], 0, 1, GHOSTS)[1]
        answers = np.empty((count, travel.guests.shape[1]), np.float32)
        if answers.size:
            kernels.orbits.average(travel.guests, inverse_cell, mesh, first, answers)
        travel.send_back(*answers)
        out = np.empty((count, len(rows)), np.float32)
        kernels.orbits.average(self._x, inverse_cell, mesh, first, out)
        travel.come_home(*out)
        return out
