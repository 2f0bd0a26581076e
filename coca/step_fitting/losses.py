"""What a run's particles leave to be desired: power and correlation with the truth in real and in
redshift space, sizes and velocity dispersions of haloes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from coca.statistics.spectra import density_modes
from coca.step_fitting.differentiable import REACH, SHELL, RelativeSpectra, relative_spectra

if TYPE_CHECKING:
    from coca.step_fitting.runs import FitRun

POWER_WEIGHT = 12.0
"""Weight of (P / P_true - 1)^2 beside 1 - r."""


def loss_of_positions(run: FitRun, x: torch.Tensor, size_weight: float) -> torch.Tensor:
    """Misfit of positions (3, N) in real space, and mean square of size / true size - 1 of haloes,
    with its weight."""
    total = misfit(real_spectra(run, x))
    if run.true_haloes is not None:
        total = total + size_weight * ((run.true_haloes.sizes(x) - 1) ** 2).mean()
    return total


def loss_of_velocities(
    run: FitRun, x: torch.Tensor, v: torch.Tensor, axis: int, dispersion_weight: float
) -> torch.Tensor:
    """Misfit of positions and velocities (3, N) in redshift space, and that of dispersions of
    haloes, with its weight.

    Shells count to half of the lattice's Nyquist k, where multipoles are used: the tail of
    velocities in haloes, which smaller scales show and no factor makes, would bend these.
    """
    total = misfit(redshift_spectra(run, x, v, axis), 0.5 / REACH)
    if run.true_haloes is not None:
        total = total + dispersion_weight * ((run.true_haloes.dispersions(v) - 1) ** 2).mean()
    return total


def misfit(found: RelativeSpectra, share: float = 1.0) -> torch.Tensor:
    """Mean of POWER_WEIGHT (P / P_true - 1)^2 + 1 - r over the first share of the shells, with
    weights that are as 1 / k where they begin, and twice that of the next for the longest waves:
    these are to stay what perturbation theory makes them in any larger box."""
    shells = max(1, round(share * found.r.shape[1]))
    weights = 1.0 / torch.arange(float(shells)).clamp(min=0.5)
    values = (POWER_WEIGHT * (found.ratio - 1) ** 2 + 1 - found.r).mean(dim=0)[:shells]
    return (weights * values).sum() / weights.sum()


def power_bias(run: FitRun, e: torch.Tensor) -> float:
    """Mean of P / P_true - 1 from 1/2 to 3/4 of the lattice's Nyquist k, of a run's particles with
    residual displacement (3, N) at its end."""
    ratio = real_spectra(run, positions(run, e)).ratio[0]
    nyquist = run.truth.domain.n_side / 2 / SHELL
    return float(ratio[int(nyquist / 2) + 1 : int(3 * nyquist / 4) + 1].mean() - 1)


def positions(run: FitRun, e: torch.Tensor) -> torch.Tensor:
    """Where a run's particles are with residual displacement (3, N) at its end."""
    domain = run.truth.domain
    return torch.from_numpy(domain.add_lattice(run.frame.displacement(run.D_end))) + e


def real_spectra(run: FitRun, x: torch.Tensor) -> RelativeSpectra:
    """Spectra of particles at `x` (3, N) beside the truth's."""
    return relative_spectra(run.truth.domain, x, run.true_modes)


def redshift_spectra(run: FitRun, x: torch.Tensor, v: torch.Tensor, axis: int) -> RelativeSpectra:
    """Spectra in bins of |mu|, with every particle moved by f D v along the line of sight."""
    domain, cosmology, D = run.truth.domain, run.truth.cosmology, run.D_end
    shift = float(cosmology.f1(cosmology.a_of_D(D)) * D)
    along = torch.zeros(3, 1)
    along[axis] = shift
    disp, vel = run.truth.at(D)
    true_x = domain.add_lattice(disp)
    true_x[axis] += np.float32(shift) * vel[axis]
    true = density_modes(domain, true_x, 2 * domain.n_side)
    return relative_spectra(domain, x + along * v, true, axis)
