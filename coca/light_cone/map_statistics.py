"""Statistics of a convergence map that inference takes: C_l in bands, one-point PDF, and peaks.

PDF and peaks are in units of the map's own rms: its amplitude is in C_l.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from coca.light_cone.footprint import Footprint
from coca.light_cone.lensing import Convergence
from coca.light_cone.sky import banded, bands, map_power, n_side_of

BANDS = 8
"""Number of bands of C_l, even in ln l."""
FIRST_L = 10
"""First l of the bands: below, an octant has hardly a mode."""
LEVELS = np.array([-np.inf, *np.arange(-1.5, 4.6, 0.5), np.inf])
"""Edges of the ranges of kappa over its rms, for the PDF and for the heights of peaks."""


class MapStatistics(NamedTuple):
    """Statistics of one map."""

    l: np.ndarray
    """Mean l of bands, array (B,)."""
    C_l: np.ndarray
    """Their C_l, with shot noise and pixel window as the map has them, array (B,)."""
    pdf: np.ndarray
    """Share of the pixels in each range of LEVELS."""
    peaks: np.ndarray
    """Peaks in each range of LEVELS, of the footprint."""


def map_statistics(convergence: Convergence) -> MapStatistics:
    """Statistics of a convergence, within its footprint and about its mean there.

    A peak is a pixel above all of its neighbours, of which none may be outside.
    """
    n_side = n_side_of(convergence.kappa)
    inside = convergence.footprint.pixels(n_side)
    kappa = convergence.kappa - convergence.kappa[inside].mean()
    l, C_l = map_power(kappa, convergence.footprint)
    l, C_l = l[l >= FIRST_L], C_l[l >= FIRST_L]
    parts = bands(l, BANDS)
    nu = kappa / kappa[inside].std()
    pdf = np.histogram(nu[inside], LEVELS)[0] / inside.sum()
    pixels, neighbours = _inner(n_side, convergence.footprint)
    peaks = pixels[np.all(kappa[pixels] > kappa[neighbours], axis=0)]
    heights = np.histogram(nu[peaks], LEVELS)[0]
    return MapStatistics(banded(l, l.astype(float), parts), banded(l, C_l, parts), pdf, heights)


@lru_cache(maxsize=2)
def _inner(n_side: int, footprint: Footprint) -> tuple[np.ndarray, np.ndarray]:
    """Pixels all of whose neighbours are in the footprint, array (P,), and these, array (8, P). A
    few pixels have seven: one of them stands twice."""
    import healpy

    inside = footprint.pixels(n_side)
    pixels = np.flatnonzero(inside)
    around = healpy.get_all_neighbours(n_side, pixels)
    around = np.where(around < 0, around[[1, 2, 3, 4, 5, 6, 7, 0]], around)
    inner = np.all(inside[around], axis=0)
    return pixels[inner], around[:, inner]
