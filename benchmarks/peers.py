"""Forces of other codes on our particles and our mesh, in our units.

PySCo is the package pysco-nbody (the extra `peers`); its first import compiles for minutes.
pmwd and JaxPM need JAX; pmwd is not on PyPI, so give the path of a checkout. Each function
raises ImportError with the reason where its code is absent. All of them assign and interpolate
with cloud-in-cell and deconvolve nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coca.parallel.domain import Domain

Call = Callable[[], np.ndarray]


class Peer(NamedTuple):
    """Another code's force."""

    name: str
    gradient: int | str
    """Which of our gradients it must agree with."""
    factor: int
    """Mesh cells per particle and dimension."""
    make: Callable[[Domain, np.ndarray, int, Path | None], Call]
    """From domain, positions, mesh and a checkout of pmwd to a call that gives g (3, N)."""


def pysco_spectral(domain: Domain, x: np.ndarray, mesh: int, checkout: Path | None) -> Call:
    """PySCo's solver "full_fft"."""
    fourier, pysco_mesh, density_k, shifted = _pysco(domain, x, mesh)
    half = mesh // 2

    def force() -> np.ndarray:
        gradient = fourier.gradient_inverse_laplacian(density_k())
        # PySCo keeps the derivative of the Nyquist wave, which a real field does not have
        gradient[half, :, :, 0], gradient[:, half, :, 1], gradient[:, :, half, 2] = 0, 0, 0
        field = fourier.ifft_3D_real_grad(gradient, domain.threads)
        return domain.box_size * pysco_mesh.invCIC_vec(field, shifted).T

    return force


def pysco_differences(domain: Domain, x: np.ndarray, mesh: int, checkout: Path | None) -> Call:
    """PySCo's solver "fft", its fastest, with its default stencil of five points."""
    fourier, pysco_mesh, density_k, shifted = _pysco(domain, x, mesh)

    def force() -> np.ndarray:
        modes = density_k()
        fourier.inverse_laplacian(modes)
        potential = fourier.ifft_3D_real(modes, domain.threads)
        field = pysco_mesh.derivative(potential, 5)
        return domain.box_size * pysco_mesh.invCIC_vec(field, shifted).T

    return force


def _pysco(domain: Domain, x: np.ndarray, mesh: int):
    """PySCo's modules, its density modes, and the positions in its units and order."""
    package = find_spec("pysco")
    if package is None:
        raise ImportError("pysco is not installed; pip install pysco-nbody")
    # its modules import each other by bare names; these two without the rest compile faster
    sys.path.insert(0, package.submodule_search_locations[0])
    import fourier
    import mesh as pysco_mesh

    # its cells are centred half a cell from ours
    shifted = np.mod(x.T.astype(np.float64) / domain.box_size + 0.5 / mesh, 1.0).astype(np.float32)
    shifted[shifted >= 1] = 0
    shifted = np.ascontiguousarray(shifted)
    weight = np.float32(mesh**3 / len(shifted))

    def density_k():
        density = pysco_mesh.CIC(shifted, mesh) * weight - np.float32(1)
        return fourier.fft_3D_real(density, domain.threads)

    return fourier, pysco_mesh, density_k, shifted


def pmwd(domain: Domain, x: np.ndarray, mesh: int, checkout: Path | None) -> Call:
    """pmwd's gravity, which is -(3/2) Omega_m times our g."""
    if checkout is None:
        raise ImportError("pmwd is not on PyPI; give --pmwd with the path of a checkout")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    sys.path.insert(0, str(checkout))
    import jax
    import pmwd

    configuration = pmwd.Configuration(
        domain.cell, (domain.n_side,) * 3, mesh_shape=mesh // domain.n_side
    )
    cosmology = pmwd.Cosmology(
        configuration, A_s_1e9=2.0, n_s=0.96, Omega_m=1 / 1.5, Omega_b=0.05, h=0.7
    )
    particles = pmwd.Particles.from_pos(configuration, jax.numpy.asarray(x.T))
    gravity = jax.jit(pmwd.gravity, static_argnums=3)
    return lambda: -np.asarray(gravity(1.0, particles, cosmology, configuration)).T


def jaxpm(domain: Domain, x: np.ndarray, mesh: int, checkout: Path | None) -> Call:
    """JaxPM's pm_forces, -g in cells; it takes as many cells as particles."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    from jaxpm.pm import pm_forces

    positions = jax.numpy.asarray((x.T * (mesh / domain.box_size)).reshape(mesh, mesh, mesh, 3))
    forces = jax.jit(lambda p: pm_forces(p, mesh_shape=(mesh,) * 3))
    cell = np.float32(domain.box_size / mesh)
    return lambda: -cell * np.asarray(forces(positions)).reshape(-1, 3).T


PEERS = (
    Peer("PySCo full_fft", "spectral", 2, pysco_spectral),
    Peer("PySCo fft", 4, 2, pysco_differences),
    Peer("pmwd", "spectral", 2, pmwd),
    Peer("JaxPM", 4, 1, jaxpm),
)


def agreement(theirs: np.ndarray, ours: np.ndarray) -> dict:
    """Correlation coefficient and relative rms difference of two vector fields."""
    difference = np.sqrt(np.mean((theirs - ours) ** 2, dtype=float) / np.mean(ours**2, dtype=float))
    correlation = np.corrcoef(theirs.ravel().astype(float), ours.ravel().astype(float))[0, 1]
    return {"correlation": float(correlation), "relative_rms": float(difference)}
