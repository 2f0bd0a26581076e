"""What tests of transforms do to modes."""

import numpy as np

from coca import kernels


def smooth(block, first, n):
    """A factor that tells every mode from every other."""
    kernels.fourier.gaussian_filter(block, first, 2 * np.pi, 0.02, 1.0 / n**3)
    kernels.fourier.gradient(block, first, 2 * np.pi, 1, 1.0)
