"""The error that a run estimates of itself against the true one, over cosmologies and forces.

Each point is one run of 64^3 particles to z = 0 in a cosmology of its own, on a Latin hypercube
over the range of Quijote's, beside what the run's own line says that its error is against: N-body
with steps fitted to it, 128 BullFrog steps of the same force with others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from benchmarks import accuracy
from benchmarks.rows import heading

METHODS = {"nbody": ("fitted", "coca"), "bullfrog": ("pm", "cola", "coca-gain")}
"""By the truth that estimates are against."""
FORCE_EVALUATIONS = {"nbody": [3, 4, 5, 6], "bullfrog": [2, 3, 4, 6, 8, 12]}
RATIO = "estimate over truth, 5, 50 and 95 %"
AGAINST = {"nbody": "N-body", "bullfrog": "converged steps"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--cosmologies", type=int, default=16, help="of a Latin hypercube")
    parser.add_argument("--references", type=Path, default=Path("runs/references"))
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each method, number of force evaluations and cosmology."""
    rows = []
    for truth, methods in METHODS.items():
        choices = argparse.Namespace(
            seeds=[41],
            force_evaluations=FORCE_EVALUATIONS[truth],
            methods=list(methods),
            omega_m=[],
            cosmologies=options.cosmologies,
            particles=64,
            truth=truth,
            references=options.references,
            threads=options.threads,
        )
        rows += [row | {"truth": truth} for row in accuracy.measure(choices) if row["k"] == 1.0]
    return rows


def table(rows: list[dict]) -> str:
    """Rank correlation and ratio of estimate to truth for each method and for all."""
    lines = heading(["method", "against", "runs", "rank correlation", RATIO])
    for truth, methods in METHODS.items():
        of_truth = [row for row in rows if row["truth"] == truth]
        for name in (*methods, "all"):
            true, estimated = _pairs(of_truth, name)
            low, middle, high = np.percentile(estimated / true, [5, 50, 95])
            rank = spearmanr(true, estimated).statistic
            lines.append(
                f"| {name} | {AGAINST[truth]} | {len(true)} | {rank:.3f} "
                f"| {low:.2f}, {middle:.2f}, {high:.2f} |"
            )
    return "\n".join(lines)


def _pairs(rows: list[dict], method: str) -> tuple[np.ndarray, np.ndarray]:
    mine = [
        (row["rms"], row["estimated_error"])
        for row in rows
        if row["estimated_error"] is not None and method in (row["method"], "all")
    ]
    true, estimated = np.array(mine).T
    return true, estimated


def draw(rows: list[dict], path: Path) -> None:
    """Estimated against true error."""
    figure = Figure(figsize=(5.2, 5.0), layout="constrained")
    panel = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in rows):
        colour, style = accuracy.STYLES[method]
        panel.loglog(*_pairs(rows, method), style[0], color=colour, label=method, ms=4)
    ends = np.array([0.01, 1.0])
    panel.plot(ends, ends, color="0.5", zorder=0.5)
    panel.fill_between(ends, ends / 2, ends * 2, color="0.93", zorder=0)
    panel.set(xlabel="true rms position error, Mpc/h", ylabel="estimated, Mpc/h")
    panel.legend(frameon=False)
    figure.savefig(path, dpi=130, format="png")
