"""Layers of the periodic network: blocks of convolutions, products of single cells, folding.

Fields are tensors (B, C, X, Y, Z) with channels last in memory, their gradients too: a block is
one autograd function, since torch's own changes the layout of gradients in padding and slicing,
which takes as long as the convolutions. Layers compute in the dtype of the field, with parameters
in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv3d_weight

from coca.emulator.architecture import REACH
from coca.parallel.machine import processor_flags

LAYOUT = torch.channels_last_3d
ONEDNN_TYPES = [torch.float32] if torch.backends.mkldnn.is_available() else []
if ONEDNN_TYPES and {"avx512bw", "avx512vl", "avx512dq"} <= processor_flags():
    ONEDNN_TYPES.append(torch.bfloat16)
ROWS = 256
"""Least rows of a product: libraries sum over channels in another order where there are few, and
what a rank or a slab finds should not depend on how much it has."""

GhostPlanes = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""Gives as many planes before and after a field (B, C, X, Y, Z) in x."""


def own_ghost_planes(x: Tensor, planes: int) -> tuple[Tensor, Tensor]:
    """The ghost planes of a field that holds the whole period."""
    n = x.shape[2]
    if planes <= n:
        return x[:, :, n - planes :], x[:, :, :planes]
    before, after = torch.arange(-planes, 0) % n, torch.arange(planes) % n
    return x.index_select(2, before.to(x.device)), x.index_select(2, after.to(x.device))


def periodic_pad(
    x: Tensor,
    ghost_planes: GhostPlanes | None = own_ghost_planes,
    function: Callable[[Tensor, Tensor], object] | None = None,
) -> Tensor:
    """One layer of periodic padding in y and z of (B, C, X, Y, Z), and in x with ghost planes.

    Parameters
    ----------
    x : tensor
    ghost_planes : callable, optional
    function : callable, optional
        Called with x and the inner part of the result, which it fills; by default with x.
    """
    b, c, nx, ny, nz = x.shape
    more = 0 if ghost_planes is None else 1
    size = (b, c, nx + 2 * more, ny + 2, nz + 2)
    out = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=LAYOUT)
    inner = out[:, :, more : more + nx, 1:-1, 1:-1]
    if function is None:
        inner.copy_(x)
    else:
        function(x, inner)
    if ghost_planes is not None:
        planes = out[:, :, :, 1:-1, 1:-1]
        planes[:, :, :1], planes[:, :, -1:] = ghost_planes(inner, 1)
    for dim in (3, 4):  # the second takes the first's padding along
        n = x.shape[dim]
        out.select(dim, 0).copy_(out.select(dim, n))
        out.select(dim, n + 1).copy_(out.select(dim, 1))
    return out


class _Fold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        b, c, nx, ny, nz = x.shape
        x = x.view(b, c, nx // 2, 2, ny // 2, 2, nz // 2, 2)
        x = x.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(b, nx // 2, ny // 2, nz // 2, 8 * c)
        return x.permute(0, 4, 1, 2, 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return unfold(gradient)


class _Unfold(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        b, c8, nx, ny, nz = x.shape
        x = x.permute(0, 2, 3, 4, 1).reshape(b, nx, ny, nz, 2, 2, 2, c8 // 8)
        x = x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(b, 2 * nx, 2 * ny, 2 * nz, c8 // 8)
        return x.permute(0, 4, 1, 2, 3)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return fold(gradient)


def fold(x: Tensor) -> Tensor:
    """(B, C, 2X, 2Y, 2Z) to (B, 8C, X, Y, Z)."""
    return _Fold.apply(x)


def unfold(x: Tensor) -> Tensor:
    """The inverse of `fold`."""
    return _Unfold.apply(x)


class Pointwise(nn.Conv3d):
    """A convolution of one cell: one matrix product."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 1)
        self.bias: nn.Parameter  # there always is one

    def forward(self, *fields: Tensor) -> Tensor:
        """The layer's output, of fields that follow each other in the channels."""
        cells = [field.permute(0, 2, 3, 4, 1) for field in fields]
        rows = [_at_least(c.reshape(-1, c.shape[-1]), ROWS) for c in cells]
        kernels = self.weight.flatten(1).to(rows[0].dtype)
        kernels = kernels.split([r.shape[1] for r in rows], dim=1)
        y = F.linear(rows[0], kernels[0], self.bias.to(rows[0].dtype))
        for row, kernel in zip(rows[1:], kernels[1:], strict=True):
            y = torch.addmm(y, row, kernel.T)
        shape = cells[0].shape[:-1]
        return y[: shape.numel()].view(*shape, -1).permute(0, 4, 1, 2, 3)


def _at_least(rows: Tensor, count: int) -> Tensor:
    return F.pad(rows, (0, 0, 0, count - len(rows))) if len(rows) < count else rows


class Block(nn.Module):
    """x + conv(silu(modulate(conv(x)))), 3^3 kernels; the identity when new.

    Parameters
    ----------
    channels : int
    styles : int
        Conditioning values.
    """

    def __init__(self, channels: int, styles: int = 1):
        super().__init__()
        self.conv0 = nn.Conv3d(channels, channels, 3)
        self.conv1 = nn.Conv3d(channels, channels, 3)
        self.style = nn.Linear(styles, 2 * channels)
        zero(self.conv1)
        zero(self.style)

    def forward(
        self, x: Tensor, style: Tensor, ghost_planes: GhostPlanes | None = own_ghost_planes
    ) -> Tensor:
        """Both fields (B, channels, X, Y, Z); style (1, styles), the same for all. A field without
        ghost_planes comes with `REACH` planes more at either end in x."""
        scale, shift = self.style(style)[0].chunk(2)
        scale = 1 + scale
        weight = self.conv0.weight * scale[:, None, None, None, None]
        bias = self.conv0.bias * scale + shift
        return _Residual.apply(x, weight, bias, self.conv1.weight, self.conv1.bias, ghost_planes)


class _Residual(torch.autograd.Function):
    """x + conv(silu(conv(x))) of periodic fields, see `Block`.

    The gradient of a periodic convolution is the periodic convolution of the gradient with the
    kernel reversed, so that ghost planes are filled, never added.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight0: Tensor,
        bias0: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        ghost_planes: GhostPlanes | None,
    ) -> Tensor:
        weight0, bias0, weight1, bias1 = (p.to(x.dtype) for p in (weight0, bias0, weight1, bias1))
        padded0 = periodic_pad(x, ghost_planes)
        y0 = _convolve(padded0, weight0, bias0)
        padded1 = periodic_pad(y0, ghost_planes, _silu)
        ctx.save_for_backward(padded0, y0, padded1, weight0, weight1)
        ctx.ghost_planes = ghost_planes
        y1 = _convolve(padded1, weight1, bias1)
        return y1.add_(x[:, :, REACH:-REACH] if ghost_planes is None else x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        padded0, y0, padded1, weight0, weight1 = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=LAYOUT)
        of_kernel1 = _kernel_gradient(padded1, gradient, weight1)
        of_y0 = _convolve_back(gradient, weight1, ctx.ghost_planes)
        torch.ops.aten.silu_backward.grad_input(of_y0, y0, grad_input=of_y0)
        of_kernel0 = _kernel_gradient(padded0, of_y0, weight0)
        of_x = _convolve_back(of_y0, weight0, ctx.ghost_planes).add_(gradient)
        return of_x, *of_kernel0, *of_kernel1, None


def _convolve(padded: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """oneDNN's convolution where there is one: torch takes slow ones of its own for one small field
    in float32, and leaves the layout."""
    if padded.device.type == "cpu" and padded.dtype in ONEDNN_TYPES:
        strides = [0] * 3, [1] * 3, [1] * 3
        return torch.ops.aten.mkldnn_convolution(padded, weight, bias, *strides, 1)
    return F.conv3d(padded, weight, bias)


def _silu(x: Tensor, out: Tensor) -> None:
    torch.ops.aten.silu.out(x, out=out)


def _convolve_back(gradient: Tensor, weight: Tensor, ghost_planes: GhostPlanes) -> Tensor:
    return _convolve(periodic_pad(gradient, ghost_planes), weight.transpose(0, 1).flip(2, 3, 4))


def _kernel_gradient(padded: Tensor, gradient: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the kernel and of the bias."""
    rows = gradient.permute(0, 2, 3, 4, 1).flatten(0, 3)
    return conv3d_weight(padded, weight.shape, gradient), rows.sum(0)


def zero(layer: nn.Module) -> None:
    """Set a layer's parameters to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
