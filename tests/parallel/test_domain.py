from types import SimpleNamespace

import numpy as np
import pytest

from coca.errors import ConfigError
from coca.parallel.domain import Domain, check_ranks


def test_a_box_on_one_rank_is_one_slab(domain):
    assert domain.lattice == (32, 32, 32) and domain.first_particle == domain.first_plane == 0
    assert domain.own_particles == domain.particles == 32**3
    assert domain.empty_particles().shape == (3, 32**3)
    assert (domain.cell, domain.kf) == (2.0, pytest.approx(2 * np.pi / 64.0))
    assert domain.transform(32) is domain.transform(32)


def test_particles_start_on_the_lattice(domain):
    x = domain.add_lattice(np.full((3, 32**3), 0.25, np.float32)).reshape(3, 32, 32, 32)
    np.testing.assert_array_equal(x[:, 3, 5, 7], [6.25, 10.25, 14.25])


def test_rms_is_over_particles(domain):
    vectors = np.random.default_rng(1).normal(size=(3, 32**3)).astype(np.float32)
    wanted = np.sqrt(np.mean(np.sum(vectors.astype(np.float64) ** 2, axis=0)))
    assert domain.rms(vectors) == pytest.approx(wanted, rel=1e-6)


def test_each_rank_has_its_planes():
    domain = Domain(64.0, 32, 1, SimpleNamespace(rank=3, size=4))
    assert domain.lattice == (8, 32, 32) and not domain.first
    assert (domain.first_plane, domain.first_particle) == (24, 24 * 32**2)


def test_ranks_have_to_divide_the_planes():
    check_ranks(48, 12, "particles = 48")
    message = "ranks: found 7, wanted a divisor of particles = 48; the largest below is 6"
    with pytest.raises(ConfigError, match=message):
        check_ranks(48, 7, "particles = 48")
