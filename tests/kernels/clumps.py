"""Clustered particles in a box."""

import numpy as np

L = 10.0


def clumps(n, size, seed=1):
    """Half of the particles anywhere, half in a clump at a corner of the box."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, L, (3, n))
    x[:, ::2] = rng.normal(0, size, x[:, ::2].shape)
    x = np.mod(x, L).astype(np.float32)  # in the box, where the tree has them
    x[x >= L] = 0
    return x
