"""The particle-mesh gravity solver: g = grad inverse-laplacian delta."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from coca import kernels
from coca.gravity.mesh import CLOUDS, Mesh
from coca.parallel.domain import Domain
from coca.parallel.particle_exchange import ParticleExchange

Gradient = Literal["spectral", 4]


class Acceleration(NamedTuple):
    """What a force evaluation gives at the particles."""

    g: np.ndarray
    """grad inverse-laplacian delta, array (3, N) float32 in Mpc/h: -D Psi1 in linear theory."""
    delta: np.ndarray
    """Density contrast, array (N,) float32, or (0,) where it was not asked for: with central
    differences the Laplacian of the potential over next neighbours, otherwise the density
    assigned."""
    at: Callable[[np.ndarray], np.ndarray] | None = None
    """Gives g (3, M) at any positions (3, M) in the same potential, until the next force; none with
    the spectral gradient, which leaves no potential."""


class ParticleMesh:
    """Gravity on a periodic mesh with a spectral Green's function.

    One mesh in memory, two transforms: the potential takes the density's place and its
    gradient is taken by central differences at the particles. The spectral gradient takes four
    transforms and a second mesh.

    Parameters
    ----------
    domain : Domain
    mesh : int
        Cells per dimension.
    assignment : {"cic", "tsc"}
        Cloud shape of assignment and interpolation.
    gradient : {4, "spectral"}
        Order of the central differences of the potential, or ik.
    deconvolve : bool
        Divide out the windows of assignment and interpolation.
    """

    def __init__(
        self,
        domain: Domain,
        mesh: int,
        assignment: str = "cic",
        gradient: Gradient = 4,
        deconvolve: bool = False,
    ):
        self.domain, self.mesh, self.gradient = domain, mesh, gradient
        self._fft = domain.transform(mesh)
        order = 0 if gradient == "spectral" else gradient
        self._potential = Mesh(domain, mesh, assignment, order)
        self._component = None if order else Mesh(domain, mesh, assignment)
        self._green = partial(
            kernels.fourier.inverse_laplacian,
            kf=domain.kf,
            scale=1.0 / domain.particles,
            assignment=len(CLOUDS[assignment]) if deconvolve else 0,
        )

    def __call__(
        self, x: np.ndarray, density: bool = False, out: np.ndarray | None = None
    ) -> Acceleration:
        """Acceleration at the particles, and the density contrast if asked for.

        Parameters
        ----------
        x : array (3, N) float32
            Positions in Mpc/h, in Lagrangian order.
        density : bool
        out : array (3, N) float32, optional
            Where to write g; may be `x` itself.

        Raises
        ------
        FloatingPointError
            Positions are not finite.
        """
        out = np.empty_like(x) if out is None else out
        exchange = self._potential.paint(x)
        delta = np.empty(x.shape[1] if density else 0, np.float32)
        if self._component is None:
            self._fft.convolve(self._potential.modes, self._green)
            self._potential.read_gradient(x, exchange, out, delta)
        else:
            if density:
                self._read_density(x, exchange, delta)
            self._spectral(x, exchange, self._component, out)
            return Acceleration(out, delta)
        return Acceleration(out, delta, self._potential.read_gradient_again)

    def _read_density(self, x: np.ndarray, exchange: ParticleExchange, delta: np.ndarray) -> None:
        self._potential.read(x, exchange, delta)
        delta *= np.float32(self.mesh**3 / self.domain.particles)
        delta -= np.float32(1)

    def _spectral(
        self, x: np.ndarray, exchange: ParticleExchange, component: Mesh, out: np.ndarray
    ) -> None:
        """Fill `out` with each component of the gradient, transformed and read in turn."""
        phi = self._potential
        self._fft.forward(phi.field, phi.modes, self._green)
        x = x.copy() if np.may_share_memory(x, out) else x
        for axis in range(3):
            ik = partial(kernels.fourier.gradient, kf=self.domain.kf, axis=axis, scale=1.0)
            self._fft.backward(phi.modes, component.field, ik, component.modes)
            component.read(x, exchange, out[axis])
