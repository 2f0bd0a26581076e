"""The matrices of the last fitted step, which tell where particles are seen, by descent.

The mean of a particle's position or velocity, given what is measured, has no spread: haloes of
such particles are too small and too cold. So what is read from a run is fitted to what is measured
in it: power spectra and correlations with the truth in real and in redshift space, and the size and
velocity dispersion of haloes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.integration.fitted_kick import explicit_matrix, unmixing
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE
from coca.statistics.spectra import density_modes
from coca.step_fitting.least_squares import Moments
from coca.step_fitting.torch_density import Spectra, spectra, torch_density_modes

if TYPE_CHECKING:
    from coca.step_fitting.runs import FitRun

POWER_WEIGHT = 3.0
"""Weight of (P / P_true - 1)^2 beside 1 - r."""
HALO_WEIGHT = 0.1
"""Weight of (size / true size - 1)^2 and that of dispersions, mean squares both."""
ANGLES = 3
"""Bins of |mu| in redshift space."""
BIAS_PRIOR = 0.003
"""How far, in P / P_true, a simulation's power is from telling where `unbias` should go."""


def fit_read_out(
    runs: list[FitRun], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The last step's matrices (nodes, *CLASSES, TARGETS, FEATURES), from those of the means."""
    start = matrices.astype(np.float32)
    fitted = descend(runs, moments, matrices, config)
    fitted[..., 0, :] = unbias(runs, start[..., 0, :], fitted[..., 0, :])
    return fitted.astype(matrices.dtype)


def descend(
    runs: list[FitRun], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The matrices (nodes, *CLASSES, TARGETS, FEATURES) float32 of least `loss`, by Adam.

    The unknowns are the changes of their elements in units of what changes positions, and
    velocities, by their error.
    """
    rng = np.random.default_rng(config.seed)
    squares = sum(np.diagonal(s, axis1=-2, axis2=-1).sum(axis=0) for s, _ in moments)
    rms = np.sqrt(squares / sum(n.sum(axis=0) for _, n in moments).clip(1)[:, None] / 3.0)
    rms = np.maximum(rms, 1e-3 * rms.max())
    error = np.mean([_errors_after(run, matrices) for run in runs], axis=0)
    unit = torch.from_numpy(np.float32(error[:, None] / rms[:, None, :]))
    start = torch.from_numpy(matrices.astype(np.float32))
    change = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([change], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
    for _ in range(config.iterations):
        optimiser.zero_grad()
        for run in rng.choice(np.array(runs), config.batch, replace=False):
            value = loss(run, start + change * unit, int(rng.integers(3)))
            (value / config.batch).backward()
        optimiser.step()
        schedule.step()
    return (start + change.detach() * unit).numpy()


def unbias(runs: list[FitRun], start: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows for e on the way from `start` to `rows`, or beyond, that leave the power right on
    average.

    Adam takes few simulations at a time and stops at a per cent or so. Each node gets a factor of
    the way so that P / P_true - 1, averaged from 1/2 to 3/4 of the lattice's Nyquist k, vanishes
    by least squares over all simulations, in the linear approximation. Where that does not make
    it smaller, `rows` stay.
    """
    weights = np.array([run.weights for run in runs])
    first, second = (np.array([_bias(m, r) for m in runs]) for r in (start, rows))
    A = np.concatenate([weights * (second - first)[:, None], BIAS_PRIOR * np.eye(weights.shape[1])])
    b = np.concatenate([-first, np.full(weights.shape[1], BIAS_PRIOR)])
    factor = np.clip(np.linalg.lstsq(A, b, rcond=None)[0], 0.7, 1.3).astype(np.float32)
    moved = start + factor[:, None, None, None] * (rows - start)
    after = [_bias(run, moved) for run in runs]
    return moved if np.linalg.norm(after) < 0.9 * np.linalg.norm(second) else rows


def _bias(run: FitRun, rows: np.ndarray) -> float:
    """Mean of P / P_true - 1 from 1/2 to 3/4 of the lattice's Nyquist k."""
    with torch.no_grad():
        e = read_residual(run, torch.from_numpy(np.ascontiguousarray(rows[..., None, :])))[0]
        ratio = real_space(run, positions(run, e)).ratio[0]
    nyquist = run.truth.domain.n_side / 4
    return float(ratio[int(nyquist / 2) : int(3 * nyquist / 4)].mean() - 1)


def _errors_after(run: FitRun, matrices: np.ndarray) -> np.ndarray:
    """Rms errors of the displacement and of H times the velocity that the last step with these
    matrices would leave."""
    H = run.steps[-1].D1 - run.steps[-1].D0
    with torch.no_grad():
        found = read_residual(run, torch.from_numpy(matrices.astype(np.float32)))
    rms = [
        np.std((part.numpy() - true).astype(np.float64))
        for part, true in zip(found, run.target(run.D_end), strict=True)
    ]
    return np.array([rms[0], H * rms[1]])


def loss(run: FitRun, matrices: torch.Tensor, axis: int) -> torch.Tensor:
    """What the last step with these matrices leaves to be desired, with one line of sight.

    Positions are fitted in real space; redshift space is left to the velocities.
    """
    e, w = read_residual(run, matrices)
    x, v = positions(run, e), torch.from_numpy(run.frame.velocity(run.D_end)) + w
    total = misfit(real_space(run, x)) + misfit(redshift_space(run, x.detach(), v, axis))
    if run.true_haloes is not None:
        for ratio in run.true_haloes.ratios(x, v):
            total = total + HALO_WEIGHT * ((ratio - 1) ** 2).mean()
    return total


def misfit(found: Spectra) -> torch.Tensor:
    """Mean of POWER_WEIGHT (P / P_true - 1)^2 + 1 - r over shells with weight 1 / k."""
    weights = 1.0 / torch.arange(1.0, found.r.shape[1] + 1)
    values = (POWER_WEIGHT * (found.ratio - 1) ** 2 + 1 - found.r).mean(dim=0)
    return (weights * values).sum() / weights.sum()


def positions(run: FitRun, e: torch.Tensor) -> torch.Tensor:
    """Where a run's particles are with residual displacement (3, N) at its end."""
    domain = run.truth.domain
    return torch.from_numpy(domain.add_lattice(run.frame.displacement(run.D_end))) + e


def real_space(run: FitRun, x: torch.Tensor) -> Spectra:
    """Spectra of particles beside the truth's."""
    domain = run.truth.domain
    modes = torch_density_modes(x, 2 * domain.n_side, domain.box_size)
    return spectra(modes, torch.from_numpy(run.true_modes), domain.n_side)


def redshift_space(run: FitRun, x: torch.Tensor, v: torch.Tensor, axis: int) -> Spectra:
    """The same in bins of |mu|, with every particle moved by f D v along the line of sight."""
    domain, cosmology, D = run.truth.domain, run.truth.cosmology, run.D_end
    shift = float(cosmology.f1(cosmology.a_of_D(D)) * D)
    along = torch.zeros(3, 1)
    along[axis] = shift
    disp, vel = run.truth.at(D)
    true_x = domain.add_lattice(disp)
    true_x[axis] += np.float32(shift) * vel[axis]
    mesh = 2 * domain.n_side
    true = torch.from_numpy(density_modes(domain, true_x, mesh))
    modes = torch_density_modes(x + along * v, mesh, domain.box_size)
    return spectra(modes, true, domain.n_side, axis, ANGLES)


def read_residual(run: FitRun, matrices: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Residual displacement and velocity (3, N) at the end of the last step, with derivatives.

    It is what `FitRun.advance` gives, in torch, which takes the gradient.

    Parameters
    ----------
    run : FitRun
        It has measured the last step.
    matrices : tensor (nodes, *CLASSES, 1 or TARGETS, FEATURES)
        Deviations from the explicit matrix; with one row, that of the displacement alone.
    """
    step, state, s, changes = run.steps[-1], run.state, run.measured.g, run.rule.changes
    H, memory, rows = step.D1 - step.D0, run.rule.memory, matrices.shape[-2]
    impulse = np.float32(H**2 * run.truth.cosmology.c(step.D_mid))
    features = torch.from_numpy(
        np.stack([state.e, np.float32(H) * state.w, impulse * s, memory["before"]])
    )
    explicit = torch.from_numpy(explicit_matrix(step)[:rows].astype(np.float32))
    sharp = (torch.from_numpy(inverse.astype(np.float32)) for inverse in unmixing())
    deviation = torch.einsum("k,k...->...", torch.from_numpy(run.weights), matrices)
    mine = explicit + torch.einsum("bc,kl,cltf->bktf", *sharp, deviation)
    now = _shares(run.measured.delta, DENSITIES)
    before = _shares(memory["delta_before"], DENSITIES_BEFORE)
    flat = mine.reshape(-1, *mine.shape[-2:])
    per_particle = sum(
        (u * t)[:, None, None] * flat[b * CLASSES[1] + k] for b, u in before for k, t in now
    )
    found = torch.einsum("ptf,fcp->tcp", per_particle, features)
    parts = []
    for row, scale, change in zip(found, (1.0, 1.0 / H), (changes.e, changes.w), strict=False):
        ahead = np.zeros_like(s)
        kernels.substeps.add_at(change, changes.indices, ahead)
        parts.append(row * scale + torch.from_numpy(ahead))
    return tuple(parts)


def _shares(delta: np.ndarray, boundaries: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two classes that each particle's matrix is of, and how much of each."""
    place = torch.from_numpy(kernels.fitted.place(delta, boundaries))
    low = place.floor().clamp(max=len(boundaries) - 1)
    return [(low.long(), 1 - (place - low)), (low.long() + 1, place - low)]
