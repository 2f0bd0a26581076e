"""Limber's integral against a closed form, and CAMB's own."""

import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.light_cone import theory
from coca.light_cone.footprint import FULL
from coca.light_cone.lensing import Convergence
from coca.light_cone.sources import Sources
from coca.light_cone.theory import fundamental, limber


def of(cosmology, z=1.0, near=0.0):
    return Convergence(np.zeros(0), 0.0, (near, z), Sources.at(z), cosmology, 500.0, FULL)


def test_a_power_law_in_closed_form(monkeypatch):
    """Einstein-de Sitter and P = A / (a^2 k): C_l = A w^2 int chi^3 (1 - chi / chi_s)^2 / a^4 /
    (l + 1/2), here with sources so near that a is 1 to a percent, corrected to first order."""
    cosmology = Cosmology(1.0, 0.05, 0.7, 0.96, 0.8)
    monkeypatch.setattr(theory, "nonlinear_power", lambda *of: lambda k, z: 7.0 / k / (1 + z) ** 2)
    found = of(cosmology, z=0.01)
    chi_s = found.chi[1]
    l = np.array([10, 100])
    weight = 1.5 / 2997.92458**2
    # int chi (1 - chi / chi_s)^2 chi dchi = chi_s^3 / 30 (of W^2 / chi^2 times chi of 1 / k)
    wanted = 7.0 * weight**2 * chi_s**2 / 12 / (l + 0.5)
    np.testing.assert_allclose(limber(found, l), wanted, rtol=1e-4)
    # only chi < (l + 1/2) / k_least counts: half of the way to the sources
    x = 0.5
    half = wanted * 12 * (x**2 / 2 - 2 * x**3 / 3 + x**4 / 4)
    for i in range(2):
        k_least = (l[i] + 0.5) / (x * chi_s)
        assert limber(found, l, k_least)[i] == pytest.approx(half[i], rel=2e-3)
    assert fundamental(500.0) == pytest.approx(2 * np.pi / 500.0)


@pytest.mark.slow
def test_it_is_cambs_lensing(cosmology):
    """CAMB's own C_l of the lensing potential's sources at z = 1, with the same nonlinear model."""
    camb = pytest.importorskip("camb")
    from coca.cosmology.linear_power import A_s_of, camb_parameters

    parameters = camb_parameters(
        cosmology, A_s_of(cosmology, "camb"), halofit_version="mead2020", NonLinear="NonLinear_both"
    )
    parameters.set_for_lmax(1200)
    parameters.Want_CMB = False
    parameters.SourceTerms.limber_windows = True
    parameters.SourceTerms.limber_phi_lmin = 2
    window = camb.sources.GaussianSourceWindow(redshift=1.0, source_type="lensing", sigma=0.01)
    parameters.SourceWindows = [window]
    wanted = camb.get_results(parameters).get_source_cls_dict(lmax=1200, raw_cl=True)["W1xW1"]
    l = np.array([30, 100, 300, 1000])
    np.testing.assert_allclose(limber(of(cosmology), l), wanted[l], rtol=0.02)
