"""How nonlinear a box is where a run ends: what fitted steps depend on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.cosmology.linear_power import LinearPower
from coca.parallel.domain import Domain

MODES_AT_A_TIME = 2**20
"""Modes whose squares are in memory at once."""
CELLS = 64
"""Cells, along one axis, of the lattice on which the mean of all boxes is summed."""
LARGE_SCALES = 8
"""Part of the lattice's wavenumbers, along one axis, whose modes are long."""


class LinearDensity(NamedTuple):
    """The linear density on the particle lattice, at one growth factor."""

    log_sigma: float
    """ln of its rms at D = 1."""
    slope: float
    """ln of the share in the rms of modes with |k_z| below 1/8 of the lattice's 2 pi / spacing:
    the larger, the more the long ones have of it."""
    D: float
    """Growth factor."""

    @property
    def log_rms(self) -> float:
        """ln of its rms at D."""
        return max(self.log_sigma + float(np.log(self.D)), LEAST_LOG_RMS)


LEAST_LOG_RMS = float(np.log(1e-6))
"""ln of the rms of a box without structure."""


def linear_density(domain: Domain, delta_k: np.ndarray, D: float) -> LinearDensity:
    """The linear density at D, from modes (n, rows, n//2+1) at D = 1."""
    power = np.zeros(delta_k.shape[2])
    for planes in np.array_split(delta_k, -(-delta_k.size // MODES_AT_A_TIME)):
        squares = np.square(planes.real) + np.square(planes.imag)
        power += squares.sum(axis=(0, 1), dtype=np.float64)
    power[1 : -1 if domain.n_side % 2 == 0 else None] *= 2.0
    long = power[: max(1, domain.n_side // LARGE_SCALES)]
    variance, of_long = (domain.sum(float(part.sum())) for part in (power, long))
    if variance <= np.exp(2 * LEAST_LOG_RMS):
        return LinearDensity(LEAST_LOG_RMS, 0.0, D)
    share = 0.5 * float(np.log(max(of_long, 1e-12 * variance) / variance))
    return LinearDensity(0.5 * float(np.log(variance)), share, D)


def mean_linear_density(power: LinearPower, spacing: float, D: float) -> LinearDensity:
    """The linear density of a lattice of this spacing, Mpc/h, in the mean of boxes that are not
    small."""
    m = np.arange(1 - CELLS // 2, CELLS // 2)
    box_size = CELLS * spacing
    k = 2.0 * np.pi / box_size * np.sqrt((m**2)[:, None, None] + (m**2)[:, None] + m**2)
    planes = power(k).sum(axis=(0, 1)) / box_size**3
    long = planes[np.abs(m) < CELLS // LARGE_SCALES].sum()
    return LinearDensity(0.5 * np.log(planes.sum()), 0.5 * np.log(long / planes.sum()), D)
