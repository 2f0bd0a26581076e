"""Plain NumPy twins of the kernels, in float64."""

import itertools

import numpy as np
from coca.kernels.constants import CIC


def plain_clouds(x, m, cell, cloud):
    """Cells and weights of every particle's cloud, from the shapes of Hockney & Eastwood."""
    u = x.astype(np.float64) / cell
    if cloud == CIC:
        i = np.floor(u).astype(int)
        weights = [1 - (u - i), u - i]
    else:
        i = np.rint(u).astype(int)
        f = u - i
        weights = [(0.5 - f) ** 2 / 2, 0.75 - f**2, (0.5 + f) ** 2 / 2]
    for corner in itertools.product(range(len(cloud)), repeat=3):
        cells = tuple((i[axis] + cloud[c]) % m for axis, c in enumerate(corner))
        yield cells, np.prod([weights[c][axis] for axis, c in enumerate(corner)], axis=0)


def plain_paint(x, cloud, m, cell):
    mesh = np.zeros((m, m, m))
    for cells, weights in plain_clouds(x, m, cell, cloud):
        np.add.at(mesh, cells, weights)
    return mesh


def plain_read(x, mesh, cloud, cell):
    clouds = plain_clouds(x, len(mesh), cell, cloud)
    return sum(weights * mesh[cells] for cells, weights in clouds)


def plain_difference(mesh, axis, order=4):
    """Central differences from their Taylor coefficients."""
    s = np.arange(1, order // 2 + 1)
    powers = s[None, :] ** (2 * np.arange(order // 2)[:, None] + 1.0)
    weights = np.linalg.solve(2 * powers, np.eye(order // 2)[0])
    return sum(
        w * (np.roll(mesh, -k, axis) - np.roll(mesh, k, axis))
        for w, k in zip(weights, s, strict=True)
    )
