"""The matrices of the last fitted step, by descent: those of means would make haloes too small.

The mean of a particle's position, given what is measured, has no spread. So the row for e is fitted
to power spectrum and correlation with the truth and to the sizes of haloes, see
`coca.step_fitting.losses`. The row for H w stays that of the mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from coca.configuration.fitting import FitConfig
from coca.integration.fitted_kick import explicit_matrix, unmixing
from coca.step_fitting.differentiable import end_of_step
from coca.step_fitting.least_squares import Moments, factors
from coca.step_fitting.losses import loss_of_positions, positions, power_bias

if TYPE_CHECKING:
    from coca.step_fitting.runs import FitRun

SIZE_WEIGHT = 0.1
"""Weight of (size / true size - 1)^2, the mean square."""


def fit_last_step(
    runs: list[FitRun], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The last step's matrices (K, *CLASSES, TARGETS, FEATURES) of least `loss_after`, without
    bias, from those of the means."""
    start, unit = torch.from_numpy(matrices.astype(np.float32)), units(runs, moments, matrices)
    change = change_by_descent(runs, start, unit, config)
    return unbias(runs, start.numpy(), (start + change).numpy()).astype(matrices.dtype)


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


def change_by_descent(
    runs: list[FitRun], start: torch.Tensor, unit: torch.Tensor, config: FitConfig
) -> torch.Tensor:
    """The change of matrices with which the runs have the least `loss_after`, by Adam in units."""
    change = torch.zeros_like(start, requires_grad=True)
    rng = np.random.default_rng(config.seed)
    optimiser = torch.optim.Adam([change], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
    for _ in range(config.iterations):
        optimiser.zero_grad()
        for run in rng.choice(np.array(runs), config.batch, replace=False):
            (loss_after(run, start + change * unit) / config.batch).backward()
        optimiser.step()
        schedule.step()
    return change.detach() * unit


def unbias(runs: list[FitRun], start: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """Matrices with the row for e on the way from `start` to `fitted`, or beyond, so that the power
    is right on average.

    Adam takes few simulations at a time and stops at a per cent or so. Each node gets a factor of
    the way so that `power_bias` vanishes by least squares over all simulations, in the linear
    approximation; tilts stay. Where that does not make it smaller, `fitted` stay.
    """
    first, second = (np.array([_bias_after(run, m) for run in runs]) for m in (start, fitted))
    weights = np.array([run.on_nodes for run in runs])
    nodes = weights.shape[1]
    on_nodes = factors(weights, np.ones(nodes), first, second).astype(np.float32)
    factor = np.clip(on_nodes, 0.7, 1.3)[:, None, None, None]
    moved, way = fitted.copy(), fitted[:nodes, ..., 0, :] - start[:nodes, ..., 0, :]
    moved[:nodes, ..., 0, :] = start[:nodes, ..., 0, :] + factor * way
    after = [_bias_after(run, moved) for run in runs]
    return moved if np.linalg.norm(after) < 0.9 * np.linalg.norm(second) else fitted


def loss_after(run: FitRun, matrices: torch.Tensor) -> torch.Tensor:
    """What positions leave to be desired after the last step with these matrices."""
    return loss_of_positions(run, positions(run, _displaced(run, matrices)), SIZE_WEIGHT)


def matrices_of(run: FitRun, deviation: torch.Tensor) -> torch.Tensor:
    """A run's last matrices (*CLASSES, TARGETS, FEATURES), as `FittedKick.set_matrices` makes
    them from deviations (K, *CLASSES, TARGETS, FEATURES)."""
    mine = torch.einsum("k,k...->...", torch.from_numpy(run.weights), deviation)
    sharp = (torch.from_numpy(inverse.astype(np.float32)) for inverse in unmixing())
    explicit = torch.from_numpy(explicit_matrix(run.steps[-1]).astype(np.float32))
    return explicit + torch.einsum("bc,kl,cltf->bktf", *sharp, mine)


def _displaced(run: FitRun, matrices: torch.Tensor) -> torch.Tensor:
    """Residual displacement (3, N) after the last step with these matrices."""
    return end_of_step(run, matrices_of(run, matrices))[0]


def _bias_after(run: FitRun, matrices: np.ndarray) -> float:
    """Bias of the power after the last step with these matrices."""
    return power_bias(run, _displaced(run, torch.from_numpy(matrices)))


def _error_after(run: FitRun, matrices: np.ndarray) -> float:
    """Rms error of the displacement after the last step with these matrices."""
    e = _displaced(run, torch.from_numpy(matrices.astype(np.float32))).numpy()
    return float(np.std((e - run.target(run.D_end)[0]).astype(np.float64)))
