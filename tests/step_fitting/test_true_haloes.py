import numpy as np
import pytest
import torch

from coca.parallel.domain import Domain
from coca.step_fitting.true_haloes import find_true_haloes

N_SIDE, BOX = 16, 32.0


@pytest.fixture
def particles():
    """Clumps of 30 and 60 particles, half of the second a box away; the rest far apart."""
    rng = np.random.default_rng(3)
    domain = Domain(BOX, N_SIDE)
    x = domain.add_lattice(np.zeros((3, N_SIDE**3), np.float32))
    v = rng.normal(size=x.shape).astype(np.float32)
    for clump, middle in ((slice(100, 130), 9.3), (slice(1000, 1060), 1.0)):
        x[:, clump] = middle + 0.1 * rng.normal(size=x[:, clump].shape)
    x[:, 1000:1030] += BOX  # as particles that started at the other end
    return domain, x, v


def test_haloes_are_measured_by_hand(particles):
    domain, x, v = particles
    haloes = find_true_haloes(domain, x, v)
    members = [slice(100, 130), slice(1000, 1060)]
    assert sorted(haloes.particles.tolist()) == [*range(100, 130), *range(1000, 1060)]
    order = np.argsort([int(haloes.particles[haloes.halo == h].min()) for h in range(2)])
    for h, clump in zip(order, members, strict=True):
        assert haloes.mass_class[h] == (0 if clump.stop - clump.start < 50 else 1)
        y = x[:, clump].copy()
        y[y > BOX / 2] -= BOX * (clump.start == 1000)
        for found, values in ((haloes.size[h], y), (haloes.dispersion[h], v[:, clump])):
            apart = np.linalg.norm(values - values.mean(axis=1, keepdims=True), axis=0)
            wanted = apart.mean() if values is y else np.mean(apart**2)
            assert found == pytest.approx(wanted, rel=0.05 if values is y else 1e-4)


def test_ratios_follow_sizes_and_velocities(particles):
    """Positions twice as far from the middles, velocities three times as fast."""
    domain, x, v = particles
    haloes = find_true_haloes(domain, x, v)
    y = x.copy()
    for clump, middle in ((slice(100, 130), 9.3), (slice(1000, 1060), 1.0)):
        apart = y[:, clump] - middle
        apart -= BOX * np.rint(apart / BOX)
        y[:, clump] = middle + 2 * apart
    size = haloes.sizes(torch.from_numpy(y))
    dispersion = haloes.dispersions(torch.from_numpy(3 * v))
    np.testing.assert_allclose(size, 2.0, rtol=0.05)  # smoothed when close
    np.testing.assert_allclose(dispersion, 9.0, rtol=1e-4)


def test_without_haloes_there_are_none(particles):
    domain, x, v = particles
    assert find_true_haloes(domain, domain.add_lattice(np.zeros_like(x)), v) is None
