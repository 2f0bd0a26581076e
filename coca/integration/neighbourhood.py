"""Mean values of some particles over what is near them, by mass."""

from __future__ import annotations

import numpy as np

from coca import kernels
from coca.gravity.mesh import GHOSTS
from coca.kernels.constants import CIC
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
        self._m = domain.n_side // 2
        self._planes = self._m // domain.ranks.size
        self._exchange = domain.exchange_particles(x, self._m, CIC)

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
        inverse_cell, exchange = self._m / self._domain.box_size, self._exchange
        mesh = np.zeros((planes + 1, self._m, self._m, rows.shape[1]), np.float32)
        kernels.substeps.deposit(self._x, inverse_cell, rows, mesh, first)
        brought = exchange.bring(rows)
        if brought.size:
            kernels.substeps.deposit(exchange.received, inverse_cell, brought, mesh, first)
        del brought
        mesh[0] += self._domain.shift(mesh[planes:], 1, GHOSTS)[0]
        mesh[planes:] = self._domain.ghost_planes(mesh[:planes], 0, 1, GHOSTS)[1]
        answers = np.empty((count, exchange.received.shape[1]), np.float32)
        if answers.size:
            kernels.substeps.average(exchange.received, inverse_cell, mesh, first, answers)
        exchange.send_back(*answers)
        out = np.empty((count, len(rows)), np.float32)
        kernels.substeps.average(self._x, inverse_cell, mesh, first, out)
        exchange.return_values(*out)
        return out
