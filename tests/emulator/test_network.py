import pytest
import torch

from coca.emulator.features import CHANNELS
from coca.emulator.layers import fold, periodic_pad, unfold
from coca.emulator.network import Slabs

CPU = torch.device("cpu")


def test_fold_and_unfold_are_inverse():
    x = torch.randn(2, 3, 4, 6, 8)
    assert torch.equal(unfold(fold(x)), x)
    assert torch.equal(fold(x)[0, :3, 1, 1, 1], x[0, :, 2, 2, 2])


def test_padding_is_periodic():
    x = torch.randn(1, 2, 4, 5, 6)
    expected = torch.nn.functional.pad(x, (1,) * 6, mode="circular")
    assert torch.equal(periodic_pad(x), expected)


def test_network_commutes_with_periodic_shifts(small):
    """No seams: shifting the input by whole coarse cells shifts the output."""
    x = torch.randn(1, CHANNELS, 16, 16, 16)
    style = torch.full((1, 1), 0.3)
    shift, dims = (8, -8, 8), (2, 3, 4)
    with torch.inference_mode():
        shifted = small.network(torch.roll(x, shift, dims), style)
        expected = torch.roll(small.network(x, style), shift, dims)
    torch.testing.assert_close(shifted, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_slabs_give_what_the_whole_gives(small, count):
    x = torch.randn(1, CHANNELS, 32, 16, 8)
    style = torch.full((1, 1), 0.3)
    with torch.inference_mode():
        wanted = small.network(x, style)
        found = small.network(x, style, Slabs(count, CPU))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_omega_m_matters(small):
    x = torch.randn(1, CHANNELS, 8, 8, 8)
    with torch.inference_mode():
        a, b = (small.network(x, torch.full((1, 1), s)) for s in (-0.5, 0.5))
    assert (a - b).abs().max() > 1e-3
