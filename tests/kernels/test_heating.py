import numpy as np

from coca import kernels
from coca.integration import heating


def test_kernels_do_as_their_plain_twins():
    rng, n, N = np.random.default_rng(4), 8, 512
    e, w = rng.normal(size=(2, 3, N)).astype(np.float32)
    delta = np.exp(rng.normal(2.0, 2.0, N)).astype(np.float32)
    indices = rng.permutation(np.flatnonzero(delta > 6))
    M = len(indices)
    rows = rng.normal(size=(M, 6)).astype(np.float32)
    wanted_v = rows[:, 3:].T + w[:, indices]
    q = 1.5 * np.array(np.unravel_index(indices, (n, n, n))) + [[1.5 * 3], [0], [0]]
    wanted_x = q + rows[:, :3].T + e[:, indices]
    x, sums = np.empty((3, M), np.float32), np.empty((M, 4), np.float32)
    edges = heating.DENSITIES
    kernels.heating.pick(rows, indices, e, w, delta, (n, n, n), 3, 1.5, edges, x, sums)
    np.testing.assert_allclose(x, wanted_x, rtol=1e-5, atol=1e-5)
    share = heating.share_of(delta[indices])
    np.testing.assert_allclose(sums[:, 0], share, atol=1e-5)
    np.testing.assert_allclose(sums[:, 1:].T, share * wanted_v, atol=1e-4)
    h = np.array([0.1, 0.5, -0.3, 0.2, 0.4])
    near = rng.normal(size=(3, M)).astype(np.float32)
    after = w.copy()
    after[:, indices] += (heating.rise(delta[indices]) @ h) * (wanted_v - near)
    strengths = np.array([0.0, *h], np.float32)
    kernels.heating.warm(rows, near, indices, delta, edges, strengths, w)
    np.testing.assert_allclose(w, after, atol=1e-4)
    assert {True, False} == set(delta[indices] > edges[-1]), "not beyond the last"
