import numpy as np
import pytest

from coca.frames import rest_frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration import schemes
from coca.integration.kicks import ResidualKick, VelocityKick
from coca.parallel.domain import Domain
from coca.particles import State

N = 8**3


@pytest.fixture
def state():
    e, w = np.random.default_rng(1).normal(size=(2, 3, N)).astype(np.float32)
    return State(e, w, 0.5, 0.4)


@pytest.fixture
def g():
    return np.random.default_rng(2).normal(size=(3, N)).astype(np.float32)


def test_velocities_are_kicked_by_the_force(state, g, cosmology):
    step = schemes.bullfrog(cosmology, np.array([0.4, 0.6]))[0]
    wanted = step.alpha * state.w - step.beta * g
    rule = VelocityKick()
    measured = rule.measure(state, step, Acceleration(g, None))
    assert rule.advance(state, step, measured) is None and not rule.needs_density
    np.testing.assert_allclose(state.w, wanted, atol=1e-6)


def test_a_residual_is_measured_and_kicked(state, g, cosmology):
    """In a frame at rest s / c = g; what it stands for is s (H/2)^2 where nothing is crowded."""
    domain, step = Domain(16.0, 8), schemes.residual(cosmology, np.array([0.4, 0.6]))[0]
    H, c = 0.2, cosmology.c(step.D_mid)
    rule = ResidualKick(domain, cosmology, rest_frame(N), 0.0)
    empty = np.full(N, -1.0, np.float32)
    measured = rule.measure(state, step, Acceleration(g.copy(), empty))
    np.testing.assert_array_equal(measured.g, g)
    wanted = step.alpha * state.w - c * step.beta * g
    evaluation = rule.advance(state, step, measured)
    np.testing.assert_allclose(state.w, wanted, atol=1e-5)
    rms = c * np.sqrt(np.sum(g.astype(np.float64) ** 2) / N)
    assert (evaluation.D, evaluation.step) == (step.D_mid, pytest.approx(H))
    assert evaluation.residual_rms == pytest.approx(rms, rel=1e-5)
    assert evaluation.error_rms == pytest.approx(0.25 * H**2 * rms, rel=1e-5)
