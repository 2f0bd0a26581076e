"""Convergence and shear of single galaxies, each lensed by what lies before it.

A shell of density contrast delta adds to the convergence of a source at chi_s behind it

    (w1 - w2 / chi_s) delta,    w1 = A int dchi chi / a,    w2 = A int dchi chi^2 / a,

with A = 3/2 Omega_m (H0 / c)^2, see `coca.light_cone.lensing`: of all shells before a galaxy two
maps are enough, whatever its redshift. What lies before it in its own shell is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coca.atomic_files import whole_hdf5
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.distance import HUBBLE_DISTANCE, comoving_distance, scale_factor_at
from coca.errors import ConfigError, FileError
from coca.light_cone.lensing import gauss_legendre
from coca.light_cone.shells import Shell
from coca.light_cone.sky import AXES, shear_modes, shear_of_modes
from coca.light_cone.sources import ROUND_OFF, read_numbers

FORMAT = "coca-galaxies-1"
COLUMNS = "longitude and latitude in degrees, and redshift, with blanks between them"


@dataclass(frozen=True)
class Galaxies:
    """Places of galaxies on the sky and their redshifts, arrays of one length."""

    lon: np.ndarray
    """Degrees, as HEALPix has them: from x towards y."""
    lat: np.ndarray
    """Degrees: from the plane of x and y towards z."""
    z: np.ndarray
    name: str = "galaxies"
    """What messages call them."""

    def check(self, z_end: float) -> None:
        """Raise ConfigError if some lie beyond the end of a light cone."""
        beyond = self.z > z_end * (1.0 + ROUND_OFF)
        if np.any(beyond):
            raise ConfigError(
                f"{self.name}: found {np.sum(beyond)} galaxies beyond z = {z_end:.6g}, where the "
                f"light cone ends, the farthest at {self.z.max():.6g}, wanted none, or a cone with "
                "a higher z_max"
            )


def read_galaxies(path: Path) -> Galaxies:
    """Galaxies of a table: text with columns longitude and latitude in degrees, and redshift.

    Raises
    ------
    FileError
        The file is missing, or is no such table.
    """
    table = read_numbers("--galaxies", path, COLUMNS)
    if table.shape[1] != 3 or not len(table):
        raise FileError(
            f"--galaxies: {path}: found {len(table)} rows of {table.shape[1]} columns, wanted "
            f"{COLUMNS}"
        )
    lon, lat, z = table.T
    if not np.all(np.isfinite(table)) or np.any(np.abs(lat) > 90.0) or np.any(z < 0.0):
        raise FileError(
            f"--galaxies: {path}: wanted finite numbers, latitudes from -90 to 90 degrees, and "
            "redshifts of 0 or more"
        )
    return Galaxies(lon, lat, z, f"--galaxies: {path}")


class GalaxySum:
    """Convergence and shear of galaxies in the Born approximation, those of the pixel that each is
    in; shells are added one by one.

    Parameters
    ----------
    galaxies : Galaxies
    """

    def __init__(self, galaxies: Galaxies):
        count = len(galaxies.z)
        self._galaxies, self._end = galaxies, 0.0
        self._found = {name: np.zeros(count) for name in ("kappa", "gamma1", "gamma2")}
        self._left = np.ones(count, bool)
        self._before: list[tuple[np.ndarray, np.ndarray]] = []
        """Map and E modes of the shear that the shells so far have with the weights w1 and w2."""

    def add(self, shell: Shell) -> None:
        """Lens the galaxies in the next shell by what lies before them; shells come as from
        `coca.light_cone.lensing.in_order`.

        Raises
        ------
        ConfigError
            The shell is of part of the sky.
        """
        if shell.footprint.name != "full":
            raise ConfigError(
                f"{self._galaxies.name}: found a light cone of footprint {shell.footprint.name}, "
                "wanted the whole sky: shear depends on what is outside"
            )
        delta, self._end = shell.counts / shell.mean - 1.0, shell.z[1]
        modes = shear_modes(delta)
        if not self._before:
            self._before = [(0.0 * delta, 0.0 * modes) for _ in range(2)]
        here = np.flatnonzero(self._left & (self._galaxies.z <= self._end * (1.0 + ROUND_OFF)))
        self._left[here] = False
        if len(here):
            self._lens(here, shell, delta, modes)
        weights = _weights(shell.cosmology, shell.chi[0], np.array(shell.chi[1]))
        for weight, (pixels, E) in zip(weights, self._before, strict=True):
            pixels += weight * delta
            E += weight * modes

    def _lens(self, here: np.ndarray, shell: Shell, delta: np.ndarray, modes: np.ndarray) -> None:
        """What galaxies `here`, in a shell, have of the shells before it and of their own."""
        import healpy

        galaxies = self._galaxies
        chi = comoving_distance(shell.cosmology, scale_factor(galaxies.z[here]))
        pixel = healpy.ang2pix(shell.n_side, galaxies.lon[here], galaxies.lat[here], lonlat=True)
        own = _weights(shell.cosmology, shell.chi[0], np.clip(chi, *shell.chi))
        far = 1.0 / np.maximum(chi, np.finfo(float).tiny)
        for factor, (pixels, E) in (
            (np.ones(len(here)), self._before[0]),
            (-far, self._before[1]),
            (own[0] - own[1] * far, (delta, modes)),
        ):
            maps = (pixels, *shear_of_modes(E, shell.n_side))
            for name, values in zip(self._found, maps, strict=True):
                self._found[name][here] += factor * values[pixel]

    def total(self) -> dict[str, np.ndarray]:
        """What all shells lens: kappa, gamma1 and gamma2, arrays as the galaxies; shear in the axes
        of `coca.light_cone.sky.shear`.

        Raises
        ------
        ConfigError
            Galaxies lie beyond them.
        """
        self._galaxies.check(self._end)
        return self._found


def _weights(cosmology: Cosmology, near: float, far: np.ndarray) -> np.ndarray:
    """w1 and w2 of the matter between two distances, array (2, *far.shape)."""
    chi, weights = gauss_legendre(np.array(near), far)
    slope = 1.5 * cosmology.Omega_m / HUBBLE_DISTANCE**2 * chi / scale_factor_at(cosmology, chi)
    return np.array([np.sum(weights * slope, axis=-1), np.sum(weights * slope * chi, axis=-1)])


def write_galaxies(path: Path, galaxies: Galaxies, found: dict[str, np.ndarray]) -> None:
    """Write galaxies with what `GalaxySum` found of them, whole or not at all."""
    with whole_hdf5(path) as file:
        file.attrs.update({"format": FORMAT, "angles": "degrees", "shear_axes": AXES})
        for name, values in {
            "lon": galaxies.lon,
            "lat": galaxies.lat,
            "z": galaxies.z,
            **found,
        }.items():
            file.create_dataset(name, data=values, compression="gzip", fletcher32=True)
