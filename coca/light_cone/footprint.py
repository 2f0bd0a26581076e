"""Footprints of light cones: the part of the sky that is mapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Footprint:
    """Part of the sky: all of it, the octant of positive x, y and z, or a cone about an axis.

    Parameters
    ----------
    name : {"full", "octant", "cone"}
    lon, lat : float
        Direction of a cone's axis in degrees: the longitude from x towards y, the latitude from the
        plane of x and y towards z, as HEALPix has them.
    radius : float
        Its opening angle from the axis to its edge, degrees.
    """

    name: str
    lon: float = 0.0
    lat: float = 0.0
    radius: float = 180.0

    @property
    def share(self) -> float:
        """Its share of the sky."""
        if self.name == "cone":
            return float(0.5 * (1.0 - np.cos(np.radians(self.radius))))
        return 0.125 if self.name == "octant" else 1.0

    @property
    def axis(self) -> np.ndarray:
        """Unit vector of a cone's axis, array (3,)."""
        lon, lat = np.radians([self.lon, self.lat])
        return np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the most of x, y and z, arrays (3,), in the unit ball within it."""
        if self.name != "cone":
            return np.full(3, 0.0 if self.name == "octant" else -1.0), np.ones(3)
        angle, radius = np.arccos(np.clip(self.axis, -1.0, 1.0)), np.radians(self.radius)
        low = np.minimum(np.cos(np.minimum(angle + radius, np.pi)), 0.0)
        return low, np.maximum(np.cos(np.maximum(angle - radius, 0.0)), 0.0)

    def pixels(self, n_side: int) -> np.ndarray:
        """Pixels that are wholly in it, array (12 n_side^2,) bool."""
        import healpy

        if self.name == "full":
            return np.ones(12 * n_side**2, bool)
        towards = np.array(healpy.pix2vec(n_side, np.arange(12 * n_side**2)))
        edge = healpy.max_pixrad(n_side)
        if self.name == "octant":
            return np.min(towards, axis=0) > np.sin(edge)
        within = np.radians(self.radius) - edge
        away = np.arctan2(
            np.linalg.norm(np.cross(towards.T, self.axis), axis=1), self.axis @ towards
        )
        return away < within

    @property
    def attributes(self) -> dict[str, str | float]:
        """What files say of it."""
        about: dict[str, str | float] = {"footprint": self.name}
        if self.name == "cone":
            about |= {"footprint_lon": self.lon, "footprint_lat": self.lat}
            about["footprint_radius"] = self.radius
        return about

    @classmethod
    def of(cls, attributes: Mapping[str, Any]) -> Footprint:
        """The footprint that a file's `attributes` are of."""
        name = str(attributes["footprint"])
        if name != "cone":
            return cls(name)
        return cls(name, *(float(attributes[f"footprint_{k}"]) for k in ("lon", "lat", "radius")))


FULL, OCTANT = Footprint("full"), Footprint("octant")
"""The whole sky, and the directions of positive x, y and z."""
