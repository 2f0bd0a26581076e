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
