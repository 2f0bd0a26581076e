"""A folded, periodic U-Net. The only module beside the trainer that imports torch layers.

Fields are folded: 2x2x2 cells become channels, so that all convolutions run at half the
particle resolution and below. Skips are additive. Omega_m enters every block by feature-wise
modulation (Perez et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Architecture:
    """Sizes of the network."""

    inputs: int
    """Channels of the input features."""
    outputs: int
    """Channels of the output."""
    channels: tuple[int, ...] = (48, 96, 96)
    """Channels at 1/2, 1/4, ... of the particle resolution."""
    blocks: tuple[int, ...] = (1, 2, 2)
    """Residual blocks on the way down at each level; the deepest level has only these."""
    blocks_up: tuple[int, ...] = (1, 1)
    """Residual blocks on the way up at each level but the deepest."""

    @property
    def divisor(self) -> int:
        """The number by which particles per dimension must divide."""
        return 2 ** len(self.channels)

    def to_dict(self) -> dict:
        """Plain values, for a file header."""
        return asdict(self)


def periodic_pad(x: Tensor, dims: tuple[int, ...] = (2, 3, 4)) -> Tensor:
    """One layer of periodic padding in spatial dimensions of (B, C, X, Y, Z)."""
    padded = [n + 2 * (dim in dims) for dim, n in enumerate(x.shape)]
    layout = torch.channels_last_3d
    out = torch.empty(padded, dtype=x.dtype, device=x.device, memory_format=layout)
    out[tuple(slice(1, -1) if dim in dims else slice(None) for dim in range(5))] = x
    for dim in dims:  # each overwrites what the one before took from its edges
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


class Pointwise(nn.Conv3d):
    """A convolution of one cell: one matrix product."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = F.linear(x.permute(0, 2, 3, 4, 1), self.weight.flatten(1), self.bias)
        return y.permute(0, 4, 1, 2, 3)


class Block(nn.Module):
    """x + conv(silu(modulate(conv(x)))), 3^3 kernels; the identity when new."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv0 = nn.Conv3d(channels, channels, 3)
        self.conv1 = nn.Conv3d(channels, channels, 3)
        self.style = nn.Linear(1, 2 * channels)
        nn.init.zeros_(self.conv1.weight)
        nn.init.zeros_(self.conv1.bias)
        nn.init.zeros_(self.style.weight)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, style: Tensor, slab: bool = False) -> Tensor:
        """Both fields (B, channels, X, Y, Z); style (B, 1). A slab of a field comes with `HALO`
        planes more at either end in x."""
        dims = (3, 4) if slab else (2, 3, 4)
        scale, shift = self.style(style)[:, :, None, None, None].chunk(2, dim=1)
        y = self.conv0(periodic_pad(x, dims))
        y = F.silu(y * (1 + scale) + shift)
        inner = x[:, :, HALO:-HALO] if slab else x
        return inner + self.conv1(periodic_pad(y, dims))


HALO = 2
"""Planes on either side that a plane depends on in a block."""


def whole(operation: Callable, *fields: Tensor, halo: int = 0) -> Tensor:
    """Applies an operation of the network to whole fields."""
    return operation(*fields)


class Slabs:
    """Applies operations to slabs of x, one after the other; the result is that of `whole`.

    Fields stay where they are, and only slabs go to the device.

    Parameters
    ----------
    count : int
        Number of slabs; divides the planes of every field.
    device : torch.device
    """

    def __init__(self, count: int, device: torch.device):
        self.count, self.device = count, device

    def __call__(self, operation: Callable, *fields: Tensor, halo: int = 0) -> Tensor:
        """See the class; `halo` planes are given at either end to an operation that takes
        `slab`."""
        operation = partial(operation, slab=True) if halo else operation
        out, where = None, fields[0].device
        for number in range(self.count):
            part = operation(*(self._slab(field, number, halo) for field in fields))
            b, c, planes, *shape = part.shape
            if out is None:
                size = (b, c, planes * self.count, *shape)
                layout = torch.channels_last_3d
                out = torch.empty(size, dtype=part.dtype, device=where, memory_format=layout)
            out[:, :, number * planes : (number + 1) * planes] = part
        return out

    def _slab(self, x: Tensor, number: int, halo: int) -> Tensor:
        planes = x.shape[2] // self.count
        wanted = torch.arange(number * planes - halo, (number + 1) * planes + halo)
        return x.index_select(2, wanted.to(x.device) % x.shape[2]).to(self.device)


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
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor, style: Tensor, apply: Callable = whole) -> Tensor:
        """See the class; `apply` is `whole` or `Slabs`."""
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

    @staticmethod
    def _pass(blocks: nn.ModuleList, x: Tensor, style: Tensor, apply: Callable) -> Tensor:
        for block in blocks:
            x = apply(partial(block, style=style), x, halo=HALO)
        return x

    def _end(self, x: Tensor, features: Tensor) -> Tensor:
        return unfold(self.head(torch.cat([F.silu(x), fold(features)], dim=1)))


def _blocks(channels: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(Block(channels) for _ in range(count))


def style_of(Omega_m: float) -> float:
    """The network's conditioning value (Omega_m - 0.3) * 5."""
    return (Omega_m - 0.3) * 5.0
