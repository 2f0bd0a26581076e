"""The network's own functions against torch's, and their derivatives."""

import pytest
import torch
import torch.nn.functional as F

from coca.emulator.layers import LAYOUT, Block, Pointwise, fold, periodic_pad, unfold
from coca.emulator.optimiser import POLYNOMIAL, orthogonalise

STYLE = torch.tensor([[0.3]])


def block_of(channels, dtype=torch.float64):
    torch.manual_seed(1)
    block = Block(channels)
    for p in block.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return block.to(dtype)


def plain_block(block, x, style):
    """A block of padded convolutions, each with its own derivative."""
    scale, shift = block.style(style)[:, :, None, None, None].chunk(2, dim=1)

    def convolve(x, layer):
        return F.conv3d(F.pad(x, (1,) * 6, mode="circular"), layer.weight, layer.bias)

    y = F.silu(convolve(x, block.conv0) * (1 + scale) + shift)
    return x + convolve(y, block.conv1)


def gradients(function, block, x, weights):
    x = x.clone().requires_grad_()
    (function(x) * weights).sum().backward()
    found = [x.grad, *(p.grad.clone() for p in block.parameters())]
    block.zero_grad()
    return found


# 1e-12 and 1e-5: round-off of sums of 27 * channels products, and of those over the box
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("shape", [(1, 6, 4, 6, 5), (2, 3, 1, 2, 3)])
def test_a_block_is_the_plain_one_and_so_are_its_derivatives(shape, dtype, tolerance):
    block, style = block_of(shape[1], dtype), STYLE.to(dtype)
    x, weights = torch.randn(2, *shape, dtype=dtype)
    found = gradients(lambda x: block(x, style), block, x, weights)
    wanted = gradients(lambda x: plain_block(block, x, style), block, x, weights)
    torch.testing.assert_close(
        block(x, style), plain_block(block, x, style), rtol=tolerance, atol=tolerance
    )
    for a, b in zip(found, wanted, strict=True):
        scale = b.abs().max().clamp(min=1)
        torch.testing.assert_close(a / scale, b / scale, rtol=0, atol=tolerance)


def test_derivatives_of_a_block_are_differences():
    block, style = block_of(2), STYLE.double()
    parameters = [p.detach().requires_grad_() for p in block.parameters()]
    names = [name for name, _ in block.named_parameters()]

    def function(x, *values):
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), (x, style))

    x = torch.randn(1, 2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x, *parameters))


@pytest.mark.parametrize("function", [fold, unfold])
def test_derivatives_of_folding_are_differences(function):
    x = torch.randn(1, 8, 2, 4, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, (x,))


def test_channels_stay_last_in_fields_and_gradients():
    """Otherwise every layer copies its field, and training takes twice as long."""
    x = torch.randn(1, 4, 6, 4, 4).contiguous(memory_format=LAYOUT).requires_grad_()
    y = block_of(4, torch.float32)(x, STYLE)
    z = unfold(Pointwise(32, 8)(fold(y)))
    z.backward(torch.ones_like(z))
    for field in (y, z, x.grad):
        assert field.is_contiguous(memory_format=LAYOUT)


def test_fields_that_follow_each_other_need_not_be_joined():
    layer = Pointwise(5, 3)
    a, b = torch.randn(1, 2, 4, 4, 4), torch.randn(1, 3, 4, 4, 4)
    joined = F.conv3d(torch.cat([a, b], dim=1), layer.weight, layer.bias)
    torch.testing.assert_close(layer(a, b), joined)


def test_padding_takes_a_function_along():
    x = torch.randn(1, 2, 4, 5, 6)
    padded = periodic_pad(x, function=lambda x, out: torch.mul(x, 2, out=out))
    assert torch.equal(padded, 2 * periodic_pad(x))


def plain_newton_schulz(G):
    a, b, c = POLYNOMIAL
    X = G / G.norm()
    for _ in range(5):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X


@pytest.mark.parametrize("shape", [(12, 60), (60, 12)])
def test_orthogonalising_is_iterating_the_matrix(shape):
    """Also where singular values are five decades apart; 1e-3: the squares' round-off."""
    torch.manual_seed(2)
    U, _, V = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    G = U @ torch.diag(torch.logspace(0, -5, min(shape))) @ V
    wide = G if shape[0] < shape[1] else G.T
    wanted = plain_newton_schulz(wide)
    found = orthogonalise(torch.stack([G, 3 * G]))
    for image in found if shape[0] < shape[1] else found.mT:
        torch.testing.assert_close(image, wanted, rtol=0, atol=1e-3)
