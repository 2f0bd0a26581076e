"""A folded, periodic U-Net.

Fields are folded: 2x2x2 cells become channels, so that all convolutions run at half the
particle resolution and below. Skips are additive. Omega_m, and other numbers
if wanted, enter every block by feature-wise modulation (Perez et al. 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coca.emulator.architecture import REACH, Architecture
from coca.emulator.layers import (
    LAYOUT,
    Block,
    GhostPlanes,
    Pointwise,
    fold,
    own_ghost_planes,
    unfold,
    zero,
)


class Whole:
    """Applies the network's operations to all of a field at once.

    Parameters
    ----------
    ghost_planes : callable
        See `GhostPlanes`; other than `own_ghost_planes` where a field is only a part of the period.
    """

    def __init__(self, ghost_planes: GhostPlanes = own_ghost_planes):
        self.ghost_planes = ghost_planes

    def __call__(self, operation: Callable, *fields: Tensor, reach: int = 0) -> Tensor:
        """Apply an operation to fields; one that reaches beyond its planes takes `ghost_planes`."""
        return operation(*fields, ghost_planes=self.ghost_planes) if reach else operation(*fields)


class Slabs:
    """Applies operations to slabs of x, one after the other; the result is that of `Whole`.

    Fields stay where they are, and only slabs go to the device.

    Parameters
    ----------
    count : int
        Number of slabs; divides the planes of every field.
    device : torch.device
    ghost_planes : callable
        As for `Whole`.
    """

    def __init__(
        self, count: int, device: torch.device, ghost_planes: GhostPlanes = own_ghost_planes
    ):
        self.count, self.device, self.ghost_planes = count, device, ghost_planes

    def __call__(self, operation: Callable, *fields: Tensor, reach: int = 0) -> Tensor:
        """Apply an operation slab by slab; `reach` planes are given at either end to one that takes
        `ghost_planes`."""
        operation = partial(operation, ghost_planes=None) if reach else operation
        out, where = torch.empty(0), fields[0].device
        ends = [
            self.ghost_planes(field, reach) if reach else (field[:, :, :0],) * 2 for field in fields
        ]
        for number in range(self.count):
            part = operation(
                *(self._slab(x, e, number, reach) for x, e in zip(fields, ends, strict=True))
            )
            b, c, planes, *shape = part.shape
            if number == 0:
                size = (b, c, planes * self.count, *shape)
                out = torch.empty(size, dtype=part.dtype, device=where, memory_format=LAYOUT)
            out[:, :, number * planes : (number + 1) * planes] = part
        return out

    def _slab(self, x: Tensor, ends: tuple[Tensor, Tensor], number: int, reach: int) -> Tensor:
        n, planes = x.shape[2], x.shape[2] // self.count
        low, high = number * planes - reach, (number + 1) * planes + reach
        before, after = ends
        parts = (before[:, :, low + reach :] if low < 0 else before[:, :, :0],
                 x[:, :, max(low, 0) : high],
                 after[:, :, : max(high - n, 0)])  # fmt: skip
        return torch.cat(parts, dim=2).to(self.device)


class UNet(nn.Module):
    """Features (B, inputs, n, n, n) and style (1, styles) to (B, outputs, n, n, n)."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = a = architecture
        levels = list(zip(a.channels[:-1], a.channels[1:], strict=True))
        self.stem = Pointwise(8 * a.inputs, a.channels[0])
        self.down = nn.ModuleList(Pointwise(8 * c0, c1) for c0, c1 in levels)
        self.up = nn.ModuleList(Pointwise(c1, 8 * c0) for c0, c1 in levels)
        blocks = partial(_blocks, styles=len(a.styles))
        self.encode = nn.ModuleList(map(blocks, a.channels, a.blocks))
        self.decode = nn.ModuleList(map(blocks, a.channels, a.blocks_up))
        self.head = Pointwise(a.channels[0] + 8 * a.inputs, 8 * a.outputs)
        zero(self.head)

    def forward(self, features: Tensor, style: Tensor, apply: Callable | None = None) -> Tensor:
        """The network's output; `apply` is a `Whole`, the default, or `Slabs`."""
        return unfold(self.folded(fold(features), style, apply))

    def folded(self, features: Tensor, style: Tensor, apply: Callable | None = None) -> Tensor:
        """`forward` of folded features (B, 8 inputs, n/2, n/2, n/2), folded itself."""
        apply = apply or Whole()
        x = apply(self.stem, features)
        skips = []
        for level, blocks in enumerate(self.encode):
            x = self._pass(blocks, x, style, apply)
            if level < len(self.down):
                skips.append(x)
                x = apply(lambda x, down=self.down[level]: down(fold(x)), x)
        for level in reversed(range(len(self.up))):
            x = apply(lambda skip, x, up=self.up[level]: skip + unfold(up(x)), skips.pop(), x)
            x = self._pass(self.decode[level], x, style, apply)
        return apply(lambda x, features: self.head(F.silu(x), features), x, features)

    def on(self, device: torch.device) -> UNet:
        """The network moved to a device, with kernels laid out as the fields are."""
        return self.to(device, memory_format=LAYOUT)  # type: ignore[call-overload]  # torch has it

    @staticmethod
    def _pass(blocks: nn.Module, x: Tensor, style: Tensor, apply: Callable) -> Tensor:
        for block in blocks.children():
            x = apply(partial(block, style=style), x, reach=REACH)
        return x


def _blocks(channels: int, count: int, styles: int) -> nn.ModuleList:
    return nn.ModuleList(Block(channels, styles) for _ in range(count))


def style_of(styles: tuple[str, ...], Omega_m: float, ln_sigma: float, spacing: float) -> Tensor:
    """The conditioning values of an architecture, (1, number) float32, each of order one.

    Parameters
    ----------
    styles : tuple of {"Omega_m", "ln_sigma", "ln_spacing"}
    Omega_m : float
    ln_sigma : float
        Logarithm of the rms of the linear density at D = 1 on the particle lattice.
    spacing : float
        Of the particles, Mpc/h.
    """
    values = {
        "Omega_m": (Omega_m - 0.3) * 5.0,
        "ln_sigma": ln_sigma - 0.7,
        "ln_spacing": math.log(spacing / 2.0),
    }
    return torch.tensor([[values[style] for style in styles]])
