"""Error of P3M against Ewald's sum, and its cost in forces of the default mesh.

Errors are rms over the rms force, of 32^3 particles 2 Mpc/h apart with a softening of 1/40 of
that: on 2LPT trajectories at z = 19 (waves), at z = 0 (clustered), in one isothermal sphere (halo).
A `cut` is the radius of the mesh's clouds in its cells. Costs are of particles at z = 0 and 19,
1, 2 and 4 Mpc/h apart, in turns with `ParticleMesh` on a mesh of twice the lattice; the last column
is nanoseconds of a thread for each pair visited.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.ewald import softened_forces
from benchmarks.problem import COSMOLOGY, SPACING, conditions_of
from benchmarks.timing import in_turns, machine_record, ratio, show
from coca.frames import rest_frame
from coca.gravity.p3m import CUT, P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.integration.integrate import initial_state
from coca.integration.nbody import NBody, long_steps
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads

SOFTENED = 1 / 40
"""Softening in particle spacings."""
CHOICES = ((2, 3.5), (2, CUT), (2, 6.0), (3, CUT), (4, CUT))
"""Mesh over lattice, and cut, whose errors are measured."""
TARGETS = 400


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, nargs="+", default=[64, 128], help="of costs")
    parser.add_argument("--spacings", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=9)


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of errors, one for each choice, and of costs, one for each size and state."""
    threads = choose_threads(options.threads or "auto")
    rows = errors(Domain(32 * SPACING, 32, threads))
    for n in options.particles:
        for spacing in options.spacings:
            rows += costs(Domain(n * spacing, n, threads), options.rounds)
    return [row | machine_record(threads) for row in rows]


def evolved(domain: Domain) -> np.ndarray:
    """Positions (3, N) at z = 0 of an N-body run."""
    force = P3M(domain, 2 * domain.n_side, SOFTENED * domain.cell)
    lpt = conditions_of(domain, 1).lpt_frame(COSMOLOGY)
    D_start = float(COSMOLOGY.D1(0.05))
    state = initial_state(lpt, rest_frame(domain.particles), D_start)
    steps = long_steps(COSMOLOGY, D_start, [1.0])
    (snapshot,) = NBody(domain, COSMOLOGY, force).follow(steps, state, [1.0])
    return domain.add_lattice(snapshot.disp)


def early(domain: Domain) -> np.ndarray:
    """Positions (3, N) at z = 19."""
    lpt = conditions_of(domain, 1).lpt_frame(COSMOLOGY)
    return domain.add_lattice(lpt.displacement(float(COSMOLOGY.D1(0.05))))


def halo(domain: Domain) -> np.ndarray:
    """Positions (3, N) in a sphere of density 1 / r^2."""
    rng = np.random.default_rng(1)
    way = rng.normal(size=(3, domain.particles))
    r = 2 * SPACING * rng.uniform(size=domain.particles)
    return (0.4 * domain.box_size + r * way / np.linalg.norm(way, axis=0)).astype(np.float32)


def errors(domain: Domain) -> list[dict]:
    """A row for each choice of mesh and cut."""
    softening = SOFTENED * domain.cell
    which = np.random.default_rng(2).choice(domain.particles, TARGETS, replace=False)
    fields = {"waves": early(domain), "clustered": evolved(domain), "halo": halo(domain)}
    exact = {
        name: softened_forces(
            np.mod(x.T.astype(float), domain.box_size), which, domain.box_size, softening
        )
        for name, x in fields.items()
    }
    rows = []
    for factor, cut in CHOICES:
        force = P3M(domain, factor * domain.n_side, softening, cut)
        row = {"factor": factor, "cut": cut}
        for name, x in fields.items():
            found = force(x).g[:, which].T
            squares = np.sum((found - exact[name]) ** 2) / np.sum(exact[name] ** 2)
            row[name] = float(np.sqrt(squares))
        rows.append(row)
    return rows


def costs(domain: Domain, rounds: int) -> list[dict]:
    """A row for each state of the particles."""
    today = evolved(domain)
    fields = {"z = 0": today, "z = 19": early(domain)}
    pm = ParticleMesh(domain, 2 * domain.n_side)
    force = P3M(domain, 2 * domain.n_side, SOFTENED * domain.cell)
    calls = {"pm": lambda: pm(today)}
    calls |= {name: lambda x=x: force(x) for name, x in fields.items()}
    seconds = in_turns(calls, rounds)
    pairs, visited = pair_time(force, today)
    return [
        {
            "particles": domain.n_side,
            "spacing": domain.cell,
            "state": name,
            "seconds": float(np.median(seconds[name])),
            "cost": ratio(seconds[name], seconds["pm"]),
            "ns": 1e9 * pairs * domain.threads / visited,
        }
        for name in list(calls)[1:]
    ]


def pair_time(force: P3M, x: np.ndarray) -> tuple[float, int]:
    """Seconds of the pairs alone, the least of five, and how many are visited."""
    particles, least, before = force.gather(x), np.inf, force.visited
    for _ in range(5):
        start = time.perf_counter()
        force.short_range(particles)
        least = min(least, time.perf_counter() - start)
    return least, (force.visited - before) // 5


def table(rows: list[dict]) -> str:
    """Both tables."""
    lines = ["| mesh | cut | waves | clustered | halo | [%]", "|" + " --- |" * 5]
    for row in (row for row in rows if "cut" in row):
        values = " | ".join(f"{100 * row[name]:.3f}" for name in ("waves", "clustered", "halo"))
        lines.append(f"| {row['factor']}x | {row['cut']:g} | {values} |")
    titles = ["particles", "Mpc/h apart", "state", "seconds", "in forces of the mesh", "ns a pair"]
    lines += ["", f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
    lines += [
        f"| {row['particles']}^3 | {row['spacing']:g} | {row['state']} | {row['seconds']:.3f} "
        f"| {show(row['cost'])} | {row['ns']:.2f} |"
        for row in rows
        if "state" in row
    ]
    return "\n".join(lines)
