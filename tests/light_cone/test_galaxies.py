"""Galaxies beside maps of sources at their redshift."""

import numpy as np
import pytest

from coca.cosmology.background import scale_factor
from coca.cosmology.distance import comoving_distance
from coca.errors import ConfigError, FileError
from coca.light_cone.footprint import FULL, OCTANT
from coca.light_cone.galaxies import Galaxies, GalaxySum, read_galaxies
from coca.light_cone.lensing import convergence, in_order
from coca.light_cone.shells import Shell
from coca.light_cone.sky import shear
from coca.light_cone.sources import Sources

healpy = pytest.importorskip("healpy")

Z = (0.0, 0.1, 0.25, 0.4)
N_SIDE = 16


def shells_of(cosmology, footprint=FULL):
    """Particles thrown at random."""
    rng = np.random.default_rng(4)
    for i in range(3):
        edges = Z[i], Z[i + 1]
        chi = tuple(comoving_distance(cosmology, scale_factor(np.array(edges))))
        counts = rng.poisson(50.0, 12 * N_SIDE**2).astype(np.int32)
        yield Shell(i, 3, edges, chi, cosmology, 300.0, 64**3, footprint, counts)


def lensed(shells, galaxies):
    """As `coca lens --galaxies` lenses them."""
    found = GalaxySum(galaxies)
    for shell in in_order(shells):
        found.add(shell)
    return found.total()


@pytest.mark.parametrize("z", [0.07, 0.1, 0.2, 0.33, 0.4])
def test_galaxies_are_lensed_as_maps_of_their_redshift(z, cosmology):
    """In the first shell, at an edge, within shells, at the end, beside any others."""
    rng = np.random.default_rng(5)
    lon, lat = rng.uniform(0, 360, 60), np.degrees(np.arcsin(rng.uniform(-1, 1, 60)))
    others = np.where(np.arange(60) < 40, z, rng.uniform(0.0, 0.4, 60))
    found = lensed(shells_of(cosmology), Galaxies(lon, lat, others))
    kappa = convergence(shells_of(cosmology), Sources.at(z)).kappa
    pixel = healpy.ang2pix(N_SIDE, lon, lat, lonlat=True)[:40]
    for name, wanted in zip(found, (kappa, *shear(kappa)), strict=True):
        scale = wanted.std()
        np.testing.assert_allclose(found[name][:40], wanted[pixel], atol=1e-4 * scale)
        assert scale > 0.0 and found[name].shape == (60,)


def test_nobody_lenses_a_galaxy_here(cosmology):
    found = lensed(shells_of(cosmology), Galaxies(np.zeros(1), np.zeros(1), np.zeros(1)))
    assert all(values[0] == 0.0 for values in found.values())


def test_nobody_lenses_a_galaxy_before_the_first_shell(cosmology):
    beyond = list(shells_of(cosmology))[1:]
    found = lensed(beyond, Galaxies(np.zeros(2), np.zeros(2), np.array([0.05, 0.2])))
    assert all(values[0] == 0.0 != values[1] for values in found.values())


def test_galaxies_that_cannot_be_lensed_are_refused(cosmology):
    one = np.array([0.5])
    with pytest.raises(ConfigError, match=r"found 1 galaxies beyond z = 0.4"):
        lensed(shells_of(cosmology), Galaxies(one, one, one))
    with pytest.raises(ConfigError, match="footprint octant, wanted the whole sky"):
        lensed(shells_of(cosmology, OCTANT), Galaxies(one, one, 0.1 * one))


def test_a_shell_that_is_missing_is_noticed(cosmology):
    """Its matter would be missing from what lenses galaxies behind it, without a word."""
    one = np.array([0.05])
    with pytest.raises(ConfigError, match=r"found one from z = 0.25 on after one that ends at 0.1"):
        lensed(list(shells_of(cosmology))[::2], Galaxies(one, one, one))
    with pytest.raises(ConfigError, match="shells: found none"):
        lensed([], Galaxies(one, one, one))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2\n", "found 1 rows of 2 columns"),
        ("1 91 0.3\n", "latitudes from -90 to 90"),
        ("1 2 -0.3\n", "redshifts of 0 or more"),
        ("a b c\n", "line 1: found 'a b c', wanted longitude and latitude in degrees"),
    ],
)
def test_tables_that_are_none(text, message, tmp_path):
    (tmp_path / "galaxies.txt").write_text(text)
    with pytest.raises(FileError, match=message):
        read_galaxies(tmp_path / "galaxies.txt")
