import numpy as np
import pytest

from coca.configuration.sections import PDFConfig
from coca.parallel.domain import Grid
from coca.statistics import density_pdf
from tests.statistics.made import L, made


def test_pdf_of_random_particles():
    """Counts in spheres of Poisson particles: variance 1/N, third moment 1/N^2, so S3 = 1."""
    particles = made(np.random.default_rng(3).uniform(0, L, (3, 40000)))
    found = density_pdf.density_pdf(Grid(L, 64), particles, PDFConfig(radii=[5.0]))[0]
    N = 40000 / L**3 * 4 / 3 * np.pi * 5.0**3
    # a box holds 500 such spheres; the window's correction leaves a few per cent on small scales
    assert found.variance == pytest.approx(1 / N, rel=0.1)
    assert pytest.approx(1, abs=0.35) == found.S3
    total = np.sum(found.pdf * np.diff(np.log10(density_pdf.EDGES))) + found.outside
    assert total == pytest.approx(1)


def test_pdf_of_random_particles_smoothed_by_a_gaussian():
    """Variance 1 / (8 pi^(3/2) R^3 n), the integral of the squared window; S3 = 8 / 3^(3/2)."""
    particles = made(np.random.default_rng(3).uniform(0, L, (3, 40000)))
    options = PDFConfig(window="gaussian", radii=[3.0])
    found = density_pdf.density_pdf(Grid(L, 64), particles, options)[0]
    wanted = 1 / (8 * np.pi**1.5 * 3.0**3 * 40000 / L**3)
    # some hundred independent volumes
    assert found.variance == pytest.approx(wanted, rel=0.1)
    assert pytest.approx(8 / 3**1.5, abs=0.5) == found.S3


def test_it_does_not_know_where_the_box_begins():
    x = np.random.default_rng(4).uniform(0, L, (3, 4000))
    first, second = (
        density_pdf.density_pdf(Grid(L, 24), made(x + by), PDFConfig())[1] for by in (0.0, L / 3)
    )
    assert (first.variance, first.S3) == pytest.approx((second.variance, second.S3), rel=1e-4)
