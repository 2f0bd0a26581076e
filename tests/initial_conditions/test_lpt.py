import numpy as np

from coca.initial_conditions import lpt


def test_displacement_of_a_plane_wave(domain):
    """delta = A cos(kx) gives Psi1 = -A/k sin(kx), and no second order."""
    n, k = domain.n_side, 2 * domain.kf
    delta_k = np.zeros((n, n, n // 2 + 1), np.complex64)
    delta_k[2, 0, 0] = delta_k[-2, 0, 0] = 0.5
    x = np.arange(n) * domain.cell
    psi1 = lpt.first_order(domain, delta_k).reshape(3, n, n, n)
    expected = np.broadcast_to(-np.sin(k * x)[:, None, None] / k, (n, n, n))
    np.testing.assert_allclose(psi1[0], expected, atol=1e-5 / k)
    np.testing.assert_allclose(psi1[1:], 0, atol=1e-5 / k)
    np.testing.assert_allclose(lpt.second_order(domain, delta_k), 0, atol=1e-4 / k)


def test_second_order_of_two_crossed_waves(domain):
    """phi1 = cos(ax) cos(ay)-type fields have a closed-form second order.

    delta = A (cos kx + cos ky): phi1 = -A/k^2 (cos kx + cos ky), lap phi2 = phi1_xx phi1_yy
    = A^2 cos kx cos ky, phi2 = -A^2/(2 k^2) cos kx cos ky, Psi2_x = A^2/(2k) sin kx cos ky.
    """
    n, k = domain.n_side, 3 * domain.kf
    delta_k = np.zeros((n, n, n // 2 + 1), np.complex64)
    delta_k[3, 0, 0] = delta_k[-3, 0, 0] = delta_k[0, 3, 0] = delta_k[0, -3, 0] = 0.5
    psi2 = lpt.second_order(domain, delta_k).reshape(3, n, n, n)
    x = np.arange(n) * domain.cell
    expected = np.sin(k * x)[:, None, None] * np.cos(k * x)[None, :, None] / (2 * k)
    np.testing.assert_allclose(psi2[0], np.broadcast_to(expected, (n, n, n)), atol=1e-5 / k)
    np.testing.assert_allclose(psi2[2], 0, atol=1e-5 / k)
