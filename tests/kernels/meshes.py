"""A small mesh on which each kernel is compared with its plain twin, in slabs."""

import numpy as np
import pytest
from coca.kernels.constants import CIC, TSC

from coca import kernels

M = 12


CELL = 2.5


def slabs_of(number, below, above):
    """Slabs of the mesh as the kernels want them, and the planes that each holds with ghosts."""
    planes = M // number
    for first in range(0, M, planes):
        yield (first, planes, below), np.arange(first - below, first + planes + above) % M


def paint(x, cloud=CIC, slabs=1, **options):
    mesh = np.zeros((M, M, M), np.float32)
    for slab, held in slabs_of(slabs, -cloud[0], cloud[-1]):
        part = np.full((len(held), M, M + 2), np.nan, np.float32)
        kernels.assignment.paint(x.astype(np.float32), 1 / CELL, part, slab, cloud, **options)
        np.add.at(mesh, held, part[..., :M])
    return mesh


def read(x, mesh, cloud=CIC, slabs=1, **options):
    out = np.full(x.shape[1], np.nan, np.float32)
    for slab, held in slabs_of(slabs, -cloud[0], cloud[-1]):
        kernels.assignment.read(x, 1 / CELL, np.float32(mesh[held]), slab, out, cloud, **options)
    return out


def read_gradient(x, mesh, out, cloud=CIC, slabs=1, **options):
    for slab, held in slabs_of(slabs, 2 - cloud[0], 2 + cloud[-1]):
        part = np.pad(mesh[held], [(0, 0), (0, 0), (0, 2)], constant_values=np.nan)
        kernels.gradient.read_gradient(x, 1 / CELL, np.float32(part), slab, out, cloud, **options)


CLOUDS = pytest.mark.parametrize("cloud", [CIC, TSC], ids=["cic", "tsc"])


SLABS = pytest.mark.parametrize("slabs", [1, 3, 12])
"""The last of a plane each, thinner than clouds and differences reach."""
