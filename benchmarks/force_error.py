"""Error of the force against its cost, for every option of the mesh.

Particles on a lattice, mesh of twice the lattice unless said otherwise:

    wave            amplitude of the force on plane waves of displacement 0.1 cells of the lattice,
                    32 and 8 lattice cells long; it should be -1
    pair            mean force of a pair of masses over Ewald's, and its scatter with place and
                    direction, 2, 4 and 8 mesh cells apart
    P, 1 - r        of BullFrog runs with 32 steps over N-body (P3M, see docs/nbody.md) from the
                    same initial conditions: power at z = 0 at k = 0.2, 0.5 and 1 h/Mpc,
                    correlation at k = 1, and power at k = 1 when D = 0.3
    cost            seconds of a force over those of the default, in turns, in these runs

`shifted` is the mean of two forces on meshes shifted by half a cell, what interlacing can give.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.ewald import pair_forces
from benchmarks.problem import COSMOLOGY, SPACING, bullfrog_run, conditions_of
from benchmarks.timing import in_turns, machine_record, ratio, show
from coca.gravity.particle_mesh import Acceleration, ParticleMesh
from coca.integration.kept_runs import KeptRuns
from coca.integration.reference import nbody_force, nbody_run
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads
from coca.particles import Snapshot
from coca.statistics.spectra import density_modes, spectra

WAVENUMBERS = (0.2, 0.5, 1.0)
SEPARATIONS = (2.0, 4.0, 8.0)
SEED = 11
TIMES = (0.3, 1.0)
"""Growth factors at which runs are compared."""


class Variant(NamedTuple):
    """One force to judge."""

    name: str
    factor: int
    options: dict
    shifted: bool = False

    def build(self, domain: Domain):
        """The force on a domain."""
        force = ParticleMesh(domain, self.factor * domain.n_side, **self.options)
        return Shifted(force) if self.shifted else force


class Shifted:
    """The mean of a force and of the same on a mesh shifted by half a cell."""

    def __init__(self, force: ParticleMesh):
        self.force, self.mesh = force, force.mesh
        self._half = np.float32(0.5 * force.domain.box_size / force.mesh)

    def __call__(self, x, density=False, out=None) -> Acceleration:
        """The mean of forces on the mesh and on one moved by half a cell."""
        there = self.force(x + self._half, density)
        here = self.force(x, density, out)
        np.add(here.g, there.g, out=here.g)
        here.g[:] *= np.float32(0.5)
        return here


VARIANTS = [
    Variant("CIC, order 4 (default)", 2, {}),
    Variant("CIC, spectral", 2, {"gradient": "spectral"}),
    Variant("TSC, order 4", 2, {"assignment": "tsc"}),
    Variant("TSC, spectral", 2, {"assignment": "tsc", "gradient": "spectral"}),
    Variant("CIC, order 4, deconvolved", 2, {"deconvolve": True}),
    Variant("CIC, spectral, deconvolved", 2, {"gradient": "spectral", "deconvolve": True}),
    Variant("TSC, order 4, deconvolved", 2, {"assignment": "tsc", "deconvolve": True}),
    Variant("CIC, order 4, shifted", 2, {}, shifted=True),
    Variant("CIC, spectral, shifted", 2, {"gradient": "spectral"}, shifted=True),
    Variant("CIC, order 4, mesh 1x", 1, {}),
    Variant("CIC, spectral, mesh 1x", 1, {"gradient": "spectral"}),
    Variant("CIC, order 4, mesh 3x", 3, {}),
    Variant("CIC, spectral, mesh 3x", 3, {"gradient": "spectral"}),
    Variant("CIC, order 4, mesh 4x", 4, {}),
]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, default=64, help="per dimension, for the runs")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--references", type=Path, default=Path("runs/references"))


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each variant."""
    threads = choose_threads(options.threads or "auto")
    small, pair = Domain(64.0, 32, threads), Domain(64.0, 2, threads)
    domain = Domain(SPACING * options.particles, options.particles, threads)
    truth = modes_of(domain, true_snapshots(domain, options.references))
    rows = []
    for variant in VARIANTS:
        force = variant.build(small)
        pair_mesh = variant._replace(factor=16)
        conditions, force_in_run = conditions_of(domain, SEED), variant.build(domain)
        modes = modes_of(domain, bullfrog_run(domain, conditions, force_in_run, 32, TIMES))
        early, late = (spectra(domain, a, b) for a, b in zip(modes, truth, strict=True))
        rows.append(
            {
                "name": variant.name,
                "wave": [wave_amplitude(small, force, mode) for mode in (1, 4)],
                "pair": [pair_forces(pair, pair_mesh.build(pair), s, 50) for s in SEPARATIONS],
                "early_power": early.at(1.0).ratio,
                "power": [late.at(k).ratio for k in WAVENUMBERS],
                "r_missing": 1 - late.at(1.0).r,
            }
        )
    costs = measure_costs(domain, options.rounds)
    common = {"particles": domain.n_side} | machine_record(threads)
    return [row | {"cost": costs[row["name"]]} | common for row in rows]


def measure_costs(domain: Domain, rounds: int) -> dict:
    """Cost of every variant over the first one's."""
    x = domain.add_lattice(conditions_of(domain, SEED).psi1)
    calls = {}
    for variant in VARIANTS:
        force = variant.build(domain)
        calls[variant.name] = lambda force=force: force(x)
    seconds = in_turns(calls, rounds)
    return {name: ratio(values, seconds[VARIANTS[0].name]) for name, values in seconds.items()}


def wave_amplitude(domain: Domain, force, mode: int) -> float:
    """Projection of the force on the displacement of a plane wave."""
    n = domain.n_side
    wave = np.sin(mode * domain.kf * domain.cell * np.arange(n))
    disp = np.zeros((3, n, n, n), np.float32)
    disp[0] = 0.1 * domain.cell * wave[:, None, None]
    disp = disp.reshape(3, -1)
    return float(np.sum(force(domain.add_lattice(disp)).g * disp) / np.sum(disp**2))


def true_snapshots(domain: Domain, references: Path) -> list[Snapshot]:
    """An N-body run at `TIMES`, kept on disk."""
    force = nbody_force(domain, 2 * domain.n_side)
    D_start = float(COSMOLOGY.D1(0.05))
    identity = {"benchmark": "force_error", "particles": domain.n_side, "seed": SEED}
    return KeptRuns(references).get(
        identity,
        TIMES,
        domain.particles,
        lambda: nbody_run(domain, COSMOLOGY, conditions_of(domain, SEED), force, D_start, TIMES),
    )


def modes_of(domain: Domain, snapshots: list[Snapshot]) -> list[np.ndarray]:
    """Density modes of snapshots."""
    mesh = 2 * domain.n_side
    return [density_modes(domain, domain.add_lattice(s.disp), mesh) for s in snapshots]


def table(rows: list[dict]) -> str:
    """The table of docs/force.md."""
    lines = [
        f"{rows[0]['particles']}^3 particles, {rows[0]['processor']}, {rows[0]['threads']} threads",
        "| | wave, 32 / 8 | pair at 2 / 4 / 8 cells | P at k = 0.2 / 0.5 / 1 | 1 - r [%]"
        " | P(1) at D = 0.3 | cost |",
        "|" + " --- |" * 7,
    ]
    for row in rows:
        wave = " / ".join(f"{v:.3f}" for v in row["wave"])
        pair = " / ".join(f"{mean:.2f} ± {scatter:.3f}" for mean, scatter in row["pair"])
        power = " / ".join(f"{v:.3f}" for v in row["power"])
        lines.append(
            f"| {row['name']} | {wave} | {pair} | {power} | {100 * row['r_missing']:.2f} "
            f"| {row['early_power']:.3f} | {show(row['cost'])} |"
        )
    return "\n".join(lines)
