import numpy as np
import pytest

from coca.frames import rest_frame
from coca.integration import heating
from coca.integration.heating import DENSITIES, heat
from coca.parallel.domain import Domain
from coca.particles import State

H = np.array([0.1, 0.2, 0.3, 0.2, 0.1])


@pytest.fixture
def halo():
    """Dense particles at one place, which move together and apart."""
    domain, rng = Domain(64.0, 16), np.random.default_rng(1)
    members = rng.choice(domain.particles, 200, replace=False)
    delta = np.full(domain.particles, 0.5, np.float32)
    delta[members] = 34.0
    e = -domain.add_lattice(np.zeros((3, domain.particles), np.float32))
    e[:, members] += 30.0
    w = rng.normal(size=e.shape).astype(np.float32)
    w[0, members] += 5.0
    return domain, State(e, w, 1.0, 1.0), delta, members


def test_haloes_are_heated_and_move_on(halo):
    domain, state, delta, members = halo
    before = state.w.copy()
    heat(domain, rest_frame(domain.particles), state, delta, H)
    mean = before[:, members].mean(axis=1, keepdims=True)
    wanted = mean + (1 + H[2]) * (before[:, members] - mean)
    np.testing.assert_allclose(state.w[:, members], wanted, atol=1e-4)
    before[:, members] = state.w[:, members]
    np.testing.assert_array_equal(state.w, before)


def test_nothing_dense_is_left_alone(halo):
    domain, state, delta, _ = halo
    before = state.w.copy()
    heat(domain, rest_frame(domain.particles), state, np.minimum(delta, 5.9), H)
    np.testing.assert_array_equal(state.w, before)


def test_strength_is_that_of_the_density():
    values = np.concatenate([DENSITIES, [np.sqrt(DENSITIES[1] * DENSITIES[2]), 1e4, 1.0]]) - 1
    found = heating.rise(values.astype(np.float32)) @ H
    np.testing.assert_allclose(found, [0.0, *H, 0.5 * (H[0] + H[1]), H[-1], 0.0], atol=1e-6)
