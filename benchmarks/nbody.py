"""N-body runs against SWIFT's and against many uniform steps.

    P - 1, 1 - r    of the matter at k = 0.5, 1, 1.5, 2 h/Mpc
    distance        median of particles, in softening lengths
    haloes          friends of friends of 20, 50, 100 particles and more, over those of the other
    dispersion      of velocities in haloes of 50 and more, over that of the other

SWIFT's particles are those of ../shared/nbody, from coca's own initial conditions; `steps` are
BullFrog's, uniform in D, with the same force.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from benchmarks.beside import WAVENUMBERS, beside, cells
from benchmarks.beside import measure as measured
from benchmarks.problem import COSMOLOGY
from benchmarks.timing import machine_record
from coca.cosmology.background import scale_factor
from coca.cosmology.linear_power import linear_power
from coca.frames import rest_frame
from coca.gravity.p3m import P3M
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.integration import reference
from coca.integration.integrate import initial_state
from coca.integration.nbody import NBody, long_steps
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads
from coca.particles import Snapshot, State
from coca.statistics.plots import STYLE

SHARED = Path(__file__).parents[2] / "shared" / "nbody"
D_START = float(COSMOLOGY.D1(scale_factor(19.0)))
SOFTENED = 1 / 40
"""Softening in particle spacings."""


class Swift(NamedTuple):
    """A run of SWIFT's."""

    file: str
    n_side: int
    box_size: float
    seed: int


SWIFT = (Swift("swift_48_96.npz", 48, 96.0, 42), Swift("swift_32_64.npz", 32, 64.0, 43))
REDSHIFTS = (1.0, 0.5, 0.0)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, default=64, help="per dimension, beside steps")
    parser.add_argument("--steps", type=int, default=512, help="0: beside SWIFT only")
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each comparison."""
    threads = choose_threads(options.threads or "auto")
    rows = []
    for swift in SWIFT:
        if (SHARED / swift.file).exists():
            rows += beside_swift(swift, threads)
        else:
            rows.append({"name": swift.file, "skipped": f"{SHARED / swift.file} is not there"})
    if options.steps:
        rows += beside_steps(options.particles, options.steps, threads)
    return [row | machine_record(threads) for row in rows]


def begin(domain: Domain, conditions: InitialConditions) -> tuple[P3M, State]:
    """The force, and particles at rest at z = 19."""
    force = P3M(domain, 2 * domain.n_side, SOFTENED * domain.cell)
    rest = rest_frame(domain.particles)
    return force, initial_state(conditions.lpt_frame(COSMOLOGY), rest, D_START)


def run(
    domain: Domain, conditions: InitialConditions, outputs: list[float]
) -> tuple[list[Snapshot], float]:
    """Snapshots of an N-body run from z = 19, and its seconds."""
    start = time.perf_counter()
    force, state = begin(domain, conditions)
    steps = long_steps(COSMOLOGY, D_START, outputs)
    snapshots = list(NBody(domain, COSMOLOGY, force).follow(steps, state, outputs))
    return snapshots, time.perf_counter() - start


def beside_swift(swift: Swift, threads: int) -> list[dict]:
    """A row for each redshift."""
    domain = Domain(swift.box_size, swift.n_side, threads)
    conditions = from_seed(domain, linear_power(COSMOLOGY, "camb"), swift.seed)
    outputs = [float(COSMOLOGY.D1(scale_factor(z))) for z in REDSHIFTS]
    snapshots, seconds = run(domain, conditions, outputs)
    rows = []
    with np.load(SHARED / swift.file) as arrays:
        for z, snapshot in zip(REDSHIFTS, snapshots, strict=True):
            x, u = (np.ascontiguousarray(arrays[f"{name}_z{z:.2f}"].T) for name in "xu")
            row = {"name": f"{swift.n_side}^3, SWIFT, z = {z:g}", "seconds": seconds}
            rows.append(row | compare(domain, snapshot, x, u))
    return rows


def beside_steps(n: int, steps: int, threads: int) -> list[dict]:
    """One row, at z = 0."""
    domain = Domain(2.0 * n, n, threads)
    conditions = from_seed(domain, linear_power(COSMOLOGY, "camb"), 21)
    (snapshot,), seconds = run(domain, conditions, [1.0])
    force = P3M(domain, 2 * n, SOFTENED * domain.cell)
    (other,) = reference.bullfrog_run(domain, COSMOLOGY, conditions, force, D_START, steps, [1.0])
    u = other.vel * np.float32(COSMOLOGY.velocity_unit(1.0))
    row = {"name": f"{n}^3, {steps} steps, z = 0", "seconds": seconds}
    return [row | compare(domain, snapshot, domain.add_lattice(other.disp), u)]


def compare(domain: Domain, snapshot: Snapshot, x: np.ndarray, u: np.ndarray) -> dict:
    """A snapshot beside particles at x (3, N) in Mpc/h with velocities u in km/s."""
    lattice = domain.add_lattice(np.zeros_like(x))
    v = u / np.float32(COSMOLOGY.velocity_unit(snapshot.D))
    there = measured(domain, COSMOLOGY, Snapshot(snapshot.D, x - lattice, v))
    here = measured(domain, COSMOLOGY, snapshot)
    distance = here.x - x
    distance -= domain.box_size * np.rint(distance / domain.box_size)
    apart = np.median(np.linalg.norm(distance, axis=0)) / (SOFTENED * domain.cell)
    return beside(domain, here, there) | {"distance": float(apart)}


def table(rows: list[dict]) -> str:
    """One line a comparison."""
    titles = ["", "P - 1 [%]", "1 - r [%]", "distance", "haloes", "dispersion", "s"]
    lines = [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    for row in rows:
        if "skipped" in row:
            lines.append(f"| {row['name']} | {row['skipped']} |")
            continue
        power, missing, numbers = cells(row)
        lines.append(
            f"| {row['name']} | {power} | {missing} | {row['distance']:.2f} | {numbers} "
            f"| {row['dispersion']:.2f} | {row['seconds']:.1f} |"
        )
    return "\n".join(lines)


def draw(rows: list[dict], path: Path) -> None:
    """P and r against wavenumber."""
    styles = {1.0: "^:", 0.5: "s--", 0.0: "o-"}
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.0, 3.2), layout="constrained")
        power, missing = figure.subplots(1, 2)
        for row in rows:
            if "skipped" in row:
                continue
            style = {"color": "#0072B2" if row["name"].startswith("48") else "#D55E00"}
            style |= {"color": "#000000"} if "steps" in row["name"] else {}
            mark = styles[float(row["name"].rpartition("z = ")[2])]
            power.plot(WAVENUMBERS, 100 * np.array(row["P"]), mark, **style, label=row["name"])
            missing.plot(WAVENUMBERS, 100 * np.array(row["r_missing"]), mark, **style)
        power.axhspan(-1, 1, color="0.9", zorder=0)
        power.set(ylabel="P - 1 [%]", ylim=(-3, 5))
        missing.set(ylabel="1 - r [%]", yscale="log")
        for panel in (power, missing):
            panel.set(xlabel="k [h/Mpc]")
        power.legend(ncols=2, fontsize=7)
        figure.savefig(path, dpi=130, format="png")
