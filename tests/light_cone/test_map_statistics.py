"""Statistics of maps whose statistics are known."""

import numpy as np
import pytest
from scipy.stats import norm

from coca.light_cone.footprint import FULL, OCTANT, Footprint
from coca.light_cone.lensing import Convergence
from coca.light_cone.map_statistics import LEVELS, map_statistics
from coca.light_cone.sources import Sources

healpy = pytest.importorskip("healpy")

N_SIDE = 64


def of(kappa, cosmology, footprint=FULL):
    return map_statistics(
        Convergence(kappa, 0.0, (0.0, 1.0), Sources.at(1.0), cosmology, 500.0, footprint)
    )


@pytest.mark.parametrize("footprint", [FULL, OCTANT, Footprint("cone", 30.0, -40.0, 41.0)])
def test_white_noise(footprint, cosmology):
    """C_l is flat, the PDF a normal one, and one in nine pixels is above its eight neighbours."""
    kappa = 0.3 + 0.02 * np.random.default_rng(1).normal(size=12 * N_SIDE**2)
    found = of(kappa, cosmology, footprint)
    pixels = footprint.pixels(N_SIDE).sum()
    level = 0.02**2 * 4 * np.pi / len(kappa)
    assert np.all(np.diff(found.l) > 0) and found.l[0] > 10 and found.l[-1] < 2 * N_SIDE
    np.testing.assert_allclose(found.C_l[-2:], level, rtol=0.15 if footprint.share < 1 else 0.05)
    wanted = np.diff(norm.cdf(LEVELS))
    scatter = np.sqrt(wanted / pixels)
    assert np.all(np.abs(found.pdf - wanted) < 5 * scatter)
    assert found.pdf.sum() == pytest.approx(1.0)
    inside = footprint.pixels(N_SIDE)
    inner = inside & np.all(
        inside[healpy.get_all_neighbours(N_SIDE, np.arange(len(kappa)))], axis=0
    )
    # the scatter of 600 peaks of an octant is about 3 %
    scatter = 0.08 if footprint.share < 1 else 0.04
    assert found.peaks.sum() == pytest.approx(inner.sum() / 9, rel=scatter)


def test_peaks_are_found_where_they_are(cosmology):
    """Two single pixels, one of them with seven neighbours; a pair of equals is no peak."""
    kappa = np.zeros(12 * N_SIDE**2)
    around = healpy.get_all_neighbours(N_SIDE, np.arange(len(kappa)))
    corner = int(np.flatnonzero(np.any(around < 0, axis=0))[0])
    kappa[[corner, 20000]] = 1.0
    kappa[[30000, healpy.get_all_neighbours(N_SIDE, 30000)[0]]] = 1.0
    found = of(kappa, cosmology)
    assert found.peaks.sum() == 2 and found.peaks[-1] == 2


def test_a_peak_at_the_edge_of_an_octant_is_none(cosmology):
    """What is outside is not known."""
    kappa = np.zeros(12 * N_SIDE**2)
    inside = OCTANT.pixels(N_SIDE)
    pixels = np.flatnonzero(inside)
    at_edge = ~np.all(inside[healpy.get_all_neighbours(N_SIDE, pixels)], axis=0)
    kappa[pixels[at_edge][0]] = 1.0
    assert of(kappa, cosmology, OCTANT).peaks.sum() == 0
    kappa[pixels[~at_edge][-1]] = 1.0
    assert of(kappa, cosmology, OCTANT).peaks.sum() == 1
