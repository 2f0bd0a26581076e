"""Error against cost: every method against N-body.

    python -m benchmarks accuracy --seeds 11,12 --force-evaluations 2,4,8 \\
        --methods bullfrog,cola,fitted --omega-m 0.3175 --out results

64^3 particles in 128 Mpc/h on a 128^3 mesh from z = 19 to z = 0, in the Quijote fiducial
cosmology but for Omega_m, and with `--cosmologies N` in N of a Latin hypercube over the range of
Quijote's. The truth is `method: nbody`, or with `--truth bullfrog` 128 steps of the mesh's own
force; truths are kept in `--references`. One JSON row for each method, number of force evaluations,
seed, cosmology and k:

    rms              rms position error per component, Mpc/h
    velocity_error   rms error of the velocity over the rms velocity of the truth
    p_ratio, r       density power over the truth's, and cross-correlation with it, at k
    haloes           friends of friends of 20, 50, 100 particles and more, and the truth's
    dispersion       rms velocity within haloes of 50 and more, over the truth's
    monopole, quadrupole    mean error in redshift space over P0, 0.1 < k < 0.5 h/Mpc
    seconds          wall seconds from initial displacements to the particles at z = 0
    force_seconds, network_seconds    the parts of it spent in forces and in the network

Every method runs once before it is timed, so no compilation is counted; freed memory is kept from
run to run, as in an ensemble.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks import beside
from benchmarks.beside import WAVENUMBERS, Measured
from benchmarks.problem import kept_run
from benchmarks.rows import listed
from benchmarks.timing import machine_record
from coca.configuration.loading import make_config
from coca.configuration.run import Config
from coca.cosmology.latin_hypercube import latin_hypercube
from coca.integration.fitted_table import FittedSteps, shipped
from coca.integration.nbody import LONG_STEPS
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads, keep_freed_memory
from coca.particles import Snapshot
from coca.run.method import GAIN
from coca.run.plan import Plan, make_plan
from coca.run.simulation import Simulation, run_plan

METHODS = (
    "pm",
    "fastpm",
    "bullfrog",
    "bullfrog-3x",
    "bullfrog-p3m",
    "cola",
    "fitted",
    "fitted-3x",
    "emulator",
    "coca",
    "coca-gain",
    "coca-explicit",
)
"""Methods of the configuration; BullFrog and fitted steps with a finer mesh, BullFrog with P3M; the
emulator alone; COCA without fitted steps, with the resolved gain and without."""
GAINS = {"coca-gain": GAIN, "coca-explicit": 0.0}
MESHES = {"bullfrog-3x": 3, "fitted-3x": 3}
"""Meshes in those of the particles; of the others 2."""
SOLVERS = {"bullfrog-p3m": "p3m"}
"""Forces of methods that have one of their own in the table."""
DEFAULT_METHODS = [name for name in METHODS if name not in GAINS]
FIDUCIAL = {"Omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834}
QUIJOTE = {
    "Omega_m": (0.1, 0.5),
    "Omega_b": (0.03, 0.07),
    "h": (0.5, 0.9),
    "n_s": (0.8, 1.2),
    "sigma_8": (0.6, 1.0),
}
"""Range of the Quijote Latin hypercube (Villaescusa-Navarro et al. 2020)."""
TRUTH_STEPS = {"nbody": LONG_STEPS, "bullfrog": 128}
STYLES = {
    "pm": ("#999999", "v:"),
    "fastpm": ("#56B4E9", "s--"),
    "bullfrog": ("#000000", "o-"),
    "bullfrog-3x": ("#000000", "o--"),
    "bullfrog-p3m": ("#CC79A7", "v-"),
    "cola": ("#E69F00", "^--"),
    "fitted": ("#009E73", "s-"),
    "fitted-3x": ("#009E73", "s--"),
    "emulator": ("#D55E00", "*"),
    "coca": ("#0072B2", "D-"),
    "coca-gain": ("#CC79A7", "P:"),
    "coca-explicit": ("#CC79A7", "x:"),
}
DRAWN = (1.0, 2.0)
"""Wavenumbers of the figure."""
NOT_DRAWN = tuple(GAINS)
"""Variants, in the table only."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--seeds", type=listed(int), default=[21, 22, 23, 24, 25, 26])
    parser.add_argument(
        "--force-evaluations", type=listed(int), default=[2, 3, 4, 5, 6, 8, 10, 12, 16]
    )
    parser.add_argument("--methods", type=listed(str), default=DEFAULT_METHODS)
    parser.add_argument("--omega-m", type=listed(float), default=[0.3175])
    parser.add_argument("--cosmologies", type=int, default=0, help="of a Latin hypercube")
    parser.add_argument("--particles", type=int, default=64, help="per dimension, 2 Mpc/h apart")
    parser.add_argument("--truth", choices=list(TRUTH_STEPS), default="nbody")
    parser.add_argument("--references", type=Path, default=Path("runs/references"))
    parser.add_argument("--threads", type=int, default=None)


def cosmologies(options: argparse.Namespace) -> list[tuple[str, dict]]:
    """Name of the set and parameters of every cosmology."""
    rows = [(f"Omega_m {Om:g}", {"Omega_m": Om, **FIDUCIAL}) for Om in options.omega_m]
    return rows + [("hypercube", c) for c in latin_hypercube(QUIJOTE, options.cosmologies, 77)]


def runs(options: argparse.Namespace) -> list[tuple[str, int]]:
    """Every method with every number of force evaluations that it takes."""
    counts = {"emulator": [0]}
    for method, table in (("fitted", "lpt"), ("fitted-3x", "lpt_3x")):
        fitted = FittedSteps.load(shipped(table)).counts
        counts[method] = [count for count in options.force_evaluations if count in fitted]
    return [
        (method, count)
        for method in options.methods
        for count in counts.get(method, options.force_evaluations)
    ]


def plan_of(
    options: argparse.Namespace, method: str, count: int, seed: int, cosmology: dict, **changes
) -> Plan:
    """The checked configuration of one run, with other values of the configuration."""
    values = {
        "cosmology": cosmology,
        "box_size": 2.0 * options.particles,
        "particles": options.particles,
        "mesh": MESHES.get(method, 2) * options.particles,
        "seed": seed,
        "force_evaluations": count,
        "output": {"directory": "."},
        "threads": options.threads or "auto",
        "method": "coca" if method == "emulator" else method.partition("-")[0],
        **({"force": {"solver": SOLVERS[method]}} if method in SOLVERS else {}),
        **changes,
    }
    plan = make_plan(make_config(values, Config))
    return with_gain(plan, GAINS[method]) if method in GAINS else plan


def with_gain(plan: Plan, gain: float) -> Plan:
    """The same plan without fitted steps, with a resolved gain."""
    method = replace(plan.methods[0], table=None, lpt_table=None, gain=gain)
    return replace(plan, methods=(method,))


def warm_up(options: argparse.Namespace) -> None:
    """Compile everything that will be timed."""
    for method, count in dict(reversed(runs(options))).items():
        run_plan(plan_of(options, method, count, options.seeds[0], cosmologies(options)[0][1]))


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of all methods, realisations and cosmologies."""
    unknown = set(options.methods) - set(METHODS)
    if unknown:
        raise SystemExit(f"--methods: found {sorted(unknown)}, wanted some of {list(METHODS)}")
    keep_freed_memory(large=True)
    warm_up(options)
    rows = []
    for i, (name, cosmology) in enumerate(cosmologies(options)):
        seeds = options.seeds if name != "hypercube" else [options.seeds[0] + 1000 + i]
        for seed in seeds:
            rows += measure_seed(options, seed, name, cosmology)
    return rows


def measure_seed(options: argparse.Namespace, seed: int, name: str, cosmology: dict) -> list[dict]:
    """Rows of all methods for one realisation."""
    steps = TRUTH_STEPS[options.truth]
    plan = plan_of(options, options.truth, steps, seed, cosmology)
    truth = truth_of(plan, options.references)
    rows = []
    for method, count in runs(options):
        simulation = run_plan(plan_of(options, method, count, seed, cosmology))
        labels = {"set": name, "method": method, "force_evaluations": count}
        rows += compare(simulation, truth, labels)
    print(f"{name} seed {seed}", flush=True)
    return rows


class Truth(NamedTuple):
    """What runs are to end as."""

    snapshot: Snapshot
    measured: Measured


def truth_of(plan: Plan, references: Path) -> Truth:
    """The truth of a realisation, kept on disk."""
    config = plan.config
    domain = Domain(config.box_size, config.particles, choose_threads(config.threads))
    (snapshot,) = kept_run(plan, [1.0], references)
    cosmology = config.build_cosmology()
    return Truth(snapshot, beside.measure(domain, cosmology, snapshot))


def compare(simulation: Simulation, truth: Truth, labels: dict) -> list[dict]:
    """One row for each wavenumber of a simulation against the truth."""
    run, reference = simulation.snapshots[-1], truth.snapshot
    domain, config, seconds = simulation.domain, simulation.config, simulation.clock.seconds
    found = beside.beside(domain, beside.measure(domain, simulation.cosmology, run), truth.measured)
    P, missing = found.pop("P"), found.pop("r_missing")
    parts = {name: seconds.get(name, 0.0) for name in ("force", "network", "frame", "integration")}
    common = (
        labels
        | {
            "seed": config.seed,
            **config.cosmology.model_dump(),
            **found,
            "rms": domain.rms(run.disp - reference.disp) / np.sqrt(3.0),
            "velocity_error": domain.rms(run.vel - reference.vel) / domain.rms(reference.vel),
            "estimated_error": simulation.run.trust.error,
            "given_by": simulation.run.method.describe(len(simulation.run.steps)),
            "seconds": sum(parts.values()),
            "force_seconds": parts["force"],
            "network_seconds": parts["network"],
        }
        | machine_record(domain.threads)
    )
    return [
        common | {"k": k, "p_ratio": 1 + power, "r": 1 - lost}
        for k, power, lost in zip(WAVENUMBERS, P, missing, strict=True)
    ]


def averages(rows: list[dict]) -> dict[tuple[str, str, int], dict]:
    """Means over realisations for each set, method and number of force evaluations."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["set"], row["method"], row["force_evaluations"]].append(row)
    means = {}
    for key, group in groups.items():
        mean: dict = {name: float(np.nanmean([row[name] for row in group])) for name in MEANS}
        mean["estimate"] = float(np.mean([row["estimated_error"] or np.nan for row in group]))
        for k in WAVENUMBERS:
            at_k = [row for row in group if row["k"] == k]
            power = [100 * (row["p_ratio"] - 1) for row in at_k]
            mean[f"P{k:g}"], mean[f"scatter{k:g}"] = float(np.mean(power)), float(np.std(power))
            mean[f"r{k:g}"] = 100 * float(np.mean([1 - row["r"] for row in at_k]))
        counts = np.sum([row["haloes"] for row in group], axis=0)
        mean["haloes"] = counts[:, 0] / np.maximum(counts[:, 1], 1)
        means[key] = mean
    return means


MEANS = (
    "rms",
    "dispersion",
    "monopole",
    "quadrupole",
    "seconds",
    "network_seconds",
)


def table(rows: list[dict]) -> str:
    """The table of the documentation."""
    ks = "/".join(f"{k:g}" for k in WAVENUMBERS)
    titles = ["method", "n_f", "rms", "estimated", f"P-1 [%] at k={ks}", "scatter [%]", "1-r [%]"]
    titles += ["haloes of 20, 50, 100", "dispersion", "P0, P2 [%]", "seconds", "network"]
    lines = [f"{rows[0]['processor']}, {rows[0]['threads']} threads"]
    means = averages(rows)
    for name in dict.fromkeys(row["set"] for row in rows):
        seeds = {row["seed"] for row in rows if row["set"] == name}
        lines += ["", f"{name}, mean over {len(seeds)} realisations", ""]
        lines += [f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]
        lines += [_line(key[1:], m) for key, m in means.items() if key[0] == name]
    return "\n".join(lines)


def _line(key: tuple[str, int], m: dict) -> str:
    P = " / ".join(f"{m[f'P{k:g}']:+.1f}" for k in WAVENUMBERS)
    scatter = " / ".join(f"{m[f'scatter{k:g}']:.1f}" for k in WAVENUMBERS)
    r = " / ".join(f"{m[f'r{k:g}']:.2f}" for k in WAVENUMBERS)
    haloes = ", ".join(f"{ratio:.2f}" for ratio in m["haloes"])
    estimate = "" if np.isnan(m["estimate"]) else f"{m['estimate']:.2f}"
    return (
        f"| {key[0]} | {key[1]} | {m['rms']:.2f} | {estimate} | {P} | {scatter} | {r} | {haloes} "
        f"| {m['dispersion']:.2f} | {100 * m['monopole']:+.1f}, {100 * m['quadrupole']:+.1f} "
        f"| {m['seconds']:.2f} | {m['network_seconds']:.2f} |"
    )


def draw(rows: list[dict], path: Path) -> None:
    """Error at two wavenumbers against wall seconds, network included, for the first set of
    cosmologies; points of a method are its numbers of forces."""
    figure = Figure(figsize=(10.5, 7.5), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    first = rows[0]["set"]
    means = {key[1:]: mean for key, mean in averages(rows).items() if key[0] == first}
    for method in dict.fromkeys(row["method"] for row in rows):
        if method in NOT_DRAWN:
            continue
        colour, style = STYLES[method]
        points = [m for (name, _), m in means.items() if name == method]
        seconds = [m["seconds"] for m in points]
        for column, k in enumerate(DRAWN):
            for panel, name in zip(panels[:, column], (f"r{k:g}", f"P{k:g}"), strict=True):
                errors = [abs(m[name]) / 100 for m in points]
                panel.plot(seconds, errors, style, color=colour, label=method)
    for column, k in enumerate(DRAWN):
        panels[0, column].set_title(f"k = {k:g} h/Mpc")
        panels[1, column].set_xlabel("wall seconds, network included")
        panels[1, column].axhline(0.01, color="0.8", zorder=0)
    panels[0, 0].set(ylabel="1 - r with N-body", xscale="log", yscale="log")
    panels[1, 0].set(ylabel="|P / P_N-body - 1|", yscale="log")
    panels[1, 0].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panels[1, 0].xaxis.set_major_formatter("{x:g}")
    panels[1, 0].xaxis.set_minor_formatter(NullFormatter())
    panels[0, 1].legend(frameon=False, ncols=2)
    figure.savefig(path, dpi=130, format="png")
