"""Radius, velocity dispersion, concentration and spin of haloes, from their members.

Radii are about the densest point, which a shrinking sphere finds (Power et al. 2003), and are those
of a mean density of 200 times that of all matter, of members alone: friends of friends with
b = 0.2 reach a little beyond.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from coca.cosmology.background import RHO_CRIT
from coca.files.snapshot_reader import Particles
from coca.particles import into_box
from coca.statistics.haloes import Columns, Haloes

GRAVITY = 4.30091e-9
"""G in Mpc (km/s)^2 / Msun."""
OVERDENSITY = 200.0
"""Mean density within the radius over that of matter."""
SHRINK, LEFT = 0.8, 20
"""Factor by which the sphere shrinks at a time, and particles it keeps at least."""
FEWEST_IN_PROFILE, INNERMOST = 100, 10
"""Particles within the radius of a halo that has a concentration, and within the radius of the
largest circular velocity."""
CONCENTRATIONS = 2.163, 200.0
"""From where the largest circular velocity of the profile is at its outer radius."""


class HaloProperties(NamedTuple):
    """What the members of H haloes tell beside their means; NaN where they do not."""

    peak: np.ndarray
    """Densest point (3, H) float32 in comoving Mpc/h, in [0, box_size)."""
    radius: np.ndarray
    """Radius (H,) float32 of 200 times the mean density, comoving Mpc/h."""
    mass: np.ndarray
    """Mass (H,) float64 within it, Msun/h."""
    dispersion: np.ndarray
    """Rms peculiar velocity along an axis about the mean of all members, (H,) float32, km/s."""
    concentration: np.ndarray
    """Concentration of the NFW profile with the ratio of largest circular velocity to that at the
    radius (Prada et al. 2012, arXiv:1104.5130), (H,) float32."""
    spin: np.ndarray
    """J / (sqrt(2) M V R) within the radius (Bullock et al. 2001, arXiv:astro-ph/0011001), (H,)
    float32."""

    def columns(self) -> Columns:
        """Columns of a catalogue, with their units."""
        length = "Mpc/h, comoving"
        return {
            "Peak": (length, self.peak.T),
            "Radius200m": (length, self.radius),
            "Mass200m": ("Msun/h", self.mass),
            "Dispersion": ("km/s, peculiar, along an axis", self.dispersion),
            "Concentration": ("1", self.concentration),
            "Spin": ("1", self.spin),
        }


def halo_properties(particles: Particles, haloes: Haloes) -> HaloProperties:
    """Properties of haloes.

    Parameters
    ----------
    particles : Particles
    haloes : Haloes
        Of these particles.
    """
    H, ends = len(haloes.mass), np.cumsum(haloes.particles)
    table = np.full((8, H), np.nan)
    for h, (start, end) in enumerate(zip(ends - haloes.particles, ends, strict=True)):
        table[:, h] = _one(particles, haloes.members[start:end])
    peak = into_box(table[:3].astype(np.float32), particles.header.box_size)
    radius, mass, dispersion, concentration, spin = table[3:]
    return HaloProperties(
        peak,
        radius.astype(np.float32),
        mass,
        dispersion.astype(np.float32),
        concentration.astype(np.float32),
        spin.astype(np.float32),
    )


def _one(particles: Particles, members: np.ndarray) -> list[float]:
    """Peak, radius, mass, dispersion, concentration and spin of a halo."""
    header, L = particles.header, particles.header.box_size
    first = particles.x[:, members[0]].astype(np.float64)
    x = particles.x[:, members] - first[:, None]
    x -= L * np.rint(x / L)
    u = particles.u[:, members].astype(np.float64)
    dispersion = float(np.sqrt(u.var(axis=1).mean()))
    peak = densest_point(x)
    x -= peak[:, None]
    r = np.sqrt((x**2).sum(axis=0))
    order = np.argsort(r)
    inside = within_radius(r[order], header.mass / (header.Omega_m * RHO_CRIT))
    if inside == 0:
        return [*(first + peak), np.nan, 0.0, dispersion, np.nan, np.nan]
    radius, own = r[order[inside - 1]], order[:inside]
    velocity = np.sqrt(GRAVITY * header.mass * inside / (header.a * radius))
    moment = np.cross(header.a * x[:, own], u[:, own] - u[:, own].mean(axis=1)[:, None], axis=0)
    spin = np.linalg.norm(moment.mean(axis=1)) / (np.sqrt(2) * velocity * header.a * radius)
    c = concentration(r[own])
    return [*(first + peak), radius, header.mass * inside, dispersion, c, float(spin)]


def densest_point(x: np.ndarray) -> np.ndarray:
    """Centre of mass of a sphere about itself that shrinks until few particles (3, N) are left."""
    centre = x.mean(axis=1)
    radius = np.sqrt(((x - centre[:, None]) ** 2).sum(axis=0)).max()
    while True:
        radius *= SHRINK
        x = x[:, ((x - centre[:, None]) ** 2).sum(axis=0) < radius**2]
        if x.shape[1] < LEFT:
            return centre
        centre = x.mean(axis=1)


def within_radius(r: np.ndarray, volume: float) -> int:
    """Number of particles within the largest radius of 200 times the mean density.

    Parameters
    ----------
    r : array (N,)
        Distances from the centre, increasing.
    volume : float
        That a particle has at the mean density.
    """
    counts = np.arange(1, len(r) + 1)
    dense = counts * volume >= OVERDENSITY * 4 / 3 * np.pi * r**3
    return int(np.flatnonzero(dense)[-1]) + 1 if dense.any() else 0


def concentration(r: np.ndarray) -> float:
    """Concentration of the NFW profile with the same ratio of circular velocities.

    Parameters
    ----------
    r : array (N,)
        Distances of the particles within the radius, increasing.

    Returns
    -------
    float
        NaN for less than 100 particles.
    """
    if len(r) < FEWEST_IN_PROFILE:
        return np.nan
    speed = np.sqrt(np.arange(1, len(r) + 1) / np.maximum(r, 1e-12 * r[-1]))
    ratio = speed[INNERMOST:].max() / speed[-1]
    low, high = CONCENTRATIONS
    if ratio <= max(1.0, _nfw_ratio(low)):
        return low
    return high if ratio >= _nfw_ratio(high) else brentq(lambda c: _nfw_ratio(c) - ratio, low, high)


def _nfw_ratio(c: float) -> float:
    """Largest circular velocity over that at the radius."""
    return float(np.sqrt(0.216 * c / (np.log(1 + c) - c / (1 + c))))
