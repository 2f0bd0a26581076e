"""What is missed of massive neutrinos: EuclidEmulator2's boost, and CAMB's growth over ours.

A run with cosmology.m_nu has the linear spectrum of all matter at z = 0, and neutrinos nowhere
else. Rows, in per cent: the emulator's P over linear P with neutrinos over that without them, at
the same sigma_8 of all matter; and least and most, over wavenumbers, of linear P at z over that at
z = 0, beside D^2. Needs euclidemu2 (the extra theory) and camb.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from benchmarks import theory
from benchmarks.problem import COSMOLOGY
from benchmarks.rows import heading, listed
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import TRIAL_A_S, camb_parameters

WAVENUMBERS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Of the boost, h/Mpc."""
LINEAR = np.geomspace(0.1, 5.0, 60)
"""Of linear growth, h/Mpc."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--masses", type=listed(float), default=[0.06, 0.15], help="sums in eV")
    parser.add_argument("--redshifts", type=listed(float), default=[0.0, 1.0, 2.0])


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each mass and redshift."""
    rows = []
    for mass in options.masses:
        cosmology = replace(COSMOLOGY, m_nu=mass)
        growth = growth_of_power(cosmology, options.redshifts)
        for z, found in zip(options.redshifts, growth, strict=True):
            ours = theory.growth(cosmology, z) ** 2
            rows.append(
                {
                    "m_nu": mass,
                    "z": z,
                    "boost": [float(b) for b in boost_of_neutrinos(cosmology, z)],
                    "growth": [float(edge / ours - 1) for edge in (found.min(), found.max())],
                }
            )
    return rows


def boost_of_neutrinos(cosmology: Cosmology, z: float) -> np.ndarray:
    """Boost at WAVENUMBERS over that of a cosmology without neutrinos, less one."""
    (k, with_them), (_, without) = (
        theory.boost(c, z) for c in (cosmology, replace(cosmology, m_nu=0.0))
    )
    return np.interp(np.log(WAVENUMBERS), np.log(k), with_them / without - 1)


def growth_of_power(cosmology: Cosmology, redshifts: list[float]) -> list[np.ndarray]:
    """CAMB's linear P of all matter at LINEAR over that at z = 0, for each redshift."""
    import camb

    parameters = camb_parameters(cosmology, TRIAL_A_S)
    parameters.set_matter_power(redshifts=sorted({0.0, *redshifts}, reverse=True), kmax=20.0)
    P = camb.get_results(parameters).get_matter_power_interpolator(nonlinear=False)
    return [P.P(z, LINEAR) / P.P(0.0, LINEAR) for z in redshifts]


def table(rows: list[dict]) -> str:
    """The table of docs/equations.md."""
    boost = f"boost, k = {' / '.join(f'{k:g}' for k in WAVENUMBERS)} h/Mpc"
    linear = f"linear P at k = {LINEAR[0]:g} to {LINEAR[-1]:g} h/Mpc"
    lines, before = heading(["", "z", boost, linear]), None
    for row in rows:
        mass, before = "" if row["m_nu"] == before else f"{row['m_nu']:g} eV", row["m_nu"]
        percents = " / ".join(f"{100 * b:+.1f}" for b in row["boost"])
        low, high = (f"{100 * edge:+.1f}" for edge in row["growth"])
        growth = low if low == high else f"{low} to {high}"
        lines.append(f"| {mass} | {row['z']:g} | {percents} % | {growth} % |")
    return "\n".join(lines)
