"""Footprints: shares of the sky, bounds, and pixels, against points all over the sky."""

import healpy
import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.configuration.sections import LightConeConfig
from coca.errors import ConfigError
from coca.light_cone.footprint import FULL, OCTANT, Footprint
from coca.light_cone.geometry import footprint_of

CONES = [
    Footprint("cone", lon, lat, radius)
    for lon, lat in ((0.0, 90.0), (30.0, -20.0), (200.0, 45.0))
    for radius in (3.0, 60.0, 120.0)
]


def inside(footprint, x):
    """Whether unit vectors (3, M) are in a footprint, by its definition."""
    if footprint.name == "cone":
        towards = healpy.ang2vec(footprint.lon, footprint.lat, lonlat=True)
        return np.degrees(np.arccos(towards @ x)) <= footprint.radius
    return np.all(x >= 0.0, axis=0) if footprint.name == "octant" else np.ones(x.shape[1], bool)


@pytest.mark.parametrize("footprint", [FULL, OCTANT, *CONES], ids=str)
def test_shares_bounds_and_pixels(footprint):
    x = np.array(healpy.pix2vec(256, np.arange(12 * 256**2)))
    within = inside(footprint, x)
    assert footprint.share == pytest.approx(within.mean(), rel=0.02)
    low, high = footprint.bounds
    for least, most, values in zip(low, high, x[:, within], strict=True):
        # of the ball, whose centre is at 0
        assert least == pytest.approx(min(values.min(), 0.0), abs=0.02)
        assert most == pytest.approx(max(values.max(), 0.0), abs=0.02)
    pixels = footprint.pixels(16)
    corners = healpy.boundaries(16, np.flatnonzero(pixels), step=4)
    assert np.all(inside(footprint, np.moveaxis(corners, 1, 0).reshape(3, -1)))
    assert 1.0 >= pixels.mean() / footprint.share > (0.8 if footprint.radius > 10 else -1.0)


@pytest.mark.parametrize("footprint", [FULL, OCTANT, CONES[4]], ids=str)
def test_files_say_which_it_was(footprint):
    assert Footprint.of(footprint.attributes) == footprint


def test_axes_are_vectors_or_longitude_and_latitude():
    for axis in ([0.0, 3.0, 3.0], [90.0, 45.0]):
        options = LightConeConfig(z_max=1.0, footprint={"axis": axis, "radius": 10.0})
        found = footprint_of(options)
        np.testing.assert_allclose(found.axis, [0.0, 0.5**0.5, 0.5**0.5], atol=1e-12)
        assert (found.name, found.radius) == ("cone", 10.0)
    assert footprint_of(LightConeConfig(z_max=1.0, footprint="octant")) == OCTANT


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"axis": [0, 0, 0], "radius": 10}, "footprint: axis: found .*0.*, wanted a direction$"),
        ({"axis": [10, 91], "radius": 10}, "axis: found .* wanted a latitude of -90 to 90 degrees"),
        ({"axis": [10, 20, 30, 40], "radius": 10}, "footprint.axis: found .*, wanted"),
        ({"axis": [10, 20], "radius": 181}, "light_cone.footprint.radius: found 181, wanted 180"),
        ({"axis": [10, 20]}, "config: light_cone.footprint.radius: missing, wanted a value$"),
        ({"axis": [10, 20], "radius": 1, "lon": 3}, "light_cone.footprint.lon: unknown key"),
        (
            "octants",
            "config: light_cone.footprint: found 'octants', wanted one of full, octant; oc",
        ),
    ],
)
def test_what_cannot_be(values, message, config_values):
    """What is wrong is said of the kind of footprint that was meant."""
    cone = {"z_max": 1.0, "footprint": values}
    with pytest.raises(ConfigError, match=message):
        make_config(config_values | {"light_cone": cone})
