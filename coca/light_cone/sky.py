"""What HEALPix maps of the convergence give: shear, angular power, and a picture."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import j0

from coca.light_cone.footprint import Footprint
from coca.light_cone.lensing import Convergence
from coca.light_cone.theory import fundamental, limber

FIRST_L = 2
"""The lowest l of tables of C_l."""
BANDS = 20
"""How many bands, even in ln l, figures of C_l have."""
SHOWN = 128
"""Most n_side of pictures."""
AXES = "x to the south, y to the east, as HEALPix's polarisation"
"""Those of the shear."""
SAMPLE, SPLIT, BINS = 200, 8, 500
"""Pixels, points along the side of each, and bins of their distances, for the pixel window."""


class AngularPower(NamedTuple):
    """C_l of a convergence, arrays of one length."""

    l: np.ndarray
    measured: np.ndarray
    """C_l of the map, over the part of the sky that it has."""
    shot_noise: np.ndarray
    """What single particles would add, were they thrown at random. Those of a simulation that
    starts on a lattice have as much only where they have left it: in haloes."""
    window: np.ndarray
    """What pixels leave of C_l, the square of HEALPix's pixel window."""
    theory: np.ndarray
    """Limber's integral over HMcode2020."""
    theory_in_box: np.ndarray
    """The same without the modes that are longer than the box."""

    @property
    def signal(self) -> np.ndarray:
        """The measured one with the window divided out, shot noise and all. Each particle is in one
        pixel: its noise is white in the map as it is, and pixels take nothing off it."""
        return self.corrected + self.shot_noise

    @property
    def corrected(self) -> np.ndarray:
        """The measured one less shot noise, with the window divided out."""
        return (self.measured - self.shot_noise) / self.window


def bands(l: np.ndarray, count: int = BANDS) -> list[slice]:
    """About so many ranges of l, even in ln l, none empty."""
    edges = np.unique(np.geomspace(l[0], l[-1] + 1, count + 1).astype(int)) - l[0]
    return [slice(a, b) for a, b in itertools.pairwise(edges)]


def banded(l: np.ndarray, values: np.ndarray, parts: list[slice]) -> np.ndarray:
    """Means over bands of l, with the weight 2 l + 1 of its modes."""
    return np.array([np.average(values[part], weights=2.0 * l[part] + 1.0) for part in parts])


def pixel_window(n_side: int, l: np.ndarray) -> np.ndarray:
    """What averages over pixels leave of C_l: the mean of P_l(cos theta) over pairs of points in
    them. healpy would fetch it from the network, as a square root.

    Of at most SAMPLE pixels, spread over the sky, with SPLIT^2 points in each.
    """
    import healpy

    pixels = np.unique(np.linspace(0, 12 * n_side**2 - 1, SAMPLE).astype(np.int64))
    first = healpy.ring2nest(n_side, pixels) * SPLIT**2
    inner = first[:, None] + np.arange(SPLIT**2)
    x = np.moveaxis(healpy.pix2vec(n_side * SPLIT, inner, nest=True), 0, -1)
    chord = np.linalg.norm(x[:, :, None] - x[:, None], axis=-1)
    # a grid of so many points along a side has the more narrow variance of its points
    pairs, edges = np.histogram(chord / np.sqrt(1.0 - SPLIT**-2), BINS)
    angle = 2.0 * np.arcsin(0.25 * (edges[1:] + edges[:-1]))
    legendre = np.sqrt(angle / np.sin(angle)) * j0((l[:, None] + 0.5) * angle)
    return legendre @ pairs / pairs.sum()


def n_side_of(pixels: np.ndarray) -> int:
    """Resolution n_side of a HEALPix map of so many pixels."""
    return int(np.sqrt(len(pixels) / 12))


def angular_power(convergence: Convergence) -> AngularPower:
    """C_l from 2 to 2 n_side beside theory.

    Of part of the sky it is the map's with nothing outside, over the share of the sky: modes of
    neighbouring l are mixed.

    Raises
    ------
    ConfigError
        camb is not installed, or does not take the cosmology.
    """
    l, measured = map_power(convergence.kappa, convergence.footprint)
    theory = limber(convergence, l), limber(convergence, l, fundamental(convergence.box_size))
    window = pixel_window(n_side_of(convergence.kappa), l)
    return AngularPower(l, measured, np.full(len(l), convergence.shot_noise), window, *theory)


def map_power(kappa: np.ndarray, footprint: Footprint) -> tuple[np.ndarray, np.ndarray]:
    """l from 2 to 2 n_side and C_l of a map with nothing outside its footprint, over the share of
    the sky."""
    import healpy

    n_side = n_side_of(kappa)
    l = np.arange(FIRST_L, max(2 * n_side, FIRST_L) + 1)
    inside = footprint.pixels(n_side)
    C_l = healpy.anafast(np.where(inside, kappa, 0.0), lmax=int(l[-1]), pol=False)
    return l, C_l[l] / inside.mean()


def shear(kappa: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shear of a convergence of the whole sky, both components in ring order; by Kaiser & Squires'
    relation on the sphere, gamma_lm = sqrt((l + 2)(l - 1) / (l (l + 1))) kappa_lm of E modes
    (Castro, Heavens & Kitching 2005, astro-ph/0503479), and no B modes, to l = 2 n_side.

    In the axes of HEALPix's polarisation, x to the south and y to the east: images are stretched
    from north to south where gamma1 > 0, from north-west to south-east where gamma2 > 0.
    """
    return shear_of_modes(shear_modes(kappa), n_side_of(kappa))


def shear_modes(kappa: np.ndarray) -> np.ndarray:
    """E modes of the shear of a convergence, as healpy orders them; see `shear`."""
    import healpy

    last = _last_l(n_side_of(kappa))
    l = np.arange(last + 1.0)
    factor = np.zeros(last + 1)
    factor[2:] = np.sqrt((l[2:] + 2) * (l[2:] - 1) / (l[2:] * (l[2:] + 1)))
    return healpy.almxfl(healpy.map2alm(kappa, lmax=last, pol=False), factor)


def shear_of_modes(modes: np.ndarray, n_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps of both components of a shear with these E modes; see `shear`."""
    import healpy

    gamma1, gamma2 = healpy.alm2map_spin([modes, np.zeros_like(modes)], n_side, 2, _last_l(n_side))
    return gamma1, gamma2


def _last_l(n_side: int) -> int:
    return max(2 * n_side, FIRST_L)


def mollweide(pixels: np.ndarray, rows: int = 400) -> np.ndarray:
    """A map in Mollweide's projection, array (rows, 2 rows), nan outside the ellipse; north is up,
    and the longitude grows to the left from the centre, as seen from inside. Pixels are averages
    over what a point of the picture is about."""
    import healpy

    shown = healpy.ud_grade(pixels, min(n_side_of(pixels), SHOWN))

    y, x = np.mgrid[1.0 : -1.0 : rows * 1j, 2.0 : -2.0 : 2 * rows * 1j]
    inside = x**2 / 4.0 + y**2 < 1.0
    angle = np.arcsin(y[inside])
    latitude = np.arcsin((2.0 * angle + np.sin(2.0 * angle)) / np.pi)
    longitude = np.pi * x[inside] / (2.0 * np.cos(angle))
    image = np.full(x.shape, np.nan)
    image[inside] = shown[healpy.ang2pix(n_side_of(shown), 0.5 * np.pi - latitude, longitude)]
    return image
