import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.cosmology.eisenstein_hu import eisenstein_hu_transfer

K = np.geomspace(2e-3, 5.0, 60)


def test_eisenstein_hu_agrees_with_colossus(cosmology):
    models = pytest.importorskip("colossus.cosmology.power_spectrum")
    theirs = models.modelEisenstein98(K, cosmology.h, cosmology.Omega_m, cosmology.Omega_b, 2.7255)
    np.testing.assert_allclose(eisenstein_hu_transfer(K, cosmology), theirs, rtol=1e-4)


def test_without_baryons_there_are_no_wiggles():
    T = eisenstein_hu_transfer(K, Cosmology(0.3, 1e-6, 0.7, 1.0, 0.8))
    assert (np.diff(T) < 0).all()
