"""Periodic gravity of point masses by Ewald's sum, and the mesh's force beside it."""

from __future__ import annotations

import itertools

import numpy as np
from scipy.special import erfc

from coca.gravity.particle_mesh import ParticleMesh
from coca.parallel.domain import Domain


def ewald(r: np.ndarray, box_size: float) -> np.ndarray:
    """Gradient of the inverse Laplacian of delta_D(r) - 1/V in a periodic box.

    Parameters
    ----------
    r : array (..., 3)
        Separations, not zero.
    box_size : float

    Returns
    -------
    array (..., 3)
        r / (4 pi r^3) near the mass; error below 1e-6 of that (Hernquist, Bouchet & Suto 1991).
    """
    alpha = 2.0 / box_size
    r = r - box_size * np.round(r / box_size)
    total = np.zeros_like(r)
    for shift in itertools.product((-2, -1, 0, 1, 2), repeat=3):
        d = r - box_size * np.array(shift)
        length = np.sqrt(np.sum(d**2, axis=-1, keepdims=True))
        screened = erfc(alpha * length)
        screened += 2 * alpha * length / np.sqrt(np.pi) * np.exp(-((alpha * length) ** 2))
        total += screened * d / (4 * np.pi * length**3)
    for mode in itertools.product(range(-5, 6), repeat=3):
        if any(mode):
            k = 2 * np.pi / box_size * np.array(mode)
            weight = np.exp(-(k @ k) / (4 * alpha**2)) / (k @ k) / box_size**3
            total += weight * np.sin(r @ k)[..., None] * k
    return total


def pair_forces(
    domain: Domain, force: ParticleMesh, separation: float, pairs: int, seed: int = 1
) -> tuple[float, float]:
    """Force between two masses anywhere on the mesh, in units of Ewald's.

    Parameters
    ----------
    domain : Domain
        With 2^3 particles: four stand together at either place.
    force : ParticleMesh
    separation : float
        In cells.
    pairs : int
        Places and directions drawn.
    seed : int

    Returns
    -------
    radial : float
        Mean component along Ewald's force.
    scatter : float
        Rms of what is left, anisotropy and noise of the mesh.
    """
    rng = np.random.default_rng(seed)
    radial, squares = [], []
    for _ in range(pairs):
        direction = rng.normal(size=3)
        r = separation * domain.box_size / force.mesh * direction / np.linalg.norm(direction)
        a = rng.uniform(0, domain.box_size, 3)
        x = np.repeat([a, a + r], 4, axis=0).T.astype(np.float32)
        exact = 0.5 * domain.box_size**3 * ewald(r, domain.box_size)
        size = np.linalg.norm(exact)
        found = force(x).g[:, 4] / size
        radial.append(found @ exact / size)
        squares.append(found @ found)
    mean = np.mean(radial)
    return float(mean), float(np.sqrt(np.mean(squares) - mean**2))


def softened_forces(
    x: np.ndarray, which: np.ndarray, box_size: float, softening: float
) -> np.ndarray:
    """Exact g = grad inverse-laplacian delta at some particles, softened as `coca.gravity.p3m`.

    Parameters
    ----------
    x : array (N, 3) float64
        Positions in Mpc/h.
    which : array (M,) int64
    box_size : float
    softening : float
        Plummer's equivalent, Mpc/h.

    Returns
    -------
    array (M, 3)
        In Mpc/h; error below 1e-7 of the next particle's.
    """
    alpha, support, L = 9.0 / box_size, 3.0 * softening, box_size
    g = np.empty((len(which), 3))
    for row, p in enumerate(which):
        d = x[p] - x
        d -= L * np.round(d / L)
        r = np.sqrt(np.sum(d**2, axis=1))
        r[r == 0.0] = support  # of no account: there is no way to go
        screened = erfc(alpha * r) + 2 * alpha * r / np.sqrt(np.pi) * np.exp(-((alpha * r) ** 2))
        factor = screened / r**3
        near = r < support
        u = r[near] / support
        factor[near] += np.polyval([21, -90, 140, -84, 0, 14], u) / support**3 - r[near] ** -3.0
        g[row] = factor @ d / (4 * np.pi)
    g += _smooth_forces(x, which, L, alpha)
    return g * L**3 / len(x)


def _smooth_forces(x: np.ndarray, which: np.ndarray, L: float, alpha: float) -> np.ndarray:
    """Ewald's sum over modes exp(-k^2 / 4 alpha^2) / k^2, by a product of phases for each axis."""
    most = int(np.ceil(1.4 * alpha * L))  # beyond, the Gaussian is below exp(-(1.4 pi)^2) = 4e-9
    modes = np.arange(-most, most + 1)
    k = 2 * np.pi / L * modes
    phases = [np.exp(-1j * np.outer(x[:, axis], k)) for axis in range(3)]
    k2 = k[:, None] ** 2 + k[None, :] ** 2
    g = np.zeros((len(which), 3))
    for i, kx in enumerate(k):
        density = (phases[0][:, i, None] * phases[1]).T @ phases[2]
        total = kx**2 + k2
        with np.errstate(divide="ignore", invalid="ignore"):
            phi = np.where(total > 0, np.exp(-total / (4 * alpha**2)) / total, 0.0) * density / L**3
        back = [phase[which].conj() for phase in phases]
        along_z = back[2] @ phi.T
        g[:, 0] += np.imag(back[0][:, i] * kx * np.sum(back[1] * along_z, axis=1))
        g[:, 1] += np.imag(back[0][:, i] * np.sum(back[1] * k * along_z, axis=1))
        g[:, 2] += np.imag(back[0][:, i] * np.sum(back[1] * ((back[2] * k) @ phi.T), axis=1))
    return g
