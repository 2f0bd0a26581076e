"""Kernels with explicit lanes beside plain twins of the same work.

Particles 2 Mpc/h apart at z = 0, in the order of the lattice and in none; "dense" are those above
eight times the mean density, which have sub-steps, tile by tile of the lattice. Both are checked to
give the same to float32 round-off before they are timed in turns. Times are the least; the last
column is the median, with quartiles, of the ratios within one turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numba
import numpy as np
from coca.kernels import fitted, gradient, substeps
from coca.kernels.assignment import _tiling
from coca.kernels.constants import FEATURES, TARGETS

from benchmarks import plain_kernels as plain
from benchmarks.problem import SPACING, evolved_positions
from benchmarks.timing import in_turns, machine_record, ratio, show
from coca.gravity.particle_mesh import Acceleration, ParticleMesh
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads

DENSE = 7.0
"""Density contrast of particles with sub-steps."""
ROUND_OFF = 2e-6
"""Most that results may differ, rms over rms: float32 sums of up to thousands."""
GHOSTS = 4

Kernel = Callable[..., object]


class Comparison(NamedTuple):
    """Two kernels for the same work."""

    name: str
    order: str
    lanes: Kernel
    twin: Kernel
    work: Callable[[Kernel], np.ndarray]
    """Lets a kernel work; its result."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, default=128, help="per dimension")
    parser.add_argument("--threads", type=int, nargs="+", default=None, help="by default 1 and all")
    parser.add_argument("--rounds", type=int, default=9)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each kernel, order of particles, and number of threads."""
    most = choose_threads("auto")
    domain = Domain(SPACING * options.particles, options.particles, most)
    force = ParticleMesh(domain, 2 * domain.n_side)
    x = evolved_positions(domain, force)
    rows = []
    for comparison in comparisons(domain, x, force(x, True)):
        check(comparison)
        for threads in options.threads or sorted({1, most}):
            numba.set_num_threads(threads)
            kernels = {"lanes": comparison.lanes, "plain": comparison.twin}
            calls = {name: partial(comparison.work, kernel) for name, kernel in kernels.items()}
            seconds = in_turns(calls, options.rounds)
            rows.append(
                {
                    "kernel": comparison.name,
                    "order": comparison.order,
                    "particles": domain.n_side,
                    "lanes": float(seconds["lanes"].min()),
                    "plain": float(seconds["plain"].min()),
                    "gain": ratio(seconds["plain"], seconds["lanes"]),
                }
                | machine_record(threads)
            )
    return rows


def check(comparison: Comparison) -> None:
    """Raise RuntimeError unless both kernels give the same."""
    expected = comparison.work(comparison.lanes).astype(np.float64)
    difference = np.std(comparison.work(comparison.twin) - expected) / np.std(expected)
    if not difference < ROUND_OFF:
        raise RuntimeError(f"{comparison.name}: the twin differs by {difference:.1e}")


def comparisons(domain: Domain, x: np.ndarray, acceleration: Acceleration) -> Iterator[Comparison]:
    """Everything to be timed."""
    rng = np.random.default_rng(1)
    dense = substeps.above(acceleration.delta, DENSE, domain.lattice)
    orders = {
        "lattice": (x, domain.lattice),
        "dense": (np.ascontiguousarray(x[:, dense]), None),
        "none": (np.ascontiguousarray(x[:, rng.permutation(x.shape[1])]), None),
    }
    yield from gradients(domain, orders, rng)
    yield matrices(acceleration, rng)
    for order in ("dense", "none"):
        yield from sums(domain, order, orders[order][0], rng)


def gradients(domain: Domain, orders: dict, rng: np.random.Generator) -> Iterator[Comparison]:
    """The gradient of a mesh of noise, alone and with the Laplacian."""
    m = 2 * domain.n_side
    mesh = np.pad(
        rng.normal(size=(m, m, m)).astype(np.float32), ((GHOSTS, GHOSTS), (0, 0), (0, 2)), "wrap"
    )
    kernel = gradient._read_tsc_gradient
    twin = plain.rebuilt(kernel, _tsc_gradient=plain.tsc_gradient)
    for order, (x, lattice) in orders.items():
        where = (x, m / domain.box_size, *_tiling(x, lattice), gradient.CENTRAL_DIFFERENCES)
        for with_laplacian in (False, True):
            out = np.empty((4, x.shape[1]), np.float32)
            result = out if with_laplacian else out[:3]
            laplacian = result[3:].reshape(-1)

            def work(kernel, where=where, out=out, laplacian=laplacian, result=result):
                kernel(*where, mesh, (0, m, GHOSTS), out[:3], laplacian)
                return result

            name = "gradient, TSC" + (", with Laplacian" if with_laplacian else "")
            yield Comparison(name, order, kernel, twin, work)


def matrices(acceleration: Acceleration, rng: np.random.Generator) -> Comparison:
    """The fitted step, by matrices of accelerations alone: work done again gives the same."""
    table = rng.normal(size=(*CLASSES, TARGETS, FEATURES)).astype(np.float32)
    table[..., :2], H, c = 0, 0.2, 3.0
    e, w, before = np.zeros((3, *acceleration.g.shape), np.float32)
    before[:] = H * H * c * acceleration.g
    density = (acceleration.delta, 0.6 * acceleration.delta, DENSITIES, DENSITIES_BEFORE)

    def work(kernel):
        kernel(e, w, acceleration.g, before, *density, table, H, c)
        return e

    twin = plain.rebuilt(fitted.step, _interpolate=plain.interpolate)
    return Comparison("fitted step", "lattice", fitted.step, twin, work)


def sums(
    domain: Domain, order: str, x: np.ndarray, rng: np.random.Generator
) -> Iterator[Comparison]:
    """Sums over particles on the coarse mesh of sub-steps, and means back from it."""
    m = domain.n_side // 2
    for count in (4, 12):
        fours, values = (0,) * (count // 4), rng.normal(size=(x.shape[1], count))
        rows, mesh = values.astype(np.float32), np.empty((m + 1, m, m, count), np.float32)
        rows[:, 0] = 1
        where = (x, m / domain.box_size)

        def deposit(kernel, where=where, rows=rows, mesh=mesh, fours=fours):
            mesh[:] = 0
            kernel(*where, rows, mesh, 0, numba.get_num_threads(), fours)
            return mesh

        name = f"sub-steps, {count} sums"
        yield Comparison(name, order, substeps._deposit, plain.deposit, deposit)
        mesh = deposit(substeps._deposit).copy()
        mesh[m] = mesh[0]
        out = np.empty((3 if count == 4 else substeps.CHANGES, x.shape[1]), np.float32)

        def average(kernel, where=where, mesh=mesh, fours=fours, out=out):
            kernel(*where, mesh, 0, fours, out)
            return out

        name = f"sub-steps, means of {count}"
        yield Comparison(name, order, substeps._average, plain.average, average)


def table(rows: list[dict]) -> str:
    """Least milliseconds and their ratio, and the median ratio of turns with quartiles."""
    lines = [
        f"{rows[0]['particles']}^3 particles, {rows[0]['processor']}",
        "| | order | threads | lanes [ms] | plain [ms] | plain over lanes | in turns |",
        "|" + " --- |" * 7,
    ]
    for row in rows:
        lanes, plain = row["lanes"], row["plain"]
        cells = [row["kernel"], row["order"], str(row["threads"]), f"{1e3 * lanes:.1f}"]
        cells += [f"{1e3 * plain:.1f}", f"{plain / lanes:.2f}", show(row["gain"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
