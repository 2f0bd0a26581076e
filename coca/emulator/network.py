"""A folded, periodic U-Net. The only module beside the trainer that imports torch layers.

Fields are folded: 2x2x2 cells become channels, so that all convolutions run at half the
particle resolution and below. Skips are additive. Omega_m enters every block by feature-wise
modulation (Perez et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coca.emulator.architecture import HALO, Architecture

Edges = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Gives as many planes before and after a field (B, C, X, Y, Z) in x."""


def own_edges(x: Tensor, planes: int) -> tuple[Tensor, Tensor]:
    """The edges of a field that holds the whole period."""
    n = x.shape[2]
    before, after = torch.arange(-planes, 0) % n, torch.arange(planes) % n
    return x.index_select(2, before.to(x.device)), x.index_select(2, after.to(x.device))


def periodic_pad(x: Tensor, edges: Edges | None = own_edges) -> Tensor:
    """One layer of periodic padding in y and z of (B, C, X, Y, Z), and in x where there are
    edges."""
    b, c, nx, ny, nz = x.shape
    more = 0 if edges is None else 1
    size, layout = (b, c, nx + 2 * more, ny + 2, nz + 2), torch.channels_last_3d
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=layout)
    inner = out[:, :, :, 1:-1, 1:-1]
    inner[:, :, more : more + nx] = x
    if edges is not None:
        inner[:, :, :1], inner[:, :, -1:] = edges(x, 1)
    for dim in (3, 4):  # the second takes the first's padding along
        n = x.shape[dim]
        out.select(dim, 0).copy_(out.select(dim, n))
        out.select(dim, n + 1).copy_(out.select(dim, 1))
    return out


def fold(x: Tensor) -> Tensor:
    """(B, C, 2X, 2Y, 2Z) to (B, 8C, X, Y, Z)."""
    b, c, nx, ny, nz = x.shape
    x = x.view(b, c, nx // 2, 2, ny // 2, 2, nz // 2, 2)
    x = x.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, nx // 2, ny // 2, nz // 2, 8 * c)
    return x.permute(0, 4, 1, 2, 3)


def unfold(x: Tensor) -> Tensor:
    """The inverse of `fold`."""
    b, c8, nx, ny, nz = x.shape
    x = x.permute(0, 2, 3, 4, 1).reshape(b, nx, ny, nz, 2, 2, 2, c8 // 8)
    x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, 2 * nx, 2 * ny, 2 * nz, c8 // 8)
    return x.permute(0, 4, 1, 2, 3)


ROWS = 256
"""Least rows of a product: libraries sum over channels in another order where there are few, and
what a rank or a slab finds should not depend on how much it has."""


class Pointwise(nn.Conv3d):
    """A convolution of one cell: one matrix product."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        cells = x.permute(0, 2, 3, 4, 1)
        rows = cells.reshape(-1, cells.shape[-1])
        more = F.pad(rows, (0, 0, 0, ROWS - len(rows))) if len(rows) < ROWS else rows
        y = F.linear(more, self.weight.flatten(1), self.bias)[: len(rows)]
        return y.view(*cells.shape[:-1], -1).permute(0, 4, 1, 2, 3)


class Block(nn.Module):
    """x + conv(silu(modulate(conv(x)))), 3^3 kernels; the identity when new."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = nn.Conv3d(channels, channels, 3)
        self.conv1 = nn.Conv3d(channels, channels, 3)
        self.style = nn.Linear(1, 2 * channels)
        _zero(self.conv1)
        _zero(self.style)

    def forward(self, x: Tensor, style: Tensor, edges: Edges | None = own_edges) -> Tensor:
        """Both fields (B, channels, X, Y, Z); style (B, 1). A field without edges comes with
        `HALO` planes more at either end in x."""
        scale, shift = self.style(style)[:, :, None, None, None].chunk(2, dim=1)
        y = self.conv0(periodic_pad(x, edges))
        y = F.silu(y * (1 + scale) + shift)
        inner = x[:, :, HALO:-HALO] if edges is None else x
        return inner + self.conv1(periodic_pad(y, edges))


class Whole:
    """Applies the network's operations to all of a field at once.

    Parameters
    ----------
    edges : callable
        See `Edges`; other than `own_edges` where a field is only a part of the period.
    """

    def __init__(self, edges: Edges = own_edges):
        self.edges = edges

    def __call__(self, operation: Callable, *fields: Tensor, halo: int = 0) -> Tensor:
        """See the class; an operation with a halo takes `edges`."""
        return operation(*fields, edges=self.edges) if halo else operation(*fields)


class Slabs:
    """Applies operations to slabs of x, one after the other; the result is that of `Whole`.

    Fields stay where they are, and only slabs go to the device.

    Parameters
    ----------
    count : int
        Number of slabs; divides the planes of every field.
    device : torch.device
    edges : callable
        As for `Whole`.
    """

    def __init__(self, count: int, device: torch.device, edges: Edges = own_edges):
        self.count, self.device, self.edges = count, device, edges

    def __call__(self, operation: Callable, *fields: Tensor, halo: int = 0) -> Tensor:
        """See the class; `halo` planes are given at either end to an operation that takes
        `edges`."""
        operation = partial(operation, edges=None) if halo else operation
        out, where = torch.empty(0), fields[0].device
        ends = [self.edges(field, halo) if halo else (field[:, :, :0],) * 2 for field in fields]
        for number in range(self.count):
            part = operation(
                *(self._slab(x, e, number, halo) for x, e in zip(fields, ends, strict=True))
            )
            b, c, planes, *shape = part.shape
            if number == 0:
                size = (b, c, planes * self.count, *shape)
                layout = torch.channels_last_3d
                out = torch.empty(size, dtype=part.dtype, device=where, memory_format=layout)
            out[:, :, number * planes : (number + 1) * planes] = part
        return out

    def _slab(self, x: Tensor, ends: tuple[Tensor, Tensor], number: int, halo: int) -> Tensor:
        n, planes = x.shape[2], x.shape[2] // self.count
        low, high = number * planes - halo, (number + 1) * planes + halo
        before, after = ends
        parts = (before[:, :, low + halo :] if low < 0 else before[:, :, :0],
                 x[:, :, max(low, 0) : high],
                 after[:, :, : max(high - n, 0)])  # fmt: skip
        return torch.cat(parts, dim=2).to(self.device)


class UNet(nn.Module):
    """Features (B, inputs, n, n, n) and style (B, 1) to (B, outputs, n, n, n)."""

    def __init__(self, architecture: Architecture):
        super().__init__()
        self.architecture = a = architecture
        levels = list(zip(a.channels[:-1], a.channels[1:], strict=True))
        self.stem = Pointwise(8 * a.inputs, a.channels[0])
        self.down = nn.ModuleList(Pointwise(8 * c0, c1) for c0, c1 in levels)
        self.up = nn.ModuleList(Pointwise(c1, 8 * c0) for c0, c1 in levels)
        self.encode = nn.ModuleList(map(_blocks, a.channels, a.blocks))
        self.decode = nn.ModuleList(map(_blocks, a.channels, a.blocks_up))
        self.head = Pointwise(a.channels[0] + 8 * a.inputs, 8 * a.outputs)
        _zero(self.head)

    def forward(self, features: Tensor, style: Tensor, apply: Callable | None = None) -> Tensor:
        """See the class; `apply` is a `Whole`, the default, or `Slabs`."""
        apply = apply or Whole()
        x = apply(lambda f: self.stem(fold(f)), features)
        skips = []
        for level, blocks in enumerate(self.encode):
            x = self._pass(blocks, x, style, apply)
            if level < len(self.down):
                skips.append(x)
                x = apply(lambda x, down=self.down[level]: down(fold(x)), x)
        for level in reversed(range(len(self.up))):
            x = apply(lambda skip, x, up=self.up[level]: skip + unfold(up(x)), skips.pop(), x)
            x = self._pass(self.decode[level], x, style, apply)
        return apply(self._end, x, features)

    def on(self, device: torch.device) -> UNet:
        """The network moved to a device, with kernels laid out as the fields are."""
        layout = torch.channels_last_3d
        return self.to(device, memory_format=layout)  # type: ignore[call-overload]  # torch has it

    @staticmethod
    def _pass(blocks: nn.Module, x: Tensor, style: Tensor, apply: Callable) -> Tensor:
        for block in blocks.children():
            x = apply(partial(block, style=style), x, halo=HALO)
        return x

    def _end(self, x: Tensor, features: Tensor) -> Tensor:
        return unfold(self.head(torch.cat([F.silu(x), fold(features)], dim=1)))


def _zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(Block(channels) for _ in range(count))


def style_of(Omega_m: float) -> float:
    """The network's conditioning value (Omega_m - 0.3) * 5."""
    return (Omega_m - 0.3) * 5.0
