import numpy as np
import pytest

from coca.frames import SnapshotFrame, rest_frame
from tests.problem import noisy_frame


def test_sums_of_some_particles_are_those_of_all(nonlinear):
    """Rows of particles against the fields of the frame, for frames with and without terms."""
    who = np.array([5, 0, nonlinear.domain.particles - 1])
    for frame in (nonlinear.lpt, rest_frame(nonlinear.domain.particles)):
        weights = [frame.weights(0.5, (1.0, 0.0, 0.0)), frame.weights(0.7, (0.0, 1.0, 0.5))]
        rows = np.full((3, 7), np.nan, np.float32)
        frame.gather(weights, who, rows)
        wanted = frame.displacement(0.5), frame.velocity(0.7) + 0.5 * frame.acceleration(0.7)
        np.testing.assert_allclose(rows[:, :3], wanted[0][:, who].T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rows[:, 3:6], wanted[1][:, who].T, rtol=1e-5, atol=1e-6)
        assert np.isnan(rows[:, 6]).all()


def test_frame_derivatives_are_derivatives(smooth):
    frame, D, h = noisy_frame(smooth, 0.5), 0.6, 1e-2
    forward, backward = frame.displacement(D + h), frame.displacement(D - h)
    velocity = (forward - backward) / (2 * h)
    np.testing.assert_allclose(frame.velocity(D), velocity, atol=1e-3)
    acceleration = (frame.velocity(D + h) - frame.velocity(D - h)) / (2 * h)
    np.testing.assert_allclose(frame.acceleration(D), acceleration, atol=5e-3)
    total = np.ones_like(velocity)
    frame.add(D, (0.5, 1.7, -2.0), total)
    terms = 0.5 * frame.displacement(D) + 1.7 * frame.velocity(D) - 2.0 * frame.acceleration(D)
    np.testing.assert_allclose(total, 1.0 + terms, atol=2e-5)


def test_a_held_frame_is_of_one_time():
    frame = SnapshotFrame(0.5, *np.ones((2, 3, 8), np.float32))
    with pytest.raises(ValueError, match=r"found D = 0\.4, wanted .* at D = 0\.5"):
        frame.displacement(0.4)
    with pytest.raises(ValueError, match="wanted displacement or velocity"):
        frame.acceleration(0.5)
