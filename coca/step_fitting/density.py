"""The row of the last fitted step that gives the density, by descent on power and correlation.

Torch takes the gradient through the particles and the CIC mesh.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from coca import kernels
from coca.configuration.fitting import FitConfig
from coca.integration.fitted_kick import explicit_matrix, unmixing
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE
from coca.step_fitting.least_squares import Moments

if TYPE_CHECKING:
    from coca.step_fitting.runs import FitRun

POWER_WEIGHT = 3.0
"""Weight of (P / P_true - 1)^2 beside 1 - r in the fit of the last step."""
BIAS_PRIOR = 0.003
"""How far, in P / P_true, a simulation's power is from telling where `unbias` should go."""
SHELL = 2.0
"""Width in fundamental wavenumbers of the shells of `density_loss`."""


def fit_density(
    runs: list[FitRun], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The last step's matrices with the row for e fitted to power and correlation."""
    start = matrices[..., 0, :].astype(np.float32)
    fitted = matrices.copy()
    fitted[..., 0, :] = unbias(runs, start, descend(runs, moments, matrices, config))
    return fitted


def descend(
    runs: list[FitRun], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The row for e (nodes, *CLASSES, FEATURES) of least `density_loss`, by Adam.

    The unknowns are the changes of the row's elements in units of what changes positions by
    their error.
    """
    rng = np.random.default_rng(config.seed)
    squares = sum(np.diagonal(s, axis1=-2, axis2=-1).sum(axis=0) for s, _ in moments)
    rms = np.sqrt(squares / sum(n.sum(axis=0) for _, n in moments).clip(1)[:, None] / 3.0)
    error = np.mean([_error_after(run, matrices) for run in runs])
    unit = torch.from_numpy(np.float32(error / np.maximum(rms, 1e-3 * rms.max())))
    start = torch.from_numpy(matrices[..., 0, :].astype(np.float32))
    change = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([change], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
    for _ in range(config.iterations):
        optimiser.zero_grad()
        for run in rng.choice(np.array(runs), config.batch, replace=False):
            loss = density_loss(run, start + change * unit)
            (loss / config.batch).backward()
        optimiser.step()
        schedule.step()
    return (start + change.detach() * unit).numpy()


def unbias(runs: list[FitRun], start: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows on the way from `start` to `rows`, or beyond, that leave the power right on average.

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
    with torch.no_grad():
        ratio, _ = shell_spectra(run, torch.from_numpy(rows))
    return float(ratio[len(ratio) // 2 : 3 * len(ratio) // 4].mean() - 1)


def _error_after(run: FitRun, matrices: np.ndarray) -> float:
    """Rms error of the displacement that the last step with these matrices would leave."""
    rows = torch.from_numpy(matrices[..., 0, :].astype(np.float32))
    e = last_displacement(run, rows).numpy()
    return float(np.std((e - run.target(run.D_end)[0]).astype(np.float64)))


def density_loss(run: FitRun, rows: torch.Tensor) -> torch.Tensor:
    """Mean of POWER_WEIGHT (P / P_true - 1)^2 + 1 - r with weight 1 / k; see `shell_spectra`."""
    ratio, r = shell_spectra(run, rows)
    weights = 1.0 / torch.arange(1.0, len(r) + 1)
    return (weights * (POWER_WEIGHT * (ratio - 1) ** 2 + 1 - r)).sum() / weights.sum()


def shell_spectra(run: FitRun, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """P / P_true and r, in shells to the lattice's Nyquist k, of a run's particles after a
    last step with `rows` (nodes, *CLASSES, FEATURES)."""
    domain, D = run.truth.domain, run.D_end
    mesh = 2 * domain.n_side
    lattice = domain.add_lattice(run.frame.displacement(D))
    positions = torch.from_numpy(lattice) + last_displacement(run, rows)
    modes = torch_density_modes(positions, mesh, domain.box_size)
    true = torch.from_numpy(run.true_modes)
    shell, weight = _shells(mesh)
    keep = slice(1, int(domain.n_side / 2 / SHELL))

    def power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        product = ((a.real * b.real + a.imag * b.imag) * weight).reshape(-1)
        sums = torch.zeros(int(shell.max()) + 1).index_add(0, shell, product)
        return sums[keep]

    P, P_true, cross = power(modes, modes), power(true, true), power(modes, true)
    return P / P_true, cross / torch.sqrt(P * P_true)


def last_displacement(run: FitRun, rows: torch.Tensor) -> torch.Tensor:
    """Residual displacement (3, N) at the end of the last step, with derivatives.

    It is what `FitRun.advance` gives, in torch, which takes the gradient.

    Parameters
    ----------
    run : FitRun
        It has measured the last step.
    rows : tensor (nodes, *CLASSES, FEATURES)
        Deviations from the explicit row for e.
    """
    step, state, s, changes = run.steps[-1], run.state, run.measured.g, run.rule.changes
    H, memory = step.D1 - step.D0, run.rule.memory
    impulse = np.float32(H**2 * run.truth.cosmology.c(step.D_mid))
    features = torch.from_numpy(
        np.stack([state.e, np.float32(H) * state.w, impulse * s, memory["before"]])
    )
    explicit = torch.from_numpy(explicit_matrix(step)[0].astype(np.float32))
    sharp = (torch.from_numpy(inverse.astype(np.float32)) for inverse in unmixing())
    deviation = torch.einsum("k,k...->...", torch.from_numpy(run.weights), rows)
    mine = explicit + torch.einsum("bc,kl,clf->bkf", *sharp, deviation)
    now = _shares(run.measured.delta, DENSITIES)
    before = _shares(memory["delta_before"], DENSITIES_BEFORE)
    flat = mine.reshape(-1, mine.shape[-1])
    per_particle = sum(
        (u * t)[:, None] * flat[b * CLASSES[1] + k] for b, u in before for k, t in now
    )
    found = np.zeros_like(s)
    kernels.substeps.add_at(changes.e, changes.indices, found)
    return torch.einsum("pf,fcp->cp", per_particle, features) + torch.from_numpy(found)


def _shares(delta: np.ndarray, boundaries: np.ndarray) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two classes that each particle's matrix is of, and how much of each."""
    place = torch.from_numpy(kernels.fitted.place(delta, boundaries))
    low = place.floor().clamp(max=len(boundaries) - 1)
    return [(low.long(), 1 - (place - low)), (low.long() + 1, place - low)]


@cache
def _shells(mesh: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Shell of each mode, flat, and how often each column of modes counts."""
    i = torch.fft.fftfreq(mesh, 1 / mesh)
    k = torch.arange(mesh // 2 + 1.0)
    length = torch.sqrt(i[:, None, None] ** 2 + i[None, :, None] ** 2 + k**2)
    weight = torch.full((mesh // 2 + 1,), 2.0)
    weight[0] = weight[-1] = 1.0
    return (length / SHELL).long().reshape(-1), weight


def torch_density_modes(x: torch.Tensor, mesh: int, box_size: float) -> torch.Tensor:
    """`coca.statistics.spectra.density_modes` of positions (3, N) in Mpc/h, with derivatives."""
    u = x * (mesh / box_size)
    cell = torch.floor(u.detach())
    fraction, cell = u - cell, cell.long()
    near = [(1 - fraction, cell % mesh), (fraction, (cell + 1) % mesh)]
    density = torch.zeros(mesh**3)
    for wx, ix in ((w[0], i[0]) for w, i in near):
        for wy, iy in ((w[1], i[1]) for w, i in near):
            for wz, iz in ((w[2], i[2]) for w, i in near):
                density = density.index_add(0, (ix * mesh + iy) * mesh + iz, wx * wy * wz)
    return torch.fft.rfftn(density.view(mesh, mesh, mesh)) / x.shape[1]
