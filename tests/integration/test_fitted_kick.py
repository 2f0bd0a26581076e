from itertools import pairwise

import numpy as np
import pytest

from coca.gravity.particle_mesh import Acceleration
from coca.integration import schemes
from coca.integration.fitted_kick import FittedKick, log_rms_density, sharpened
from coca.integration.fitted_table import CLASSES, FittedSteps, shipped
from coca.integration.integrate import initial_state, integrate
from tests.kernels.edges import EDGES, shares


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def test_sharpened_matrices_have_the_fitted_means():
    """At full strength over each class, of particles spread evenly in ln(1 + delta)."""
    M = np.random.default_rng(12).normal(size=CLASSES)
    sharp = sharpened(M, 1.0)
    ends = [np.concatenate([[e[0] / np.e], e, [e[-1] * np.e]]).astype(float) for e in EDGES]
    inside = [[np.geomspace(*pair, 20001)[1:-1] - 1 for pair in pairwise(e)] for e in ends]
    now, before = (
        [shares(x, e).mean(axis=0) for x in i] for i, e in zip(inside, EDGES, strict=True)
    )
    mean = np.array(before) @ sharp @ np.array(now).T
    # a transition is 6 % wide, and taken as even in ln(1 + delta)
    np.testing.assert_allclose(mean, M, atol=0.1 * np.abs(sharp - M).max())


def test_nonlinearity_is_the_rms_of_the_linear_density(domain, conditions):
    fft = domain.transform(domain.n_side)
    density = fft.backward(conditions.delta_k.copy())
    assert log_rms_density(domain, conditions.delta_k, 0.5) == pytest.approx(
        np.log(0.5 * density.std()), abs=1e-5
    )


@pytest.mark.parametrize("count", [1, 3, 6])
def test_a_frame_without_residual_is_followed_exactly(table, domain, cosmology, conditions, count):
    frame = conditions.lpt_frame(cosmology)
    fitted = table.by_count[count]
    plan = schemes.residual(cosmology, schemes.step_boundaries(0.06, 1.0, fitted.fractions))
    rule = FittedKick.of_table(domain, cosmology, frame, fitted, plan, 1.0)
    steps = iter(plan)

    def exact_force(x, density, out):
        D = next(steps).D_mid
        g = -D * frame.velocity(D) - frame.acceleration(D) / cosmology.c(D)
        delta = np.full(domain.particles, 3.0, np.float32)
        return Acceleration(np.float32(g), delta, np.zeros_like)

    state = initial_state(frame, frame, 0.06)
    (final,) = integrate(domain, frame, exact_force, rule, plan, state, [1.0])
    assert np.abs(final.disp - frame.displacement(1.0)).max() < 2e-5
    assert np.abs(final.vel - frame.velocity(1.0)).max() < 2e-4
