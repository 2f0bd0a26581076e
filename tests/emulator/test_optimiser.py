import pytest
import torch

from coca.emulator.optimiser import Optimiser, orthogonalise


@pytest.mark.parametrize("shape", [(8, 40), (40, 8), (12, 12)])
def test_orthogonalise_gives_singular_values_near_one(shape):
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(shape)))
    assert values.min() > 0.4 and values.max() < 1.4


def test_a_parameter_without_gradient_stays():
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    layer.bias.grad = None
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    Optimiser(layer).step(0, 0.1, 0.1, 0.0)
    assert (layer.weight != weight).all() and (layer.bias == bias).all()
