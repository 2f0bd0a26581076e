import numpy as np
import torch

from coca.statistics.spectra import density_modes
from coca.step_fitting.torch_density import torch_density_modes


def test_density_with_derivatives_is_the_density(domain, conditions):
    x = domain.add_lattice(conditions.psi1)
    differentiable = torch_density_modes(torch.from_numpy(x), 64, domain.box_size)
    modes = differentiable.numpy()
    modes[0, 0, 0] = 0
    np.testing.assert_allclose(modes, density_modes(domain, x, 64), atol=2e-7)
