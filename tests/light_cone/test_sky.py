"""Shear, C_l and pictures of maps that are known otherwise."""

import numpy as np
import pytest

from coca.light_cone import sky
from coca.light_cone.footprint import FULL, OCTANT, Footprint
from coca.light_cone.lensing import Convergence
from coca.light_cone.sources import Sources

healpy = pytest.importorskip("healpy")


def of(kappa, cosmology, footprint=FULL, noise=0.0):
    return Convergence(kappa, noise, (0.0, 1.0), Sources.at(1.0), cosmology, 500.0, footprint)


def test_the_pixel_window_is_what_averages_leave():
    """Waves that are known to n_side 256, averaged over pixels of 16; modes of six maps, their
    scatter beside what is aliased 1 %."""
    np.random.seed(1)  # healpy's
    l, kept, all_of_it = np.arange(2, 25), 0.0, 0.0
    for _ in range(6):
        modes = healpy.synalm(np.r_[0.0, 0.0, np.ones(31)], lmax=32)
        fine = healpy.alm2map(modes, 256, lmax=32)
        kept += healpy.anafast(healpy.ud_grade(fine, 16), lmax=32)[l]
        all_of_it += healpy.alm2cl(modes)[l]
    np.testing.assert_allclose(kept / all_of_it, sky.pixel_window(16, l), atol=0.012)
    assert sky.pixel_window(16, l)[-1] < 0.85


def test_shear_around_a_mass():
    """A round mass on the equator stretches images along circles about it, by the mean convergence
    within less that at the distance; to the south gamma1 < 0, to the east gamma1 > 0."""
    n_side, width = 128, 0.06
    x = np.array(healpy.pix2vec(n_side, np.arange(12 * n_side**2)))
    away = np.arccos(np.clip(x[0], -1, 1))
    kappa = np.exp(-0.5 * (away / width) ** 2)
    gamma1, gamma2 = sky.shear(kappa)
    angle = 2.0 * width
    inside = 2 * (width / angle) ** 2 * (1 - np.exp(-0.5 * (angle / width) ** 2))
    wanted = inside - np.exp(-0.5 * (angle / width) ** 2)  # in the plane; the sphere is 1 % off

    def at(south, east):
        theta = 0.5 * np.pi + south
        return [healpy.get_interp_val(g, theta, east) for g in (gamma1, gamma2)]

    d = angle / np.sqrt(2)
    np.testing.assert_allclose(at(angle, 0.0), [-wanted, 0.0], atol=0.02 * wanted)
    np.testing.assert_allclose(at(0.0, angle), [wanted, 0.0], atol=0.02 * wanted)
    np.testing.assert_allclose(at(d, d), [0.0, -wanted], atol=0.02 * wanted)


@pytest.mark.slow
def test_C_l_of_a_map_is_that_of_its_modes(cosmology):
    """White noise of a variance, the whole sky and an octant of it; theory beside them grows with
    the box."""
    pytest.importorskip("camb")
    n_side = 64
    kappa = np.random.default_rng(2).normal(size=12 * n_side**2)
    level = 4 * np.pi / len(kappa)
    for footprint in (FULL, OCTANT, Footprint("cone", 77.0, 20.0, 50.0)):
        power = sky.angular_power(of(kappa, cosmology, footprint, level))
        high = power.l > 40
        found = np.average(power.measured[high], weights=2 * power.l[high] + 1)
        # of 14000 modes, or an eighth of them
        assert found == pytest.approx(level, rel=0.1 if footprint.share < 1 else 0.03)
        assert abs(np.mean(power.corrected[high])) < 0.1 * level
        # pixels take nothing off noise, where of a signal they would leave 0.8 on average
        found = np.average(power.signal[high], weights=2 * power.l[high] + 1)
        assert found == pytest.approx(level, rel=0.1 if footprint.share < 1 else 0.03)
    assert power.l[0] == 2 and power.l[-1] == 128
    assert np.all(power.theory_in_box <= power.theory)
    assert power.theory_in_box[0] < 0.5 * power.theory[0]
    np.testing.assert_allclose(power.theory_in_box[-1], power.theory[-1], rtol=1e-3)


def test_a_picture_has_north_above_and_east_to_the_left():
    _, y, z = healpy.pix2vec(16, np.arange(12 * 16**2))
    north, east = sky.mollweide(z, 100), sky.mollweide(y, 100)
    assert north[10, 100] > 0.8 and north[-10, 100] < -0.8
    assert east[50, 50] > 0.9 and east[50, 150] < -0.9
    assert np.isnan(north[0, 0]) and np.isfinite(north[50]).sum() > 195


def test_bands_have_all_modes_once():
    l = np.arange(2, 1025)
    parts = sky.bands(l)
    assert np.array_equal(np.concatenate([l[part] for part in parts]), l)
    assert all(part.stop > part.start for part in parts) and len(parts) > 12


def test_means_weigh_by_modes():
    l = np.arange(2, 6)
    assert sky.banded(l, np.array([1.0, 0, 0, 3.0]), [slice(0, 4)]) == (5 + 3 * 11) / (
        5 + 7 + 9 + 11
    )
    assert sky.banded(l, l.astype(float), [slice(0, 1), slice(1, 4)])[0] == 2
