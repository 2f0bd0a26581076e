"""Distances against closed forms and the integral itself."""

import numpy as np
import pytest
from scipy.integrate import quad

from coca.cosmology.background import Cosmology
from coca.cosmology.distance import (
    HUBBLE_DISTANCE,
    comoving_distance,
    distance_slope,
    scale_factor_at,
)


def test_einstein_de_sitter_in_closed_form():
    cosmology = Cosmology(1.0, 0.05, 0.7, 0.96, 0.8)
    a = np.array([0.002, 0.1, 0.5, 0.99, 1.0])
    wanted = 2.0 * HUBBLE_DISTANCE * (1.0 - np.sqrt(a))
    np.testing.assert_allclose(comoving_distance(cosmology, a), wanted, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("dark", [{}, {"w0": -0.8, "wa": -0.4}])
def test_it_is_the_integral(dark):
    cosmology = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8, **dark)
    for a in (0.02, 0.3, 0.7):
        wanted = quad(lambda a: HUBBLE_DISTANCE / (a * a * float(cosmology.E(a))), a, 1.0)[0]
        assert comoving_distance(cosmology, a) == pytest.approx(wanted, rel=1e-8)


def test_the_inverse(cosmology):
    a = np.linspace(0.02, 1.0, 50)
    chi = comoving_distance(cosmology, a)
    np.testing.assert_allclose(scale_factor_at(cosmology, chi), a, rtol=1e-8)


def test_today_is_here(cosmology):
    """No round-off: shells begin at the observer itself."""
    assert comoving_distance(cosmology, 1.0) == 0.0
    assert list(comoving_distance(cosmology, np.array([1.0, 1.0 - 1e-12])) == 0.0) == [True, True]
    assert comoving_distance(cosmology, 1.0 - 1e-6) == pytest.approx(2.998e-3, rel=1e-3)


def test_the_slope_is_the_derivative(cosmology):
    D, h = 0.7, 1e-4
    chi = [float(comoving_distance(cosmology, cosmology.a_of_D(d))) for d in (D - h, D + h)]
    assert distance_slope(cosmology, D) == pytest.approx((chi[1] - chi[0]) / (2 * h), rel=1e-5)
