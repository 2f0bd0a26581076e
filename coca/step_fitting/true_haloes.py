"""Haloes of a true simulation: their sizes, and velocity dispersions, beside a run's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from coca.parallel.domain import Domain
from coca.particles import into_box
from coca.statistics.haloes import LINKING_LENGTH, friends

FEWEST_BY_CLASS = (20, 50, 200)
"""Fewest particles of the haloes of each class of mass."""

SOFTENING = 0.02
"""Length below which distances from the middle are smooth, in particle spacings."""


class TrueHaloes(NamedTuple):
    """The particles of haloes, and what these have."""

    domain: Domain
    particles: torch.Tensor
    """Which of the run's particles are in haloes, tensor (M,) int64."""
    halo: torch.Tensor
    """The halo of each of them, tensor (M,) int64."""
    mass_class: torch.Tensor
    """Class of each halo by its mass, tensor (H,) int64, see `FEWEST_BY_CLASS`."""
    first: torch.Tensor
    """True position of one particle of each halo, tensor (3, H), Mpc/h."""
    size: torch.Tensor
    """Mean distance from the halo's middle, tensor (H,), Mpc/h."""
    dispersion: torch.Tensor
    """Mean square velocity relative to that of the halo, tensor (H,)."""

    def sizes(self, x: torch.Tensor) -> torch.Tensor:
        """Size over the true one, in the mean over the haloes of each class that there is, of a
        run's positions (3, N)."""
        return self._mean(_size(self, x) / self.size)

    def dispersions(self, v: torch.Tensor) -> torch.Tensor:
        """Means over classes of the dispersion of velocities (3, N) over the true one."""
        return self._mean(_spread(self, v[:, self.particles]) / self.dispersion)

    def _mean(self, ratio: torch.Tensor) -> torch.Tensor:
        count = torch.bincount(self.mass_class, minlength=len(FEWEST_BY_CLASS))
        sums = torch.zeros(len(FEWEST_BY_CLASS)).index_add(0, self.mass_class, ratio)
        return sums[count > 0] / count[count > 0]


def find_true_haloes(domain: Domain, x: np.ndarray, v: np.ndarray) -> TrueHaloes | None:
    """The haloes, if there are any, of true particles with positions and velocities (3, N)."""
    inside = into_box(x, domain.box_size)
    group = friends(inside, domain.box_size, LINKING_LENGTH * domain.cell)
    count = np.bincount(group)
    if count.max() < FEWEST_BY_CLASS[0]:
        return None
    particles = np.flatnonzero(count[group] >= FEWEST_BY_CLASS[0])
    heavy, first, halo = np.unique(group[particles], return_index=True, return_inverse=True)
    found = TrueHaloes(
        domain,
        torch.from_numpy(particles),
        torch.from_numpy(halo),
        torch.from_numpy(np.searchsorted(FEWEST_BY_CLASS, count[heavy], "right") - 1),
        torch.from_numpy(x[:, particles[first]]),
        torch.ones(len(heavy)),
        torch.ones(len(heavy)),
    )
    v_in = torch.from_numpy(np.ascontiguousarray(v[:, particles]))
    return found._replace(size=_size(found, torch.from_numpy(x)), dispersion=_spread(found, v_in))


def _size(haloes: TrueHaloes, x: torch.Tensor) -> torch.Tensor:
    """Mean distance (H,) of the particles of each halo from its middle."""
    L = haloes.domain.box_size
    apart = x[:, haloes.particles] - haloes.first[:, haloes.halo]
    squares = _squares(haloes, apart - L * torch.round(apart.detach() / L))
    return _mean_of(haloes, torch.sqrt(squares + (SOFTENING * haloes.domain.cell) ** 2))


def _spread(haloes: TrueHaloes, v: torch.Tensor) -> torch.Tensor:
    """Mean square (H,) of velocities (3, M) relative to that of each halo."""
    return _mean_of(haloes, _squares(haloes, v))


def _squares(haloes: TrueHaloes, values: torch.Tensor) -> torch.Tensor:
    """Squares (M,) of vectors (3, M) relative to their mean in each halo."""
    mean = torch.stack([_mean_of(haloes, part) for part in values])
    return ((values - mean[:, haloes.halo]) ** 2).sum(dim=0)


def _mean_of(haloes: TrueHaloes, values: torch.Tensor) -> torch.Tensor:
    """Mean (H,) of values (M,) in each halo."""
    H = len(haloes.mass_class)
    sums = torch.zeros(H).index_add(0, haloes.halo, values)
    return sums / torch.bincount(haloes.halo, minlength=H)
