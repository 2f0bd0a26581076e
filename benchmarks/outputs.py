"""Every redshift from one run: outputs on the way beside N-body and runs that end there.

64^3 particles in 128 Mpc/h unless others are asked for, Quijote's fiducial cosmology, from z = 19.
The rows of `one run` are outputs of a run to the last redshift; those of `its own` are of runs with
as many forces that end at the output. The truth is N-body at the same redshifts. One JSON row for
each number of force evaluations, realisation, redshift and kind:

    P, r_missing     density power over the truth's - 1, and 1 - r, at k = 0.5, 1, 1.5, 2 h/Mpc
    haloes           friends of friends of 20, 50, 100 particles and more, and the truth's
    dispersion       rms velocity within haloes of 50 and more, over the truth's
    monopole, quadrupole    mean error in redshift space over P0, 0.1 < k < 0.5 h/Mpc
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks import accuracy, beside
from benchmarks.beside import WAVENUMBERS, Measured
from benchmarks.problem import kept_run
from benchmarks.rows import heading, listed
from benchmarks.timing import machine_record
from coca.cosmology.background import Cosmology
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from coca.run.plan import Plan
from coca.run.simulation import run_plan

COSMOLOGY = {"Omega_m": 0.3175, **accuracy.FIDUCIAL}
KINDS = "one run", "its own"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--seeds", type=listed(int), default=[21, 22, 23, 24, 25, 26])
    parser.add_argument("--force-evaluations", type=listed(int), default=[4, 6])
    parser.add_argument("--redshifts", type=listed(float), default=[2.0, 1.0, 0.5, 0.25, 0.0])
    parser.add_argument("--particles", type=int, default=64, help="per dimension")
    parser.add_argument("--spacing", type=float, default=2.0, help="Mpc/h between particles")
    parser.add_argument("--references", type=Path, default=Path("runs/references"))
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of all realisations."""
    rows = []
    for seed in options.seeds:
        truth = truths(options, seed)
        for count in options.force_evaluations:
            rows += measure_count(options, seed, count, truth)
        print(f"seed {seed}", flush=True)
    return rows


def plan_to(
    options: argparse.Namespace, method: str, count: int, seed: int, redshifts: list[float]
) -> Plan:
    """A run with outputs."""
    output = {"directory": ".", "redshifts": redshifts}
    box_size = options.spacing * options.particles
    return accuracy.plan_of(
        options, method, count, seed, COSMOLOGY, output=output, box_size=box_size
    )


def truths(options: argparse.Namespace, seed: int) -> list[Measured]:
    """N-body at every redshift, kept on disk."""
    plan = plan_to(options, "nbody", accuracy.TRUTH_STEPS["nbody"], seed, options.redshifts)
    domain, cosmology = problem_of(plan)
    outputs = [float(cosmology.D1(1 / (1 + z))) for z in options.redshifts]
    found = kept_run(plan, outputs, options.references)
    return [beside.measure(domain, cosmology, snapshot) for snapshot in found]


def problem_of(plan: Plan) -> tuple[Domain, Cosmology]:
    """The box and cosmology of a plan."""
    config = plan.config
    domain = Domain(config.box_size, config.particles, plan.threads)
    return domain, Cosmology(**config.cosmology.model_dump())


def measure_count(
    options: argparse.Namespace, seed: int, count: int, truth: list[Measured]
) -> list[dict]:
    """Rows of one realisation and number of forces."""
    plan = plan_to(options, "fitted", count, seed, options.redshifts)
    domain, cosmology = problem_of(plan)

    def row(kind: str, z: float, snapshot: Snapshot, true: Measured) -> dict:
        found = beside.beside(domain, beside.measure(domain, cosmology, snapshot), true)
        labels = {"force_evaluations": count, "seed": seed, "redshift": z, "kind": kind}
        return labels | found | machine_record(domain.threads)

    rows = []
    together = run_plan(plan).snapshots
    for z, snapshot, true in zip(options.redshifts, together, truth, strict=True):
        rows.append(row(KINDS[0], z, snapshot, true))
        (own,) = run_plan(plan_to(options, "fitted", count, seed, [z])).snapshots
        rows.append(row(KINDS[1], z, own, true))
    return rows


def table(rows: list[dict]) -> str:
    """The table of the documentation."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["force_evaluations"], row["redshift"], row["kind"]].append(row)
    ks = "/".join(f"{k:g}" for k in WAVENUMBERS)
    titles = ["forces", "z", "output of", f"P-1 [%] at k={ks}", "scatter [%]", "1-r [%]"]
    titles += ["haloes of 20, 50, 100", "dispersion", "P0, P2 [%]"]
    seeds = len({row["seed"] for row in rows})
    lines = [f"{rows[0]['processor']}, mean over {seeds} realisations", *heading(titles)]
    return "\n".join(lines + [_line(*key, group) for key, group in groups.items()])


def _line(count: int, z: float, kind: str, group: list[dict]) -> str:
    P, r = (100 * np.array([row[name] for row in group]) for name in ("P", "r_missing"))
    haloes = np.sum([row["haloes"] for row in group], axis=0)
    ratios = ", ".join(f"{a / max(b, 1):.2f}" for a, b in haloes)
    dispersion = np.nanmean([row["dispersion"] for row in group])
    poles = ", ".join(
        f"{100 * np.mean([row[name] for row in group]):+.1f}" for name in ("monopole", "quadrupole")
    )
    cells = [
        " / ".join(f"{value:+.1f}" for value in P.mean(axis=0)),
        " / ".join(f"{value:.1f}" for value in P.std(axis=0)),
        " / ".join(f"{value:.2f}" for value in r.mean(axis=0)),
    ]
    return (
        f"| {count} | {z:g} | {kind} | {' | '.join(cells)} | {ratios} | {dispersion:.2f} "
        f"| {poles} |"
    )
