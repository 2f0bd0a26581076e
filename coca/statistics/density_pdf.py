"""Distribution of the smoothed density."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.configuration.sections import PDFConfig
from coca.files.snapshot_reader import Particles
from coca.parallel.domain import Grid
from coca.statistics.fields import wavenumbers_of_modes, window
from coca.statistics.spectra import density_modes

RADII = (2.0, 4.0, 8.0)
"""Radii of smoothing in mesh cells: from where the mesh resolves spheres."""
EDGES = np.logspace(-2.0, 2.0, 81)
"""Boundaries of the bins of 1 + delta."""


class DensityPDF(NamedTuple):
    """Distribution of 1 + delta, smoothed, at the cells of a mesh."""

    radius: float
    """Radius of the sphere or the Gaussian in Mpc/h."""
    pdf: np.ndarray
    """dP / d log10(1 + delta) in the bins between EDGES."""
    outside: float
    """Share of cells in none of the bins."""
    variance: float
    """Mean of delta^2."""
    S3: float
    """Mean of delta^3 over the variance's square."""


def density_pdf(grid: Grid, particles: Particles, options: PDFConfig) -> list[DensityPDF]:
    """Distribution of 1 + delta after smoothing, for each radius.

    Parameters
    ----------
    grid : Grid
        Its n is the mesh.
    particles : Particles
    options : PDFConfig
        Window and radii; `default_radii` where it has none.
    """
    radii = default_radii(grid) if options.radii is None else options.radii
    delta_k = density_modes(grid, particles.x, grid.cells, ordered=False)
    for w in window(grid):
        delta_k /= w
    k = wavenumbers_of_modes(grid)
    k *= np.float32(grid.kf)
    smoothing = WINDOWS[options.window]
    return [
        _one_radius(grid, delta_k * smoothing(k * np.float32(radius)), radius) for radius in radii
    ]


def default_radii(grid: Grid) -> list[float]:
    """RADII in Mpc/h."""
    return [cells * grid.cell for cells in RADII]


def top_hat(y: np.ndarray) -> np.ndarray:
    """Fourier transform of a sphere of unit volume, y = k R: 3 (sin y - y cos y) / y^3."""
    small = y < 0.02  # where the difference loses digits
    y = np.where(small, np.float32(1), y)
    return np.where(small, np.float32(1), 3 * (np.sin(y) - y * np.cos(y)) / y**3)


def gaussian(y: np.ndarray) -> np.ndarray:
    """Fourier transform of a Gaussian of unit volume, y = k R: exp(-y^2 / 2)."""
    return np.exp(np.float32(-0.5) * y**2)


WINDOWS = {"top_hat": top_hat, "gaussian": gaussian}


def _one_radius(grid: Grid, smooth: np.ndarray, radius: float) -> DensityPDF:
    delta = grid.transform(grid.cells).backward(smooth)
    variance, third = (float(np.mean(delta**p, dtype=np.float64)) for p in (2, 3))
    counts, _ = np.histogram(1 + delta, EDGES)
    widths = np.diff(np.log10(EDGES))
    outside = 1 - counts.sum() / delta.size
    return DensityPDF(radius, counts / delta.size / widths, outside, variance, third / variance**2)
