"""Density and its spectra in torch, which takes their gradient through particles and CIC mesh."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch

SHELL = 2.0
"""Width of shells in fundamental wavenumbers."""
REACH = 4.0 / 3.0
"""How far shells go, in Nyquist wavenumbers of the particle lattice."""


class Spectra(NamedTuple):
    """Beside a true density: tensors (mu bins, shells)."""

    ratio: torch.Tensor
    """P / P_true."""
    r: torch.Tensor
    """Cross-correlation coefficient."""


def spectra(
    modes: torch.Tensor, true: torch.Tensor, n_side: int, axis: int | None = None, bins: int = 1
) -> Spectra:
    """Spectra in shells from `SHELL` to `REACH`, and bins of |mu| with the line of sight.

    Parameters
    ----------
    modes, true : complex tensor (m, m, m//2+1)
    n_side : int
        Particles per dimension.
    axis : int, optional
        The line of sight, for more bins than one.
    bins : int
    """
    number, weight = _shells(modes.shape[0], axis, bins)
    shells = int(REACH * n_side / 2 / SHELL)

    def power(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        product = ((a.real * b.real + a.imag * b.imag) * weight).reshape(-1)
        sums = torch.zeros(int(number.max()) + 1).index_add(0, number, product)
        return sums[: (shells * bins)].view(shells, bins).T[:, 1:]

    P, P_true, cross = power(modes, modes), power(true, true), power(modes, true)
    return Spectra(P / P_true, cross / torch.sqrt(P * P_true))


@cache
def _shells(mesh: int, axis: int | None, bins: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Number of shell and bin of each mode, flat, the bin running fastest; how often each column of
    modes counts."""
    i = torch.fft.fftfreq(mesh, 1 / mesh)
    k = (i[:, None, None], i[None, :, None], torch.arange(mesh // 2 + 1.0)[None, None, :])
    length = torch.sqrt(k[0] ** 2 + k[1] ** 2 + k[2] ** 2)
    number = (length / SHELL).long()
    if axis is not None:
        mu = k[axis].abs() / length.clamp(min=1.0)
        number = number * bins + (mu * bins).long().clamp(max=bins - 1)
    weight = torch.full((mesh // 2 + 1,), 2.0)
    weight[0] = weight[-1] = 1.0
    return number.reshape(-1), weight


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
