"""Convergence in the Born approximation, from the shells of a light cone.

Light of sources at comoving distance chi_s is deflected along its unperturbed path,

    kappa = 3/2 Omega_m (H0 / c)^2 int dchi chi (chi_s - chi) / (chi_s a) delta

(Bartelmann & Schneider 2001, astro-ph/9912508), where delta is taken as one number in each shell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.distance import HUBBLE_DISTANCE, comoving_distance, scale_factor_at
from coca.errors import ConfigError
from coca.light_cone.footprint import Footprint
from coca.light_cone.shells import Shell
from coca.light_cone.sources import ROUND_OFF, Sources

NODES = 8
"""Nodes of the Gauss-Legendre integral of the kernel over a shell."""


@dataclass(frozen=True)
class Convergence:
    """A map of the convergence."""

    kappa: np.ndarray
    """Array (12 n_side^2,) float64, in ring order; without meaning outside the footprint."""
    shot_noise: float
    """The part of its C_l that is of single particles alone, were they thrown at random: for each
    shell its weight squared over its particles per steradian."""
    z: tuple[float, float]
    """Redshifts between which matter lenses: the cone's edges."""
    sources: Sources
    cosmology: Cosmology
    box_size: float
    """Mpc/h."""
    footprint: Footprint

    @property
    def chi(self) -> tuple[float, float]:
        """Comoving radii of the cone's edges, Mpc/h."""
        near, far = comoving_distance(self.cosmology, scale_factor(np.array(self.z)))
        return float(near), float(far)


def efficiency(cosmology: Cosmology, chi: np.ndarray, sources: Sources) -> np.ndarray:
    """What a density contrast adds to the convergence on a Mpc/h of path, at distances `chi` in
    Mpc/h."""
    reach = np.zeros_like(chi)
    for chi_s, part in zip(_distances(cosmology, sources), sources.share, strict=True):
        if chi_s > 0.0:
            reach += part * np.maximum(chi_s - chi, 0.0) / chi_s
    scale = 1.5 * cosmology.Omega_m / HUBBLE_DISTANCE**2
    return scale * chi * reach / scale_factor_at(cosmology, chi)


def _distances(cosmology: Cosmology, sources: Sources) -> np.ndarray:
    return comoving_distance(cosmology, scale_factor(sources.z))


def lensing_weight(cosmology: Cosmology, chi: tuple[float, float], sources: Sources) -> float:
    """What a shell's density contrast adds to the convergence.

    Parameters
    ----------
    cosmology : Cosmology
    chi : tuple of float
        Radii of the shell's edges, Mpc/h.
    sources : Sources
    """
    near, far = chi
    inside = [chi_s for chi_s in _distances(cosmology, sources) if near < chi_s < far]
    edges = np.unique([near, *inside, far])  # between them the kernel is smooth
    at, weights = gauss_legendre(edges[:-1], edges[1:])
    return float(np.sum(weights * efficiency(cosmology, at, sources)))


def gauss_legendre(near: np.ndarray, far: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances from near to far at which an integral over them takes its values, and the weights
    of these, arrays (*far.shape, NODES)."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    half = 0.5 * (far - near)[..., None]
    return near[..., None] + half * (1.0 + nodes), half * weights


def in_order(shells: Iterable[Shell]) -> Iterator[Shell]:
    """Shells as lensing takes them, one at a time, each checked before it is given.

    Raises
    ------
    ConfigError
        There are none, one is missing before another, or one is in redshift space.
    """
    end = None
    for shell in shells:
        shell.check_real_space()
        if end is not None and abs(shell.z[0] - end) > ROUND_OFF:
            raise ConfigError(
                f"shells: found one from z = {shell.z[0]:.6g} on after one that ends at "
                f"{end:.6g}, wanted all of a light cone from the nearest on"
            )
        end = shell.z[1]
        yield shell
    if end is None:
        raise ConfigError("shells: found none, wanted those of a light cone")


class ConvergenceSum:
    """The Born convergence of sources, to which shells are added one by one.

    Parameters
    ----------
    sources : Sources
    """

    def __init__(self, sources: Sources):
        self._sources = sources
        self._kappa, self._noise = np.zeros(0), 0.0
        self._near = 0.0
        self._last: Shell | None = None

    def add(self, shell: Shell) -> None:
        """Add what matter in the next shell lenses; shells come as from `in_order`."""
        if self._last is None:
            self._kappa, self._near = np.zeros(len(shell.counts)), shell.z[0]
        self._last = shell
        weight = lensing_weight(shell.cosmology, shell.chi, self._sources)
        self._kappa += weight * (shell.counts / shell.mean - 1.0)
        self._noise += weight**2 / (shell.mean * len(shell.counts) / (4.0 * np.pi))

    def total(self) -> Convergence:
        """The convergence of all shells.

        Raises
        ------
        ConfigError
            Sources lie beyond them.
        """
        assert self._last is not None
        last, end = self._last, self._last.z[1]
        self._sources.check(end)
        return Convergence(
            self._kappa, self._noise, (self._near, end), self._sources,
            last.cosmology, last.box_size, last.footprint,
        )  # fmt: skip


def convergence(shells: Iterable[Shell], sources: Sources) -> Convergence:
    """The Born convergence.

    Parameters
    ----------
    shells : iterable of Shell
        From the nearest on, to the farthest source or beyond; taken one at a time.
    sources : Sources

    Raises
    ------
    ConfigError
        Sources lie beyond the shells; or see `in_order`.
    """
    found = ConvergenceSum(sources)
    for shell in in_order(shells):
        found.add(shell)
    return found.total()
