"""A shell of a light cone while particles come into it, on one rank."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coca import kernels
from coca.light_cone.cone_particles import Crossings


@dataclass
class Filling:
    """What has come into a shell so far."""

    counts: np.ndarray
    """Particles in each pixel, array (12 n_side^2,) int32."""
    momentum: np.ndarray
    """Sum of their radial peculiar velocities in km/s, array (12 n_side^2,) float64, or (0,)."""
    crossings: Crossings | None
    """The particles themselves, where they are kept."""

    @classmethod
    def none(cls, pixels: int, momentum: bool, particles: bool) -> Filling:
        """An empty shell of a map of so many pixels, with velocities and particles or without."""
        crossings = Crossings.none() if particles else None
        return cls(np.zeros(pixels, np.int32), np.zeros(pixels if momentum else 0), crossings)

    def add(
        self, pixel: np.ndarray, speed: np.ndarray, crossings: Crossings | None, threads: int
    ) -> None:
        """Add particles.

        Parameters
        ----------
        pixel : array (M,) int32
            -1 for those that are not in the shell.
        speed : array (M,) float
            Radial peculiar velocities, km/s; of any length where they are not kept.
        crossings : Crossings
            Those in the shell, where they are kept.
        threads : int
        """
        kernels.light_cone.paint(pixel, speed, threads, self.counts, self.momentum)
        if self.crossings is not None and crossings is not None:
            self.crossings = self.crossings.add(crossings)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All by name, for `of`."""
        particles = {} if self.crossings is None else self.crossings._asdict()
        return {"counts": self.counts, "momentum": self.momentum} | particles

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> Filling:
        """The shell that has these `arrays`."""
        kept = "ids" in arrays
        crossings = Crossings(*(arrays[name] for name in Crossings._fields)) if kept else None
        return cls(arrays["counts"], arrays["momentum"], crossings)
