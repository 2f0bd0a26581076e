"""A rank's slab of a periodic mesh, and how particles give to it and read from it.

A particle belongs to the rank in whose planes its cell lies. Its cloud, and the central
differences around it, may reach into ghost planes: what is assigned there is handed on to the
planes' owners, and what is read there comes from them.
"""

from __future__ import annotations

import numpy as np
import pyfftw

from coca import kernels
from coca.parallel.domain import Box
from coca.parallel.particle_exchange import ParticleExchange

CLOUDS = {"cic": kernels.constants.CIC, "tsc": kernels.constants.TSC}
GHOSTS = "ghost planes"


class Mesh:
    """A slab of n^3 cells over the box, in memory that holds its modes as well.

    Parameters
    ----------
    box : Box
    n : int
        Cells per dimension.
    assignment : {"cic", "tsc"}
        Cloud shape of assignment and interpolation.
    order : {0, 4}
        Order of the gradient to read; 0 for none.

    Attributes
    ----------
    field : array (planes, n, 2 (n//2+1)) float32
        The rank's own planes, of which [..., :n] counts.
    modes : array (n, planes, n//2+1) complex64
        The same memory, see `coca.parallel.fft`.
    """

    def __init__(self, box: Box, n: int, assignment: str = "cic", order: int = 0):
        self._box, self._n = box, n
        self._cloud = CLOUDS[assignment]
        self._below, self._above = order // 2 - self._cloud[0], order // 2 + self._cloud[-1]
        self._inverse_cell = n / box.box_size
        fft = box.transform(n)
        planes = fft.shape[0]
        plane = (n, 2 * (n // 2 + 1))
        offset = -(4 * self._below * plane[0] * plane[1]) % pyfftw.simd_alignment // 4
        length = (self._below + planes + self._above) * plane[0] * plane[1]
        room = pyfftw.empty_aligned(offset + length, "float32")
        self._padded = room[offset:].reshape(-1, *plane)
        self.field = self._padded[self._below : self._below + planes]
        self.modes = fft.modes(self.field)
        self._slab = (fft.first, planes, self._below)

    def paint(self, x: np.ndarray, ordered: bool = True) -> ParticleExchange:
        """Fill the mesh with the number of particles per cell.

        Parameters
        ----------
        x : array (3, N) float32
            Positions of this rank's particles in Mpc/h, in Lagrangian order.
        ordered : bool
            Otherwise they are any number, in any order.

        Returns
        -------
        ParticleExchange
            To read at the same positions.

        Raises
        ------
        FloatingPointError
            Some positions are not finite.
        """
        exchange = self._box.exchange_particles(x, self._n, self._cloud)
        where = (self._inverse_cell, self._padded, self._slab, self._cloud)
        kernels.assignment.paint(x, *where, self._box.lattice if ordered else None)
        if exchange.received.size:
            kernels.assignment.paint(exchange.received, *where, clear=False)
        self._hand_on()
        return exchange

    def read(self, x: np.ndarray, exchange: ParticleExchange, out: np.ndarray) -> None:
        """Interpolate the mesh at the particles, out (N,); arguments as for `paint`."""
        self._fill_ghosts(-self._cloud[0], self._cloud[-1])
        where = (self._inverse_cell, self._padded, self._slab)
        values = np.empty(exchange.received.shape[1], np.float32)
        if values.size:
            kernels.assignment.read(exchange.received, *where, values, self._cloud)
        exchange.send_back(values)
        kernels.assignment.read(x, *where, out, self._cloud, self._box.lattice)
        exchange.return_values(out)

    def read_gradient(
        self, x: np.ndarray, exchange: ParticleExchange, out: np.ndarray, laplacian: np.ndarray
    ) -> None:
        """Interpolate the gradient (3, N) at the particles, and the Laplacian where there is
        room for it, (N,) or (0,); `out` may be `x`. Other arguments as for `paint`."""
        self._fill_ghosts(self._below, self._above)
        self._read_gradient(x, exchange, out, laplacian, self._box.lattice)

    def read_gradient_again(self, x: np.ndarray) -> np.ndarray:
        """The gradient (3, M) at any positions (3, M), once `read_gradient` has been called."""
        out = np.empty_like(x)
        exchange = self._box.exchange_particles(x, self._n, self._cloud)
        self._read_gradient(x, exchange, out, np.empty(0, np.float32), None)
        return out

    def _read_gradient(
        self,
        x: np.ndarray,
        exchange: ParticleExchange,
        out: np.ndarray,
        laplacian: np.ndarray,
        lattice: tuple[int, int, int] | None,
    ) -> None:
        where = (self._inverse_cell, self._padded, self._slab)
        received = exchange.received
        values = np.empty((4 if laplacian.size else 3, received.shape[1]), np.float32)
        if received.size:
            kernels.gradient.read_gradient(
                received, *where, values[:3], cloud=self._cloud, laplacian=values[3:].reshape(-1)
            )
        exchange.send_back(*values)
        kernels.gradient.read_gradient(
            x, *where, out, cloud=self._cloud, lattice=lattice, laplacian=laplacian
        )
        exchange.return_values(*out, *([laplacian] if laplacian.size else []))

    def _hand_on(self) -> None:
        """Add what was assigned to ghost planes where it belongs."""
        first, last = self._below, self._below + len(self.field)
        reach = self._cloud[-1]
        self.field[:reach] += self._box.shift(self._padded[last : last + reach], 1, GHOSTS)
        reach = -self._cloud[0]
        if reach:
            self.field[-reach:] += self._box.shift(self._padded[first - reach : first], -1, GHOSTS)

    def _fill_ghosts(self, below: int, above: int) -> None:
        first, last = self._below, self._below + len(self.field)
        before, after = self._box.ghost_planes(self.field, below, above, GHOSTS)
        self._padded[first - below : first] = before
        self._padded[last : last + above] = after
