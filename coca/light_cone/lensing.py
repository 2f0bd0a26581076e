"""Convergence in the Born approximation, from the shells of a light cone.

Light of sources at comoving distance chi_s is deflected along its unperturbed path,

    kappa = 3/2 Omega_m (H0 / c)^2 int dchi chi (chi_s - chi) / (chi_s a) delta

(Bartelmann & Schneider 2001, astro-ph/9912508), where delta is taken as one number in each shell.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.distance import HUBBLE_DISTANCE, comoving_distance, scale_factor_at
from coca.light_cone.shells import Shell

NODES = 8
"""Of the Gauss-Legendre integral of the kernel over a shell."""


def lensing_weight(
    cosmology: Cosmology, chi: tuple[float, float], z: np.ndarray, share: np.ndarray
) -> float:
    """What a shell's density contrast adds to the convergence.

    Parameters
    ----------
    cosmology : Cosmology
    chi : tuple of float
        Radii of the shell's edges, Mpc/h.
    z, share : array (S,) float64
        Redshifts of sources and the share of them that is there.
    """
    near, far = chi
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    total = 0.0
    for chi_s, part in zip(comoving_distance(cosmology, scale_factor(z)), share, strict=True):
        end = min(far, float(chi_s))
        if end > near:
            half = 0.5 * (end - near)
            at = near + half * (1.0 + nodes)
            kernel = at * (chi_s - at) / (chi_s * scale_factor_at(cosmology, at))
            total += float(part * half * np.dot(weights, kernel))
    return 1.5 * cosmology.Omega_m / HUBBLE_DISTANCE**2 * total


def convergence(shells: Iterable[Shell], z: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The Born convergence of sources at redshifts `z`, a share of them at each; float64 in the
    shells' pixels, in ring order. Outside the footprint it is without meaning.

    Parameters
    ----------
    shells : iterable of Shell
        All those before the farthest source; taken one at a time.
    z, share : array (S,) float64
    """
    kappa = np.zeros(0)
    for shell in shells:
        weight = lensing_weight(shell.cosmology, shell.chi, z, share)
        if not kappa.size:
            kappa = np.zeros(len(shell.counts))
        if weight:
            kappa += weight * (shell.counts / shell.mean - 1.0)
    return kappa


def shot_noise(shells: Iterable[Shell], z: np.ndarray, share: np.ndarray) -> float:
    """The part of the convergence's C_l that is of single particles alone: for each shell its
    weight squared over its particles per steradian."""
    total = 0.0
    for shell in shells:
        density = shell.mean * len(shell.counts) / (4.0 * np.pi)
        total += lensing_weight(shell.cosmology, shell.chi, z, share) ** 2 / density
    return total
