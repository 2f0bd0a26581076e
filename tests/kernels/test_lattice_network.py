"""Kernels of the network at every particle beside NumPy; tests/integration/test_read_out.py has the
layers."""

import numpy as np
import pytest
from coca.kernels import lattice_layout as layout
from scipy.ndimage import uniform_filter

from coca import kernels

REACH = layout.REACHES[-1]


@pytest.fixture(scope="module")
def box():
    """Fields of a whole periodic lattice, and their means as SciPy has them."""
    fields = np.random.default_rng(2).normal(size=(12, layout.FIELDS, 10, 11)).astype(np.float32)
    fields[:, layout.SQUARE] **= 2
    means = [
        [uniform_filter(np.float64(fields[:, c]), 2 * h + 1, mode="wrap") for c in range(14)]
        for h in layout.REACHES
    ]
    return fields, np.float32(means).transpose(2, 0, 1, 3, 4).copy()


def test_averages_are_those_of_cubes(box):
    """Of three of the planes; float32 sums of 729 numbers."""
    fields, wanted = box
    padded = np.take(fields, np.arange(2 - REACH, 5 + REACH), axis=0, mode="wrap")
    found = np.full((3, *wanted.shape[1:]), np.nan, np.float32)
    kernels.lattice_network.average(padded, REACH, found)
    used = np.isfinite(found)
    assert used[:, 0, : layout.SQUARE].all() and used[:, 1].all()
    assert used[:, 2, : layout.INWARD].all() and used[:, 2, layout.LOG_DENSITY].all()
    np.testing.assert_allclose(found[used], wanted[2:5][used], atol=2e-6)


def test_what_follows_from_a_force(box):
    rng = np.random.default_rng(3)
    fields, shape = box[0].copy(), (12, 10, 11)
    residual = rng.normal(size=(3, *shape)).astype(np.float32)
    delta, before = (rng.uniform(-1.2, 9, shape).astype(np.float32) for _ in range(2))
    g, scale = fields[:, layout.INWARD : layout.INWARD + 3].copy(), np.float32(0.3)
    kernels.lattice_network.prepare(fields, residual, scale, delta, before)
    floor = np.maximum(delta, -1)
    S = scale * residual
    length = np.sqrt((S**2).sum(axis=0))
    wanted = {
        layout.INWARD + 1: 3 * g[:, 1] / (3 + floor),
        layout.RESIDUAL + 2: S[2] / (1 + length),
        layout.LOG_DENSITY: np.log(1.05 + floor),
        layout.SQUARE: (length / (1 + length)) ** 2,
        layout.LOG_BEFORE: np.log(1.05 + np.maximum(before, -1)),
    }
    for place, values in wanted.items():
        np.testing.assert_allclose(fields[:, place], values, rtol=2e-5, atol=1e-6)


def test_vectors_and_scalars_are_what_is_said_of_them(box):
    fields, means = box
    conditions = np.zeros(3, np.float32)
    vectors = np.empty((layout.VELOCITIES, 3, *fields[:, 0].shape), np.float32)
    scalars = np.empty((layout.SCALARS, *fields[:, 0].shape), np.float32)
    kernels.lattice_network.features(fields, means, conditions, 0, vectors, scalars)

    def of(values, first):
        return np.moveaxis(values[:, first : first + 3], 1, 0)

    square = means[:, 1, layout.SQUARE]
    gate = square / (square + kernels.lattice_network.CLOSED)
    fast = of(means[:, 1], layout.VELOCITY) - of(fields, layout.VELOCITY)
    wanted = [
        of(fields, layout.INWARD),
        of(fields, layout.RESIDUAL),
        *(of(means[:, n], layout.INWARD) for n in (0, 1)),
        *(of(means[:, n], layout.RESIDUAL) for n in (0, 1)),
        *(of(means[:, n], layout.DISPLACEMENT) - of(fields, layout.DISPLACEMENT) for n in range(3)),
        fast / (1 + np.sqrt((fast**2).sum(axis=0))),
    ]
    assert len(wanted) == layout.VECTORS
    np.testing.assert_allclose(vectors[: layout.VECTORS], gate * np.array(wanted), atol=2e-5)
    np.testing.assert_allclose(vectors[layout.VECTORS + 1], gate * fast, atol=2e-5)
    lengths = np.sqrt((np.array(wanted) ** 2).sum(axis=1))
    at = 2 + layout.WIDTHS
    share = lengths / (lengths + 0.3)
    np.testing.assert_allclose(scalars[at : at + layout.VECTORS], share, atol=2e-5)
    cosine = (wanted[1] * wanted[0]).sum(axis=0) / (lengths[0] + 0.05) / (lengths[1] + 0.05)
    np.testing.assert_allclose(scalars[at + layout.VECTORS], cosine, atol=2e-5)
