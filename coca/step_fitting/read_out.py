"""The matrices of the last fitted step, which tell where particles are seen, by descent.

The mean of a particle's position, given what is measured, has no spread: haloes of such particles
are too small. So the row for e is fitted to what is measured in a run: power spectrum and
correlation with the truth, and the sizes of haloes. The row for H w stays that of the mean. What a
network reads out, `coca.step_fitting.network`, is fitted to the same, and to redshift space and
velocity dispersions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from coca.configuration.fitting import FitConfig
from coca.integration.fitted_kick import explicit_matrix, unmixing
from coca.statistics.spectra import density_modes
from coca.step_fitting.differentiable import REACH, SHELL, Spectra, end_of_step, spectra_beside
from coca.step_fitting.least_squares import Moments

if TYPE_CHECKING:
    from coca.step_fitting.runs import FitRun

POWER_WEIGHT = 12.0
"""Weight of (P / P_true - 1)^2 beside 1 - r."""
HALO_WEIGHT = 0.1
"""Weight of (size / true size - 1)^2, the mean square."""
BIAS_PRIOR = 0.003
"""How far, in P / P_true, a simulation's power is from telling where `unbias` should go."""


def fit_read_out(
    runs: list[FitRun], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The last step's matrices (K, *CLASSES, TARGETS, FEATURES) of least `position_loss`, without
    bias, from those of the means."""
    start, unit = torch.from_numpy(matrices.astype(np.float32)), units(runs, moments, matrices)
    change = torch.zeros_like(start, requires_grad=True)
    descend(runs, start, change, unit, config)
    fitted = start + change.detach() * unit
    return unbias(runs, start.numpy(), fitted.numpy()).astype(matrices.dtype)


def units(runs: list[FitRun], moments: Moments, matrices: np.ndarray) -> torch.Tensor:
    """Changes (classes now, TARGETS, FEATURES) of matrix elements that change positions by their
    error; none of the row for H w."""
    squares = sum(np.diagonal(s, axis1=-2, axis2=-1).sum(axis=0) for s, _ in moments)
    rms = np.sqrt(squares / sum(n.sum(axis=0) for _, n in moments).clip(1)[:, None] / 3.0)
    rms = np.maximum(rms, 1e-3 * rms.max())
    error = np.mean([_error_after(run, matrices) for run in runs])
    found = np.zeros((len(rms), *matrices.shape[-2:]), np.float32)
    found[:, 0] = error / rms
    return torch.from_numpy(found)


def descend(
    runs: list[FitRun],
    start: torch.Tensor,
    change: torch.Tensor,
    unit: torch.Tensor,
    config: FitConfig,
) -> None:
    """Bring the change of matrices, in units, to where the runs have the least `position_loss`, by
    Adam."""
    rng = np.random.default_rng(config.seed)
    optimiser = torch.optim.Adam([change], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
    for _ in range(config.iterations):
        optimiser.zero_grad()
        for run in rng.choice(np.array(runs), config.batch, replace=False):
            (position_loss(run, start + change * unit) / config.batch).backward()
        optimiser.step()
        schedule.step()


def unbias(runs: list[FitRun], start: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Matrices with the row for e on the way from `start` to `fitted`, or beyond, so that the power
    is right on average.

    Adam takes few simulations at a time and stops at a per cent or so. Each node gets a factor of
    the way so that P / P_true - 1, averaged from 1/2 to 3/4 of the lattice's Nyquist k, vanishes
    by least squares over all simulations, in the linear approximation; tilts stay. Where that does
    not make it smaller, `fitted` stay.
    """
    first, second = (np.array([_bias(run, m) for run in runs]) for m in (start, fitted))
    factor = np.clip(_node_factors(runs, first, second), 0.7, 1.3)
    moved, nodes = fitted.copy(), len(factor)
    way = fitted[:nodes, ..., 0, :] - start[:nodes, ..., 0, :]
    moved[:nodes, ..., 0, :] = start[:nodes, ..., 0, :] + factor[:, None, None, None] * way
    after = [_bias(run, moved) for run in runs]
    return moved if np.linalg.norm(after) < 0.9 * np.linalg.norm(second) else fitted


def _node_factors(runs: list[FitRun], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`factors` (nodes,) float32 on the nodes."""
    weights = np.array([run.on_nodes for run in runs])
    return factors(weights, np.ones(weights.shape[1]), first, second).astype(np.float32)


def factors(
    weights: np.ndarray, prior: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Shares of the way from the first to the second bias of each run at which it vanishes, by
    least squares.

    Parameters
    ----------
    weights : array (runs, K)
        Of the shares in each run.
    prior : array (K,)
        Shares where no run tells.
    first, second : array (runs,)
    """
    A = np.concatenate([weights * (second - first)[:, None], BIAS_PRIOR * np.eye(len(prior))])
    found: np.ndarray = np.linalg.lstsq(A, np.concatenate([-first, BIAS_PRIOR * prior]))[0]
    return found


def _bias(run: FitRun, matrices: np.ndarray) -> float:
    """What `power_bias` says of the last step with these matrices."""
    return power_bias(run, end_of_step(run, matrices_of(run, torch.from_numpy(matrices)))[0])


def power_bias(run: FitRun, e: torch.Tensor) -> float:
    """Mean of P / P_true - 1 from 1/2 to 3/4 of the lattice's Nyquist k, of a run's particles with
    residual displacement (3, N) at its end."""
    ratio = real_space(run, positions(run, e)).ratio[0]
    nyquist = run.truth.domain.n_side / 2 / SHELL
    return float(ratio[int(nyquist / 2) : int(3 * nyquist / 4)].mean() - 1)


def _error_after(run: FitRun, matrices: np.ndarray) -> float:
    """Rms error of the displacement that the last step with these matrices would leave."""
    e = end_of_step(run, matrices_of(run, torch.from_numpy(matrices.astype(np.float32))))[0]
    return float(np.std((e.numpy() - run.target(run.D_end)[0]).astype(np.float64)))


def position_loss(run: FitRun, matrices: torch.Tensor) -> torch.Tensor:
    """What the last step's positions leave to be desired: power, correlation, sizes of haloes."""
    x = positions(run, end_of_step(run, matrices_of(run, matrices))[0])
    return loss_of_positions(run, x, HALO_WEIGHT)


def loss_of_positions(run: FitRun, x: torch.Tensor, halo_weight: float) -> torch.Tensor:
    """The same of positions (3, N), with the weight of sizes."""
    total = misfit(real_space(run, x))
    if run.true_haloes is not None:
        total = total + halo_weight * ((run.true_haloes.sizes(x) - 1) ** 2).mean()
    return total


def loss_of_velocities(
    run: FitRun, x: torch.Tensor, v: torch.Tensor, axis: int, halo_weight: float
) -> torch.Tensor:
    """The same of positions and velocities (3, N), with the weight of dispersions.

    Shells count to half of the lattice's Nyquist k, where multipoles are used: the tail of
    velocities in haloes, which smaller scales show and no factor makes, would bend these.
    """
    total = misfit(redshift_space(run, x, v, axis), 0.5 / REACH)
    if run.true_haloes is not None:
        total = total + halo_weight * ((run.true_haloes.dispersions(v) - 1) ** 2).mean()
    return total


def misfit(found: Spectra, share: float = 1.0) -> torch.Tensor:
    """Mean of POWER_WEIGHT (P / P_true - 1)^2 + 1 - r over the first share of the shells with
    weight 1 / k."""
    shells = max(1, round(share * found.r.shape[1]))
    weights = 1.0 / torch.arange(1.0, shells + 1)
    values = (POWER_WEIGHT * (found.ratio - 1) ** 2 + 1 - found.r).mean(dim=0)[:shells]
    return (weights * values).sum() / weights.sum()


def positions(run: FitRun, e: torch.Tensor) -> torch.Tensor:
    """Where a run's particles are with residual displacement (3, N) at its end."""
    domain = run.truth.domain
    return torch.from_numpy(domain.add_lattice(run.frame.displacement(run.D_end))) + e


def real_space(run: FitRun, x: torch.Tensor) -> Spectra:
    """Spectra of particles beside the truth's."""
    return spectra_beside(run.truth.domain, x, run.true_modes)


def redshift_space(run: FitRun, x: torch.Tensor, v: torch.Tensor, axis: int) -> Spectra:
    """Spectra in bins of |mu|, with every particle moved by f D v along the line of sight."""
    domain, cosmology, D = run.truth.domain, run.truth.cosmology, run.D_end
    shift = float(cosmology.f1(cosmology.a_of_D(D)) * D)
    along = torch.zeros(3, 1)
    along[axis] = shift
    disp, vel = run.truth.at(D)
    true_x = domain.add_lattice(disp)
    true_x[axis] += np.float32(shift) * vel[axis]
    true = density_modes(domain, true_x, 2 * domain.n_side)
    return spectra_beside(domain, x + along * v, true, axis)


def matrices_of(run: FitRun, deviation: torch.Tensor) -> torch.Tensor:
    """A run's last matrices (*CLASSES, TARGETS, FEATURES), as `FittedKick.set_matrices` makes
    them from deviations (K, *CLASSES, TARGETS, FEATURES)."""
    mine = torch.einsum("k,k...->...", torch.from_numpy(run.weights), deviation)
    sharp = (torch.from_numpy(inverse.astype(np.float32)) for inverse in unmixing())
    explicit = torch.from_numpy(explicit_matrix(run.steps[-1]).astype(np.float32))
    return explicit + torch.einsum("bc,kl,cltf->bktf", *sharp, mine)
