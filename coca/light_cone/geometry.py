"""The observer's light cone in a box and its copies: shells, and when they are passed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from coca.configuration.sections import LightConeConfig
from coca.cosmology.background import NEARBY, Cosmology, redshift, scale_factor
from coca.cosmology.distance import comoving_distance, scale_factor_at
from coca.light_cone.footprint import Footprint

MOST_DEPTH = 100.0
"""Mpc/h of the cone between two times at which particles are asked where they are; between, each
goes along a cubic, which is true to about 1e-3 Mpc/h."""
REDSHIFT_REACH = 50.0
"""Mpc/h by which redshift space moves a particle at most, 4400 to 5500 km/s up to z = 3."""
ROUND_OFF = 1e-6
"""Distances in Mpc/h that are so close are one."""


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
    footprint : Footprint
    redshift_space : bool
        Particles are in the shells where their redshifts put them.
    replica_seed : int or None
        Of copies of the box that are turned at random; none: they are periodic.
    """

    cosmology: Cosmology
    observer: np.ndarray
    z: np.ndarray
    n_side: int
    footprint: Footprint
    redshift_space: bool = False
    replica_seed: int | None = None

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
        return [D for _, D in self.passed]

    @cached_property
    def passed(self) -> list[tuple[float, float]]:
        """Radii of the cone in Mpc/h and growth factors at which particles are asked for, from the
        farthest on: at the shells' edges, as far beyond both ends as redshift space moves particles
        from, and in between."""
        ends = list(zip(self.chi[::-1].tolist(), self.edges(), strict=True))
        if self.redshift_space:
            ends.insert(0, self._at(ends[0][0] + REDSHIFT_REACH))
            ends += [self._at(max(ends[-1][0] - REDSHIFT_REACH, 0.0))] if ends[-1][0] else []
        passed = ends[:1]
        for (far, _), end in itertools.pairwise(ends):
            parts = int(np.ceil((far - end[0]) / MOST_DEPTH))
            inner = far + (end[0] - far) * np.arange(1, parts) / parts
            D = self.cosmology.D1(scale_factor_at(self.cosmology, inner))
            passed += [*zip(inner.tolist(), D.tolist(), strict=True), end]
        return passed

    def _at(self, chi: float) -> tuple[float, float]:
        """A radius of the cone, and the growth factor there."""
        a = scale_factor_at(self.cosmology, chi) if chi else 1.0
        return chi, float(self.cosmology.D1(a))

    @property
    def z_passed(self) -> tuple[float, float]:
        """Redshifts between which particles are asked for, the lower first."""
        if not self.redshift_space:
            return float(self.z[0]), float(self.z[-1])
        near, far = (redshift(self.cosmology.a_of_D(self.passed[i][1])) for i in (-1, 0))
        return float(near), float(far)

    def filling(self) -> list[list[int]]:
        """Shells that are neither empty nor complete while each piece is passed."""
        reach, shells = REDSHIFT_REACH if self.redshift_space else 0.0, []
        for (far, _), (near, _) in itertools.pairwise(self.passed):
            begun = self.chi[1:] > near - reach + ROUND_OFF
            shells.append(
                np.flatnonzero(begun & (self.chi[:-1] < far + reach - ROUND_OFF)).tolist()
            )
        return shells


def build_cone(
    options: LightConeConfig, cosmology: Cosmology, box_size: float, seed: int = 0
) -> Cone:
    """The cone that a configuration asks for, in a box of `box_size` Mpc/h of a run with a seed."""
    if options.replica_seed is not None:
        seed = options.replica_seed
    observer = options.observer or (0.5 * box_size,) * 3
    if options.redshifts is not None:
        z = np.array(options.redshifts)
    else:
        far = comoving_distance(cosmology, scale_factor(options.z_max))
        step = far / options.shells if options.every is None else options.every
        chi = step * np.arange(1, int(np.ceil(far / step - ROUND_OFF)))
        z = np.array([0.0, *redshift(scale_factor_at(cosmology, chi)), options.z_max])
    return Cone(
        cosmology, np.array(observer), z, options.n_side, footprint_of(options),
        options.redshift_space, None if options.replicas == "periodic" else seed,
    )  # fmt: skip


def footprint_of(options: LightConeConfig) -> Footprint:
    """The footprint that a configuration asks for."""
    if isinstance(options.footprint, str):
        return Footprint(options.footprint)
    return Footprint("cone", *options.footprint.direction, options.footprint.radius)


def merged(outputs: list[float], times: list[float]) -> list[float]:
    """Outputs and a cone's times, in order, those of the cone that are close to an output left
    out: growth factors that hardly differ would make a step of no length."""
    far = [D for D in times if min((abs(D - other) for other in outputs), default=1.0) > NEARBY]
    return sorted([*outputs, *far])
