import numpy as np

from coca.particles import State, hermite, into_box


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


def test_positions_are_inside_the_box_whatever_round_off_does():
    """What float32 rounds up to the box's side is at 0."""
    L = 1000.0 / 0.6774
    x = np.array([-1e-9, np.nextafter(np.float32(L), 0), L, -0.25 * L, 2.5 * L], np.float32)
    found = into_box(x.copy(), L)
    assert (found >= 0).all() and (found < np.float32(L)).all()
    np.testing.assert_allclose(found[[0, 2]], 0.0)
    np.testing.assert_allclose(found[3:], [0.75 * L, 0.5 * L], rtol=1e-6)
