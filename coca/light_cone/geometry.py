"""The observer's light cone in a box and its copies: shells, and when they are passed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from coca.configuration.sections import LightConeConfig
from coca.cosmology.background import Cosmology, redshift, scale_factor
from coca.cosmology.distance import comoving_distance, scale_factor_at

MOST_DEPTH = 100.0
"""Mpc/h of the cone between two times at which particles are asked where they are; between, each
goes along a cubic, which is true to about 1e-3 Mpc/h."""
NEARBY = 1e-9
"""Growth factors that are so close are one."""


@dataclass(frozen=True)
class Cone:
    """A light cone and the shells that it is cut into, from the nearest to the farthest.

    Parameters
    ----------
    cosmology : Cosmology
    observer : array (3,) float64
        Mpc/h.
    z : array (shells + 1,) float64
        Redshifts of the shells' edges, increasing.
    n_side : int
        Of the HEALPix maps.
    octant : bool
        Only the directions of positive x, y and z.
    """

    cosmology: Cosmology
    observer: np.ndarray
    z: np.ndarray
    n_side: int
    octant: bool

    @property
    def chi(self) -> np.ndarray:
        """Comoving radii of the edges, Mpc/h."""
        return comoving_distance(self.cosmology, scale_factor(self.z))

    @property
    def shells(self) -> int:
        """Number of shells."""
        return len(self.z) - 1

    @property
    def pixels(self) -> int:
        """Number of pixels of a map of the whole sky."""
        return 12 * self.n_side**2

    def edges(self) -> list[float]:
        """Growth factors at which the cone is at the edges, from the farthest to the nearest."""
        return [float(self.cosmology.D1(scale_factor(z))) for z in self.z[::-1]]

    def times(self) -> list[float]:
        """Increasing growth factors at which particles are asked for, with the edges among them."""
        times = self.edges()[:1]
        chi = self.chi[::-1]
        for (far, near), D in zip(itertools.pairwise(chi), self.edges()[1:], strict=True):
            parts = int(np.ceil((far - near) / MOST_DEPTH))
            inner = far + (near - far) * np.arange(1, parts) / parts
            times += [float(D) for D in self.cosmology.D1(scale_factor_at(self.cosmology, inner))]
            times.append(D)
        return times


def build_cone(options: LightConeConfig, cosmology: Cosmology, box_size: float) -> Cone:
    """The cone that a configuration asks for, in a box of `box_size` Mpc/h."""
    observer = options.observer or (0.5 * box_size,) * 3
    if options.redshifts is not None:
        z = np.array(options.redshifts)
    else:
        far = comoving_distance(cosmology, scale_factor(options.z_max))
        chi = far * np.arange(1, options.shells) / options.shells
        z = np.array([0.0, *redshift(scale_factor_at(cosmology, chi)), options.z_max])
    return Cone(cosmology, np.array(observer), z, options.n_side, options.footprint == "octant")


def merged(outputs: list[float], times: list[float]) -> list[float]:
    """Outputs and a cone's times, in order, those of the cone that are close to an output left
    out: growth factors that hardly differ would make a step of no length."""
    far = [D for D in times if min((abs(D - other) for other in outputs), default=1.0) > NEARBY]
    return sorted([*outputs, *far])
