"""Density, spectra and the fitted step with derivatives, for torch: numba does the sums."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from coca import kernels
from coca.integration.fitted_table import DENSITIES, DENSITIES_BEFORE
from coca.parallel.domain import Domain
from coca.statistics.spectra import density_modes

if TYPE_CHECKING:
    from coca.step_fitting.runs import FitRun

SHELL = 2.0
"""Width of shells in fundamental wavenumbers."""
REACH = 4.0 / 3.0
"""How far shells go, in Nyquist wavenumbers of the particle lattice."""
ANGLES = 3
"""Bins of |mu| of spectra with a line of sight."""


class RelativeSpectra(NamedTuple):
    """Spectra of particles beside those of a true density: tensors (bins of |mu|, shells)."""

    ratio: torch.Tensor
    """P / P_true."""
    r: torch.Tensor
    """Cross-correlation coefficient."""


def relative_spectra(
    domain: Domain, x: torch.Tensor, true: np.ndarray, axis: int | None = None
) -> RelativeSpectra:
    """Spectra of particles beside true density modes.

    Parameters
    ----------
    domain : Domain
    x : tensor (3, N)
        Positions in Mpc/h.
    true : array (m, m, m//2+1) complex64
    axis : int, optional
        The line of sight, for bins of |mu|.
    """
    bins = 1 if axis is None else ANGLES
    shells = int(REACH * domain.n_side / 2 / SHELL)
    number = shell_numbers(true.shape[0], axis)
    P_true = kernels.derivatives.shell_sums(true, true, number, shells * bins)[0]
    P, cross = _ShellSums.apply(x, domain, true, number, shells * bins)
    ratio = P / torch.from_numpy(P_true)
    r = cross / torch.sqrt(P * torch.from_numpy(P_true))
    return RelativeSpectra(*(values.view(shells, bins).T for values in (ratio, r)))


class _ShellSums(torch.autograd.Function):
    """Sums of |a|^2 and Re(a b*) in shells of k, of the density modes a of positions."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, domain: Domain, true: np.ndarray, number: np.ndarray, shells: int
    ) -> torch.Tensor:
        modes = density_modes(domain, x.detach().numpy(), true.shape[0])
        ctx.kept = x.detach().numpy(), domain, modes, true, number
        return torch.from_numpy(kernels.derivatives.shell_sums(modes, true, number, shells))

    @staticmethod
    def backward(ctx: Any, *derivatives: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, domain, modes, true, number = ctx.kept
        m, N = modes.shape[0], x.shape[1]
        fft = domain.transform(m)
        by_mode = fft.empty_k()
        factors = derivatives[0].numpy() / N
        kernels.derivatives.shell_derivative(modes, true, number, factors, by_mode)
        field = fft.backward(by_mode)
        out = np.empty_like(x)
        kernels.derivatives.cloud_derivative(x, field, np.float32(m / domain.box_size), out)
        return torch.from_numpy(out), None, None, None, None


@cache
def shell_numbers(mesh: int, axis: int | None) -> np.ndarray:
    """Number (m, m, m//2+1) uint16 of each mode's shell, and with a line of sight of its bin of
    |mu|, which runs fastest; the zero mode is left out."""
    i = np.fft.fftfreq(mesh, 1 / mesh)
    k = (i[:, None, None], i[None, :, None], np.arange(mesh // 2 + 1.0)[None, None, :])
    length = np.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    number = (length / SHELL).astype(np.int64)
    if axis is not None:
        mu = np.abs(k[axis]) / np.maximum(length, 1.0)
        number = number * ANGLES + np.minimum((mu * ANGLES).astype(np.int64), ANGLES - 1)
    number[0, 0, 0] = np.iinfo(np.uint16).max
    return number.astype(np.uint16)


def end_of_step(run: FitRun, matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual displacement and velocity (3, N) at the end of the step that a run has measured.

    It is what `FitRun.advance` gives, with derivatives.

    Parameters
    ----------
    run : FitRun
    matrices : tensor (*CLASSES, TARGETS, FEATURES)
        All of a step's matrix for each class, as the kernel takes it.
    """
    e, w = _Step.apply(matrices, run)
    return e, w


class _Step(torch.autograd.Function):
    """The fitted step, linear in its matrices."""

    @staticmethod
    def forward(ctx: Any, matrices: torch.Tensor, run: FitRun) -> tuple[torch.Tensor, ...]:
        ctx.run = run
        ends = run.state.e.copy(), run.state.w.copy()
        features, last = _features(run)
        features = (*ends, features[2], features[3].copy(), *features[4:])
        kernels.fitted.step(*features, matrices.detach().numpy(), *last)
        for end, change in zip(ends, (run.rule.changes.e, run.rule.changes.w), strict=True):
            kernels.substeps.add_at(change, run.rule.changes.indices, end)
        return tuple(torch.from_numpy(end) for end in ends)

    @staticmethod
    def backward(ctx: Any, *derivatives: torch.Tensor) -> tuple[torch.Tensor, None]:
        features, last = _features(ctx.run)
        ends = (derivative.contiguous().numpy() for derivative in derivatives)
        found = kernels.derivatives.matrix_derivative(*features, *last, *ends)
        return torch.from_numpy(found.astype(np.float32)), None


def _features(run: FitRun) -> tuple[tuple[np.ndarray, ...], tuple[float, float]]:
    """What the kernels of a fitted step take before and after its matrices."""
    step, memory, measured = run.steps[-1], run.rule.memory, run.measured
    features = (
        run.state.e, run.state.w, measured.g, memory["before"], measured.delta,
        memory["delta_before"], DENSITIES, DENSITIES_BEFORE,
    )  # fmt: skip
    return features, (step.D1 - step.D0, run.truth.cosmology.c(step.D_mid))
