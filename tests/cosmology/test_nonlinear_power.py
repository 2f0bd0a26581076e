"""HMcode2020's spectrum: linear theory on large scales, and more power on small ones."""

import numpy as np
import pytest

from coca.cosmology import linear_power
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.nonlinear_power import K_MOST, nonlinear_power
from coca.errors import ConfigError


@pytest.mark.slow
def test_large_scales_grow_as_linear_theory_says(cosmology):
    """Ours, of this cosmology's sigma_8; CAMB's background has radiation, which is 2e-3."""
    pytest.importorskip("camb")
    power, linear = nonlinear_power(cosmology, 1.0), linear_power.linear_power(cosmology, "camb")
    k, ones = np.array([0.003, 0.01]), np.ones(2)
    for z in (0.0, 0.7):
        D = cosmology.D1(scale_factor(z))
        np.testing.assert_allclose(power(k, z * ones), D**2 * linear(k), rtol=0.01)
    assert np.all(power(np.array([1.0]), np.zeros(1)) > 3 * linear(1.0))
    assert power(np.array([2 * K_MOST]), np.zeros(1)) == 0.0


def test_without_camb(monkeypatch):
    monkeypatch.setattr(linear_power, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"camb.*not installed"):
        nonlinear_power(Cosmology(0.31, 0.05, 0.7, 0.96, 0.81), 0.5)
