"""Choice of the resolved gain: error against its strength at each number of force evaluations.

Compares x = alpha kappa (H/2)^2 with constant alpha against x = gain H kappa (H/2)^2, which
`coca.integration.kicks.ResidualKick` uses, at k = 1 h/Mpc; setting as in benchmarks/accuracy.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.accuracy import FIDUCIAL, TRUTH_STEPS, compare, plan_of, truth_of, with_gain
from coca.configuration.run import Config
from coca.run.simulation import growth_factors, run_plan

ALPHAS = (1.0, 2.0, 3.0)
GAINS = (4.0, 6.0, 8.0, 10.0)
FORCES = (2, 4, 8, 12)
COSMOLOGY = {"Omega_m": 0.3175, **FIDUCIAL}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument(
        "--seeds",
        type=lambda text: [int(seed) for seed in text.split(",")],
        default=[13, 14, 15, 16],
    )
    parser.add_argument("--particles", type=int, default=64, help="per dimension, 2 Mpc/h apart")
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each strength, number of force evaluations and seed, at k = 1 h/Mpc."""
    rows = []
    for seed in options.seeds:
        steps = TRUTH_STEPS["bullfrog"]
        truth = truth_of(
            plan_of(options, "bullfrog", steps, seed, COSMOLOGY), Path("runs/references")
        )
        for count in FORCES:
            plan = plan_of(options, "coca", count, seed, COSMOLOGY)
            for name, gain in strengths(plan.config).items():
                labels = {"strength": name, "force_evaluations": count}
                measured = compare(run_plan(with_gain(plan, gain)), truth, labels)
                rows += [row for row in measured if row["k"] == 1.0]
    return rows


def table(rows: list[dict]) -> str:
    """1 - r and P - 1 for each strength."""
    names = list(dict.fromkeys(row["strength"] for row in rows))
    seeds = {row["seed"] for row in rows}
    lines = [
        f"1 - r and P - 1 at k = 1 h/Mpc in per cent, mean over {len(seeds)} seeds",
        f"| steps | {' | '.join(names)} |",
        "|" + " --- |" * (1 + len(names)),
    ]
    for count in FORCES:
        cells = []
        for name in names:
            group = [
                (1 - row["r"], row["p_ratio"] - 1)
                for row in rows
                if (row["strength"], row["force_evaluations"]) == (name, count)
            ]
            r, P = 100 * np.mean(group, axis=0)
            cells.append(f"{r:.2f}, {P:+.1f}")
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def strengths(config: Config) -> dict[str, float]:
    """The gains to compare; a constant alpha is gain = alpha / H."""
    start = config.initial_conditions.start
    D_start, outputs = growth_factors(config.build_cosmology(), start, config.output.redshifts)
    H = (outputs[-1] - D_start) / config.force_evaluations
    constant = {f"alpha = {alpha:g}": alpha / H for alpha in ALPHAS}
    return constant | {f"gain = {gain:g}": gain for gain in GAINS}
