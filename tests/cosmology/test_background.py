from dataclasses import replace

import numpy as np
import pytest
from scipy.special import hyp2f1

from coca.cosmology.background import Cosmology, redshift, scale_factor

A = np.array([0.02, 0.05, 0.2, 0.5, 0.8, 1.0])


@pytest.fixture(scope="module")
def eds():
    return Cosmology(1.0, 0.05, 0.7, 1.0, 0.8)


def test_einstein_de_sitter_is_its_closed_form(eds):
    np.testing.assert_allclose(eds.D1(A), A, rtol=1e-8)
    np.testing.assert_allclose(eds.f1(A), 1.0, rtol=1e-8)
    np.testing.assert_allclose(eds.D2(A), -3 / 7 * A**2, rtol=1e-7)
    np.testing.assert_allclose(eds.f2(A), 2.0, rtol=1e-7)
    np.testing.assert_allclose(eds.c(A) * A**2, 1.5, rtol=1e-7)


def test_growth_is_the_hypergeometric_solution(cosmology):
    ratio = (1 - cosmology.Omega_m) / cosmology.Omega_m

    def growing(a):
        return a * hyp2f1(1 / 3, 1, 11 / 6, -ratio * a**3)

    np.testing.assert_allclose(cosmology.D1(A), growing(A) / growing(1.0), rtol=1e-8)


def test_growth_agrees_with_colossus(cosmology):
    colossus = pytest.importorskip("colossus.cosmology.cosmology")
    theirs = colossus.Cosmology(
        name="test",
        flat=True,
        H0=100 * cosmology.h,
        Om0=cosmology.Omega_m,
        Ob0=cosmology.Omega_b,
        sigma8=cosmology.sigma_8,
        ns=cosmology.n_s,
        relspecies=False,
        persistence="",
    )
    z = redshift(A)
    np.testing.assert_allclose(cosmology.D1(A), theirs.growthFactor(z), rtol=1e-4)
    np.testing.assert_allclose(cosmology.E(A), theirs.Ez(z), rtol=1e-6)


@pytest.mark.parametrize("dark", [(-1.0, 0.0), (-0.8, 0.3), (-1.2, -0.5)])
@pytest.mark.parametrize("D", [0.06, 0.3, 0.7, 0.99])
def test_derivatives_in_D_are_derivatives(cosmology, D, dark):
    h, cosmology = 1e-4, replace(cosmology, w0=dark[0], wa=dark[1])
    _E, slope, curvature = cosmology.D2_of_D(D)
    Ep, slope_p, _ = cosmology.D2_of_D(D + h)
    Em, slope_m, _ = cosmology.D2_of_D(D - h)
    assert slope == pytest.approx((Ep - Em) / (2 * h), rel=1e-6)
    assert curvature == pytest.approx((slope_p - slope_m) / (2 * h), rel=1e-6)
    growth = np.log(cosmology.mu(D + h) / cosmology.mu(D - h)) / (2 * h)
    assert cosmology.c(D) * D == pytest.approx(growth, rel=1e-5)


def test_integral_of_mu(cosmology):
    D = np.linspace(0.1, 0.9, 20001)
    expected = np.trapezoid(cosmology.mu(D), D)
    assert cosmology.integral_mu(0.1, 0.9) == pytest.approx(expected, rel=1e-8)


def test_times_convert_back_and_forth(cosmology):
    np.testing.assert_allclose(cosmology.a_of_D(cosmology.D1(A)), A, rtol=1e-9)
    np.testing.assert_allclose(scale_factor(redshift(A)), A, rtol=1e-15)


def test_velocity_unit_is_hubble_flow_of_linear_growth(eds):
    # Einstein-de Sitter: u = a dx/dt = a H f D Psi / a ... = 100 a^(-1/2) a Psi for dx/dD = Psi
    assert eds.velocity_unit(0.25) == pytest.approx(100 * 0.25**0.5, rel=1e-7)


DARK_ENERGY = [(-1.0, 0.0), (-0.8, 0.3), (-1.2, -0.5), (-0.6, -1.2)]


@pytest.mark.slow
@pytest.mark.parametrize("dark", DARK_ENERGY)
def test_growth_is_that_of_camb(dark):
    camb = pytest.importorskip("camb")
    c = Cosmology(0.3, 0.049, 0.67, 0.96, 0.8, *dark)
    model = {"dark_energy_model": "ppf", "w": c.w0, "wa": c.wa}
    parameters = camb.set_params(
        H0=67, ombh2=0.049 * 0.67**2, omch2=0.251 * 0.67**2, mnu=0.0, omk=0.0, ns=0.96, As=2e-9,
        WantTransfer=True, WantCls=False, **model,
    )  # fmt: skip
    parameters.set_matter_power(redshifts=[0.0, 0.5, 1.0, 2.0, 3.0, 9.0, 19.0, 49.0], kmax=1.0)
    results = camb.get_results(parameters)
    _, z, P = results.get_matter_power_spectrum(0.1, 0.5, 3)
    theirs, ours = np.sqrt(P / P[0])[:, 1], c.D1(scale_factor(np.array(z)))
    late = np.array(z) <= 3
    np.testing.assert_allclose(ours[late], theirs[late], rtol=1e-3)
    # before, what radiation does to growth in the matter era (Meszaros 1974), and CAMB has
    meszaros = 1 + 2 / 3 * np.array(z) / (1 + results.get_derived_params()["zeq"])
    np.testing.assert_allclose(ours * meszaros, theirs, rtol=1e-3)


def test_expansion_with_dark_energy_that_dilutes_as_curvature():
    # w = -1/3 with wa = 0 dilutes as curvature: E^2 = Om a^-3 + (1 - Om) a^-2
    c = Cosmology(0.3, 0.05, 0.7, 1.0, 0.8, -1 / 3)
    np.testing.assert_allclose(c.E(A), np.sqrt(0.3 * A**-3 + 0.7 * A**-2), rtol=1e-14)


@pytest.mark.parametrize("dark", DARK_ENERGY[1:])
def test_dark_energys_friction_is_the_slope_of_its_expansion(dark):
    c, h = Cosmology(0.3, 0.05, 0.7, 1.0, 0.8, *dark), 1e-5
    slope = np.log(c.E(A * np.exp(h)) / c.E(A * np.exp(-h))) / (2 * h)
    np.testing.assert_allclose(c.background.friction(A, c.Omega_m_a(A)), 2 + slope, rtol=1e-8)


def test_lambda_by_another_path_has_the_same_growth(cosmology):
    near = replace(cosmology, wa=1e-13)
    assert not near.background.is_lambda
    for growth in ("D1", "f1", "D2", "c"):
        theirs = getattr(cosmology, growth)(A)
        np.testing.assert_allclose(getattr(near, growth)(A), theirs, rtol=1e-9)


def test_what_is_kept_under_a_cosmology_with_lambda_keeps_its_name(cosmology):
    assert list(cosmology.known()) == ["Omega_m", "Omega_b", "h", "n_s", "sigma_8"]
    assert replace(cosmology, w0=-0.9).known() == cosmology.known() | {"w0": -0.9}


def test_early_growth_is_that_of_matter(cosmology, eds):
    assert eds.early_growth == pytest.approx(1.0, rel=1e-8)
    a = 1e-3
    assert cosmology.early_growth == pytest.approx(float(cosmology.D1(a)) / a, rel=1e-6)
