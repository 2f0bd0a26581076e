"""The row of the last fitted step that gives the density, by descent on power and correlation.

Torch takes the gradient through the particles and the CIC mesh.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from coca.configuration.fitting import FitConfig
from coca.step_fitting.least_squares import Moments

if TYPE_CHECKING:
    from coca.step_fitting.runs import Member

POWER_WEIGHT = 3.0
"""Weight of (P / P_true - 1)^2 beside 1 - r in the fit of the last step."""
BIAS_PRIOR = 0.003
"""How far, in P / P_true, a simulation's power is from telling where `unbias` should go."""
SHELL = 2.0
"""Width in fundamental wavenumbers of the shells of `density_loss`."""


def fit_density(
    members: list[Member], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The last step's matrices with the row for e fitted to power and correlation."""
    start = matrices[..., 0, :].astype(np.float32)
    fitted = matrices.copy()
    fitted[..., 0, :] = unbias(members, start, descend(members, moments, matrices, config))
    return fitted


def descend(
    members: list[Member], moments: Moments, matrices: np.ndarray, config: FitConfig
) -> np.ndarray:
    """The row for e (nodes, *CLASSES, FEATURES) of least `density_loss`, by Adam.

    The unknowns are the changes of the row's elements in units of what changes positions by
    their error.
    """
    rng = np.random.default_rng(config.seed)
    squares = sum(np.diagonal(s, axis1=-2, axis2=-1).sum(axis=0) for s, _ in moments)
    rms = np.sqrt(squares / sum(n.sum(axis=0) for _, n in moments).clip(1)[:, None] / 3.0)
    error = np.mean([_error_after(member, matrices) for member in members])
    unit = torch.from_numpy(np.float32(error / np.maximum(rms, 1e-3 * rms.max())))
    start = torch.from_numpy(matrices[..., 0, :].astype(np.float32))
    change = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([change], config.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.iterations)
    for _ in range(config.iterations):
        optimiser.zero_grad()
        for member in rng.choice(np.array(members), config.batch, replace=False):
            loss = density_loss(member, start + change * unit)
            (loss / config.batch).backward()
        optimiser.step()
        schedule.step()
    return (start + change.detach() * unit).numpy()


def unbias(members: list[Member], start: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows on the way from `start` to `rows`, or beyond, that leave the power right on average.

    Adam takes few simulations at a time and stops at a per cent or so. Each node gets a factor of
    the way so that P / P_true - 1, averaged from 1/2 to 3/4 of the lattice's Nyquist k, vanishes
    by least squares over all simulations, in the linear approximation. Where that does not make
    it smaller, `rows` stay.
    """
    weights = np.array([member.weights for member in members])
    first, second = (np.array([_bias(m, r) for m in members]) for r in (start, rows))
    A = np.concatenate([weights * (second - first)[:, None], BIAS_PRIOR * np.eye(weights.shape[1])])
    b = np.concatenate([-first, np.full(weights.shape[1], BIAS_PRIOR)])
    factor = np.clip(np.linalg.lstsq(A, b, rcond=None)[0], 0.7, 1.3).astype(np.float32)
    moved = start + factor[:, None, None, None] * (rows - start)
    after = [_bias(member, moved) for member in members]
    return moved if np.linalg.norm(after) < 0.9 * np.linalg.norm(second) else rows


def _bias(member: Member, rows: np.ndarray) -> float:
    with torch.no_grad():
        ratio, _ = shell_spectra(member, torch.from_numpy(rows))
    return float(ratio[len(ratio) // 2 : 3 * len(ratio) // 4].mean() - 1)


def _error_after(member: Member, matrices: np.ndarray) -> float:
    """Rms error of the displacement that the last step with these matrices would leave."""
    rows = torch.from_numpy(matrices[..., 0, :].astype(np.float32))
    e = member.displacement(rows).numpy()
    return float(np.std((e - member.target(member.D_end)[0]).astype(np.float64)))


def density_loss(member: Member, rows: torch.Tensor) -> torch.Tensor:
    """Mean of POWER_WEIGHT (P / P_true - 1)^2 + 1 - r with weight 1 / k; see `shell_spectra`."""
    ratio, r = shell_spectra(member, rows)
    weights = 1.0 / torch.arange(1.0, len(r) + 1)
    return (weights * (POWER_WEIGHT * (ratio - 1) ** 2 + 1 - r)).sum() / weights.sum()


def shell_spectra(member: Member, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """P / P_true and r, in shells to the lattice's Nyquist k, of a member's particles after a
    last step with `rows` (nodes, *CLASSES, FEATURES)."""
    domain, D = member.truth.domain, member.D_end
    mesh = 2 * domain.n
    lattice = domain.add_lattice(member.frame.displacement(D))
    positions = torch.from_numpy(lattice) + member.displacement(rows)
    modes = torch_density_modes(positions, mesh, domain.box_size)
    true = torch.from_numpy(member.true_modes)
    shell, weight = _shells(mesh)
    keep = slice(1, int(domain.n / 2 / SHELL))

    def power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        product = ((a.real * b.real + a.imag * b.imag) * weight).reshape(-1)
        sums = torch.zeros(int(shell.max()) + 1).index_add(0, shell, product)
        return sums[keep]

    P, P_true, cross = power(modes, modes), power(true, true), power(modes, true)
    return P / P_true, cross / torch.sqrt(P * P_true)


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
