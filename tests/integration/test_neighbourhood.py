import numpy as np
import pytest

from coca.integration.neighbourhood import Neighbourhood
from coca.parallel.domain import Domain

N, BOX = 16, 32.0


@pytest.fixture
def box():
    return Domain(BOX, N, 2)


def plain_means(x, mass, values, m):
    """CIC means by mass on m^3 cells, particle by particle."""
    cells = np.zeros((m, m, m, 1 + len(values)))
    clouds = []
    for p in range(x.shape[1]):
        u = x[:, p].astype(np.float64) * (m / BOX)
        low = np.floor(u).astype(int)
        near = []
        for corner in np.ndindex(2, 2, 2):
            weight = np.prod(np.where(corner, u - low, 1 - (u - low)))
            near.append((tuple((low + corner) % m), weight))
            cells[near[-1][0]] += weight * mass[p] * np.array([1.0, *values[:, p]])
        clouds.append(near)
    sums = np.array([sum(w * cells[cell] for cell, w in near) for near in clouds]).T
    return sums[1:] / sums[0]


@pytest.mark.parametrize(("count", "width"), [(3, 4), (5, 8), (9, 12)])
def test_means_over_the_neighbourhood_equal_their_plain_twin(box, count, width):
    rng = np.random.default_rng(1)
    x = rng.uniform(-BOX, 2 * BOX, (3, 500)).astype(np.float32)
    mass = rng.uniform(0.1, 1, 500).astype(np.float32)
    values = rng.normal(size=(count, 500)).astype(np.float32)
    rows = np.zeros((500, width), np.float32)
    rows[:, 0], rows[:, 1 : count + 1] = mass, (mass * values).T
    means = Neighbourhood(box, x).mean(rows, count)
    np.testing.assert_allclose(means, plain_means(x, mass, values, N // 2), atol=2e-5)


def test_no_mass_has_no_mean(box):
    means = Neighbourhood(box, np.ones((3, 2), np.float32)).mean(np.zeros((2, 4), np.float32), 3)
    assert not means.any()
