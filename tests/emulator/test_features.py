import numpy as np

from coca.emulator.features import features


def test_features_are_smoothed_fields(domain, conditions):
    f = features(domain, conditions.delta_k, conditions.psi1, conditions.psi2)
    n = domain.n_side
    np.testing.assert_array_equal(f[:3].reshape(3, -1), conditions.psi1)
    np.testing.assert_array_equal(f[3:6].reshape(3, -1), conditions.psi2)
    i = np.fft.fftfreq(n, 1 / n) * domain.kf
    k2 = i[:, None, None] ** 2 + i[None, :, None] ** 2 + i[None, None, :] ** 2
    psi1_k = np.fft.fftn(conditions.psi1.reshape(3, n, n, n), axes=(1, 2, 3))
    smooth = np.fft.ifftn(psi1_k * np.exp(-k2 * 12.0**2 / 2), axes=(1, 2, 3)).real
    np.testing.assert_allclose(f[9:12], smooth, atol=1e-4)
    delta = np.fft.irfftn(conditions.delta_k, s=(n, n, n), axes=(0, 1, 2)) * n**3
    smooth = np.fft.ifftn(np.fft.fftn(delta) * np.exp(-k2 * 4.0**2 / 2)).real
    np.testing.assert_allclose(f[13], smooth, atol=1e-4)
