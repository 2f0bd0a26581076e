import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.integration import schemes
from tests.problem import rms


@pytest.mark.parametrize("scheme", [schemes.bullfrog, schemes.fastpm])
def test_velocity_schemes_converge_at_second_order(smooth, scheme):
    reference = smooth.bullfrog(512)[-1]
    steps = np.array([32, 64, 128])
    errors = [rms(smooth.bullfrog(n, scheme=scheme)[-1], reference) for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -2.2 < slope < -1.8, errors


def test_bullfrog_weights_in_einstein_de_sitter():
    """The closed form with E = -3/7 D^2 (Rampf, List & Hahn 2024)."""
    step = schemes.bullfrog(Cosmology(1.0, 0.05, 0.7, 1.0, 0.8), np.array([0.2, 0.6]))[0]
    E = -3 / 7 * np.square([0.2, 0.6])
    slope = -6 / 7 * np.array([0.2, 0.6])
    F = (E[0] + slope[0] * 0.2) / 0.4 - 0.4
    assert step.alpha == pytest.approx((slope[1] - F) / (slope[0] - F), rel=1e-6)
    assert step.beta == pytest.approx((1 - step.alpha) / 0.4, rel=1e-6)
