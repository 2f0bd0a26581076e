"""The particle-mesh gravity solver: g = grad inverse-laplacian delta."""

from __future__ import annotations

import numpy as np

import kernels.cic
import kernels.fourier
from coca.domain import Domain


class ParticleMesh:
    """Gravity on a periodic mesh: CIC assignment, spectral Green's function and gradient.

    Parameters
    ----------
    domain : Domain
    mesh : int
        Cells per dimension.
    deconvolve : bool
        Divide out the CIC windows of assignment and interpolation.
    """

    def __init__(self, domain: Domain, mesh: int, deconvolve: bool = False):
        self.domain, self.mesh, self.deconvolve = domain, mesh, deconvolve
        self._fft = domain.transform(mesh)
        self._fields = self._fft.empty(4)
        self._modes = self._fft.empty_k(2)
        self._read = np.empty((4, domain.n**3), np.float32)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Acceleration and density contrast at the particles.

        Parameters
        ----------
        x : array (3, N) float32
            Positions in Mpc/h.

        Returns
        -------
        g : array (3, N) float32
            grad inverse-laplacian delta in Mpc/h: -D Psi1 on a Zel'dovich trajectory.
        delta : array (N,) float32
            Density contrast. Both are overwritten by the next call.

        Raises
        ------
        FloatingPointError
            Positions are not finite.
        """
        inverse_cell = self.mesh / self.domain.box_size
        kf, delta, phi_k = self.domain.kf, self._fields[3], self._modes[0]
        kernels.cic.paint(x, inverse_cell, delta)
        delta *= np.float32(self.mesh**3 / self.domain.particles)
        delta -= np.float32(1)
        self._fft.forward(delta, phi_k)
        order = 2 if self.deconvolve else 0
        kernels.fourier.inverse_laplacian(phi_k, kf, 1.0 / self.mesh**3, order)
        for axis in range(3):
            kernels.fourier.gradient(phi_k, kf, axis, self._modes[1])
            self._fft.backward(self._modes[1], self._fields[axis])
        kernels.cic.read(x, inverse_cell, self._fields, self._read)
        return self._read[:3], self._read[3]
