import itertools

import numpy as np
import pytest

from coca.parallel.domain import Grid
from coca.statistics import bispectrum
from coca.statistics.spectra import density_modes
from tests.statistics.made import L, made


def test_bispectrum_is_the_direct_sum():
    """All ordered triangles of a tiny mesh, one by one."""
    m = 12
    grid = Grid(L, m)
    x = np.random.default_rng(2).uniform(0, L, (3, 500))
    delta = np.fft.fftn(np.fft.irfftn(density_modes(grid, made(x).x, m, ordered=False), (m, m, m)))
    w = np.sinc(np.fft.fftfreq(m)) ** 2
    delta /= w[:, None, None] * w[None, :, None] * w[None, None, :]
    numbers = np.rint(np.fft.fftfreq(m, 1 / m)).astype(int)
    shells = {1: [], 2: [], 3: []}
    for k in itertools.product(numbers, repeat=3):
        if (shell := int(np.sqrt(np.dot(k, k)))) in shells:
            shells[shell].append(k)

    def direct(a, b):
        """Number of triangles and mean of the product, one side in a and two in b."""
        other, products = set(shells[b]), []
        for p, q in itertools.product(shells[a], shells[b]):
            r = tuple(-i - j for i, j in zip(p, q, strict=True))
            if r in other:
                products.append(delta[p] * delta[q] * delta[r])
        return len(products), np.mean(products).real * L**6

    found = bispectrum.equilateral(grid, made(x))
    for i, shell in enumerate((2, 3)):
        triangles, B = direct(shell, shell)
        assert found.triangles[i] == triangles
        assert found.B[i] == pytest.approx(B, rel=1e-4)
    every = bispectrum.Shells(grid, density_modes(grid, made(x).x, m, ordered=False))
    _, _, triangles, B, _ = bispectrum._triangle(grid, every[1], every[3])
    assert (triangles, pytest.approx(B, rel=1e-4)) == direct(1, 3)


def test_it_does_not_know_where_the_box_begins():
    x = np.random.default_rng(4).uniform(0, L, (3, 500))
    first, second = (bispectrum.equilateral(Grid(L, 24), made(x + by)) for by in (0.0, L / 3))
    np.testing.assert_array_equal(first.triangles, second.triangles)
    np.testing.assert_allclose(first.B, second.B, atol=1e-4 * np.abs(first.B).max())
