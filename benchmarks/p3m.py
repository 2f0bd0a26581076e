"""Error of P3M against Ewald's sum, and its cost and memory beside those of the default mesh.

Errors are rms over the rms force, of 32^3 particles 2 Mpc/h apart with a softening of 1/40 of that:
on 2LPT trajectories at z = 19 (waves), at z = 0 (clustered), in one isothermal sphere (halo). A
`cut` is the radius of the mesh's clouds in its cells. Costs are of particles at z = 0 and 19, 1, 2
and 4 Mpc/h apart, in turns with `ParticleMesh` on a mesh of twice the lattice, of particles at z =
0; `ns a pair` is nanoseconds of a thread for each pair visited. Particles at z = 0 come from four
fitted steps, for N-body takes an hour at 256^3; to 64^3 the force is timed on N-body's own, too,
which are denser within haloes: it took 0 to 7 % longer there. Memory is the most that making a
force and calling it adds to what the process held, its result included, for each particle; beside
it the same of the mesh's force, and what a run's estimate of memory says of this one.

Sizes can be measured one at a time, and their rows joined:

    python -m benchmarks p3m --parts costs --particles 256 --spacings 2 --rounds 2 --out A
    python -m benchmarks p3m --rows A/p3m.json B/p3m.json --out docs
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.ewald import softened_forces
from benchmarks.problem import COSMOLOGY, SPACING, conditions_of, fitted_run
from benchmarks.rows import heading, listed
from benchmarks.timing import in_turns, machine_record, ratio, show
from coca.frames import rest_frame
from coca.gravity.p3m import CUT, P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.integration.integrate import initial_state
from coca.integration.nbody import NBody, long_steps
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads, peak_memory
from coca.run.memory import P3M_BYTES, mesh_bytes

SOFTENED = 1 / 40
"""Softening in particle spacings."""
CHOICES = ((2, 3.5), (2, CUT), (2, 6.0), (3, CUT), (4, CUT))
"""Mesh over lattice, and cut, whose errors are measured."""
TARGETS = 400
PARTS = ("errors", "costs")
LARGEST_OWN = 64
"""Particles per dimension to which the force is timed on N-body's own, too."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--parts", type=listed(str), default=list(PARTS))
    parser.add_argument("--particles", type=listed(int), default=[64, 128, 256], help="of costs")
    parser.add_argument("--spacings", type=listed(float), default=[1.0, 2.0, 4.0])
    parser.add_argument("--references", type=Path, default=Path("runs/references"))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=9)


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of errors, one for each choice, and of costs, one for each size and state."""
    threads = choose_threads(options.threads or "auto")
    rows = errors(Domain(32 * SPACING, 32, threads)) if "errors" in options.parts else []
    for n in options.particles if "costs" in options.parts else []:
        for spacing in options.spacings:
            rows += costs(Domain(n * spacing, n, threads), options)
    return [row | machine_record(threads) for row in rows]


def evolved(domain: Domain) -> np.ndarray:
    """Positions (3, N) at z = 0 of an N-body run."""
    force = new_force(domain)
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


def costs(domain: Domain, options: argparse.Namespace) -> list[dict]:
    """A row for each state of the particles."""
    today = domain.add_lattice(fitted_run(domain, 1, options.references).disp)
    fields = {"z = 0": today, "z = 19": early(domain)}
    if domain.n_side <= LARGEST_OWN:
        fields["z = 0, N-body's"] = evolved(domain)
    mesh = 2 * domain.n_side
    seconds, pairs, visited = times_of(domain, fields, options.rounds)
    mesh_memory = memory_of(lambda: ParticleMesh(domain, mesh)(today))
    return [
        {
            "particles": domain.n_side,
            "spacing": domain.cell,
            "state": name,
            "seconds": float(np.median(seconds[name])),
            "cost": ratio(seconds[name], seconds["pm"]),
            "ns": 1e9 * pairs * domain.threads / visited,
            "bytes": memory_of(lambda x=x: new_force(domain)(x)) / domain.particles,
            "mesh_bytes": mesh_memory / domain.particles,
            "estimate": mesh_bytes(mesh, mesh) / domain.particles + 12 + P3M_BYTES,
        }
        for name, x in fields.items()
    ]


def times_of(
    domain: Domain, fields: dict[str, np.ndarray], rounds: int
) -> tuple[dict[str, np.ndarray], float, int]:
    """Seconds of calls in turns, those of the pairs at z = 0 and how many are visited."""
    pm, force, today = ParticleMesh(domain, 2 * domain.n_side), new_force(domain), fields["z = 0"]
    calls: dict[str, Callable[[], object]] = {"pm": lambda: pm(today)}
    calls |= {name: lambda x=x: force(x) for name, x in fields.items()}
    return in_turns(calls, rounds), *pair_time(force, today, rounds)


def new_force(domain: Domain) -> P3M:
    """P3M on a mesh of twice the lattice."""
    return P3M(domain, 2 * domain.n_side, SOFTENED * domain.cell)


def memory_of(call: Callable[[], object]) -> int:
    """Most bytes that a call adds to what the process holds (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is held
    held = peak_memory()
    call()
    return peak_memory() - held


def pair_time(force: P3M, x: np.ndarray, rounds: int) -> tuple[float, int]:
    """Seconds of the pairs alone, the least of some rounds, and how many are visited."""
    particles, least, before = force.gather(x), np.inf, force.visited
    for _ in range(rounds):
        start = time.perf_counter()
        force.short_range(particles)
        least = min(least, time.perf_counter() - start)
    return least, (force.visited - before) // rounds


def table(rows: list[dict]) -> str:
    """Both tables."""
    found = [row for row in rows if "cut" in row]
    lines = heading(["mesh", "cut", "waves [%]", "clustered [%]", "halo [%]"]) if found else []
    for row in found:
        values = " | ".join(f"{100 * row[name]:.3f}" for name in ("waves", "clustered", "halo"))
        lines.append(f"| {row['factor']}x | {row['cut']:g} | {values} |")
    titles = ["particles", "Mpc/h apart", "state", "seconds", "in forces of the mesh", "ns a pair"]
    titles.append("bytes a particle: found, estimate, mesh's")
    found = [row for row in rows if "state" in row]
    lines += heading(titles) if found else []
    lines += [
        f"| {row['particles']}^3 | {row['spacing']:g} | {row['state']} | {row['seconds']:.3f} "
        f"| {show(row['cost'])} | {row['ns']:.2f} "
        f"| {row['bytes']:.0f}, {row['estimate']:.0f}, {row['mesh_bytes']:.0f} |"
        for row in found
    ]
    return "\n".join(lines)
