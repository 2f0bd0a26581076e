import numpy as np

from coca.particles import State, hermite


def test_the_interpolant_is_exact_for_cubics():
    """Displacement and velocity of particles whose residuals are cubics of D."""
    cubics = np.random.default_rng(1).normal(size=(4, 3, 50))

    def state(D):
        e = sum(c * D**k for k, c in enumerate(cubics))
        w = sum(k * c * D ** (k - 1) for k, c in enumerate(cubics) if k)
        return State(np.float32(e), np.float32(w), D, D)

    for D in (0.2, 0.37, 0.5):
        wanted = state(D)
        e, w = hermite(state(0.2), state(0.5), D)
        # float32 round-off, over the interval for velocities
        np.testing.assert_allclose(e, wanted.e, atol=2e-6)
        np.testing.assert_allclose(w, wanted.w, atol=1e-5)
