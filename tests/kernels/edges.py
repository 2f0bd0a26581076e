"""The classes of density of fitted steps, and how a particle is shared between two of them."""

import numpy as np

from coca.integration.fitted_table import DENSITIES, DENSITIES_BEFORE

EDGES = DENSITIES, DENSITIES_BEFORE


def shares(delta, edges):
    """How much of every class is in each particle's matrix: all of one, or near an edge, from
    6 % below it to 6 % above, of two."""
    over = (1.0 + delta.astype(np.float64))[:, None] / edges.astype(np.float64)
    rise = np.clip((over - 0.94) / 0.12, 0, 1)
    above, below = np.pad(rise, [(0, 0), (1, 0)], constant_values=1), np.pad(rise, [(0, 0), (0, 1)])
    return above - below
