"""Which redshift of the start serves which particle spacing: what was measured, as a warning.

Short waves of particles that are still on their lattice grow too fast with the force of a mesh of
twice the lattice, and too slowly with the true force; so a start that is early for the spacing
spoils the power that 2LPT has right. docs/nbody.md has the measurement.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from coca.configuration.run import Config
from coca.cosmology.background import Cosmology, redshift, scale_factor
from coca.run.method import P3M_MESH

SPACINGS, OUTPUTS, STARTS = (1.0, 2.0, 4.0), (0.0, 3.0, 9.0), (9.0, 19.0, 49.0, 99.0)
"""Mpc/h between particles, and redshifts, of the measurement."""
USUAL = 19.0
"""The start that others are held against."""
CHANGE = {
    "pm": (
        (
            (-0.007, 0.0, -0.002, 0.0),
            (-0.036, 0.0, 0.014, 0.032),
            (-0.006, 0.0, 0.02, 0.07),
        ),
        (
            (-0.01, 0.0, 0.01, 0.021),
            (-0.015, 0.0, 0.031, 0.076),
            (-0.003, 0.0, 0.045, 0.12),
        ),
        (
            (-0.008, 0.0, 0.02, 0.044),
            (-0.02, 0.0, 0.068, 0.147),
            (-0.013, 0.0, 0.08, 0.181),
        ),
    ),
    "p3m": (
        (
            (-0.005, 0.0, -0.007, -0.012),
            (-0.018, 0.0, -0.024, -0.051),
            (0.009, 0.0, -0.051, -0.097),
        ),
        (
            (0.0, 0.0, -0.004, -0.013),
            (0.016, 0.0, -0.047, -0.084),
            (0.021, 0.0, -0.061, -0.109),
        ),
        (
            (0.012, 0.0, -0.024, -0.043),
            (0.039, 0.0, -0.061, -0.105),
            (0.027, 0.0, -0.067, -0.117),
        ),
    ),
}
"""P over that of the usual start, less 1, at half of the particles' Nyquist wavenumber: for each
spacing, output and start."""
WORTH_SAYING = 0.03


def change_of_power(solver: str, spacing: float, output: float, first_force: float) -> float:
    """Relative change of P at half of Nyquist's wavenumber by a start other than the usual one.

    Parameters
    ----------
    solver : {"pm", "p3m"}
        pm on a mesh of twice the particles.
    spacing : float
        Of the particles, Mpc/h.
    output, first_force : float
        Redshifts, of the output and of the first force.

    Returns
    -------
    float
        Interpolated in the logarithms, and constant beyond what was measured.
    """
    axes = (np.log(SPACINGS), np.log1p(OUTPUTS), np.log1p(STARTS))
    at = (math.log(spacing), math.log1p(output), math.log1p(first_force))
    inside = [np.clip(value, axis[0], axis[-1]) for value, axis in zip(at, axes, strict=True)]
    return float(RegularGridInterpolator(axes, np.array(CHANGE[solver]))(inside).item())


def start_warnings(config: Config, cosmology: Cosmology, start: float) -> list[str]:
    """A line if the start spoils an output by more than is worth saying; the worst output's."""
    if config.solver == "pm" and config.mesh != P3M_MESH * config.particles:
        return []
    force = first_force(config, cosmology, start)
    spacing = config.box_size / config.particles
    changes = {
        z: change_of_power(config.solver, spacing, z, force)
        for z in config.output.redshifts
        if z < force
    }
    worst = max(changes, key=lambda z: abs(changes[z]), default=None)
    if worst is None or abs(changes[worst]) < WORTH_SAYING:
        return []
    when = "early" if force > USUAL else "late"
    return [
        f"initial_conditions.redshift: forces from z = {force:.3g} on are {when} for particles "
        f"{spacing:.3g} Mpc/h apart: P at half of their Nyquist wavenumber is {changes[worst]:+.0%}"
        f" at z = {worst:g} beside a start at {USUAL:g} (docs/nbody.md)"
    ]


def first_force(config: Config, cosmology: Cosmology, start: float) -> float:
    """Redshift of the first force, in the middle of the first step where their number is known."""
    count = config.force_evaluations
    if config.method == "nbody" or count == "auto" or count == 0:
        return start
    first, last = (
        float(cosmology.D1(scale_factor(z))) for z in (start, config.output.redshifts[-1])
    )
    return redshift(float(cosmology.a_of_D(first + (last - first) / (2 * int(count)))))
