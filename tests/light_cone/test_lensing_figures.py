import numpy as np
import pytest
from matplotlib.figure import Figure

from coca.light_cone.lensing_figures import draw_map, draw_power
from coca.light_cone.sky import AngularPower, banded, bands


def test_points_are_bands_of_what_was_measured():
    l = np.arange(2, 257)
    signal, noise, window = 1e-9 / l, np.full(l.size, 1e-12), np.full(l.size, 0.9)
    power = AngularPower(
        l=l, measured=signal * window + noise, shot_noise=noise, window=window, theory=1.1e-9 / l,
        theory_in_box=1e-9 / l,
    )  # fmt: skip
    axes = Figure().subplots()
    draw_power(axes, power)
    points = axes.containers[0].lines[0]
    parts = bands(l)
    at = banded(l, l.astype(float), parts)
    np.testing.assert_allclose(points.get_xdata(), at)
    wanted = at * (at + 1) / (2 * np.pi) * banded(l, power.signal, parts)
    np.testing.assert_allclose(points.get_ydata(), wanted)


def test_pixels_that_nothing_is_known_of_are_left_out():
    pytest.importorskip("healpy")
    kappa = np.random.default_rng(1).normal(size=12 * 16**2)
    kappa[: kappa.size // 2] = np.nan
    figure = Figure()
    axes = figure.subplots()
    draw_map(figure, axes, kappa)
    image = axes.images[0].get_array()
    assert image.mask[: image.shape[0] // 3].all() or image.mask[-image.shape[0] // 3 :].all()
    assert np.isfinite(image.compressed()).all() and image.compressed().size > 100
