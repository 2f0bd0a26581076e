"""Where the edges of fitted steps should lie: error after a fit with each choice.

    python -m benchmarks edges --edges .38,.59,.75,.86 --edges .33,.53,.70,.86

64^3 particles in 128 Mpc/h, Quijote fiducial cosmology, z = 19 to 0: steps are fitted on some
realisations, as `coca.fit` does, and run on others. Inner edges are fractions of the way from the
start to the end in D, as `edges` of configs/fit.yaml; without `--edges` those of that file beside
(i/n)^0.7. Errors at k = 1 h/Mpc against BullFrog with 96 steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.accuracy import FIDUCIAL
from benchmarks.timing import machine_record
from coca.analysis import particle_spectra
from coca.config import load_config, make_config
from coca.fitted import hats
from coca.fitting import Member, edge_fractions, fit_count, make_members
from coca.machine import choose_threads
from coca.training_config import FitConfig

SHIPPED = Path(__file__).parent.parent / "configs" / "fit.yaml"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument(
        "--edges", type=lambda text: tuple(map(float, text.split(","))), action="append"
    )
    parser.add_argument("--fit-simulations", type=int, default=8)
    parser.add_argument("--simulations", type=int, default=6, help="to measure errors on")
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each choice of edges."""
    threads = choose_threads(options.threads or "auto")
    config = fit_config(options.fit_simulations, 300100)
    fitted_on = members(config, threads)
    held_out = members(fit_config(options.simulations, 21), threads)
    rows = []
    for inner in options.edges or choices(config):
        fractions = np.array([0.0, *inner, 1.0])
        matrices, _ = fit_count(fitted_on, fractions, config)
        errors = np.mean([run(member, fractions, matrices) for member in held_out], axis=0)
        row = dict(zip(("rms", "P", "r"), map(float, errors), strict=True))
        rows.append({"edges": list(map(float, inner))} | row | machine_record(threads))
        print(inner, flush=True)
    return rows


def choices(plain: FitConfig) -> list[np.ndarray]:
    """The edges of configs/fit.yaml, each after those of a configuration that has none."""
    shipped = load_config(SHIPPED, [], FitConfig)
    return [edge_fractions(n, config)[1:-1] for n in shipped.edges for config in (plain, shipped)]


def fit_config(simulations: int, seed: int) -> FitConfig:
    """As configs/fit.yaml in one cosmology, to z = 0."""
    cosmology = {"Omega_m": 0.3175, **FIDUCIAL}
    values = {
        "simulations": simulations,
        "cosmology": {name: [value, value] for name, value in cosmology.items()},
        "spacing": [2.0, 2.0],
        "particles": 64,
        "growth_factors": [1.0],
        "nodes": 2,
        "seed": seed,
        "table": "unused.safetensors",
    }
    return make_config(values, FitConfig)


def members(config: FitConfig, threads: int) -> list[Member]:
    """The simulations of a configuration, all of one nonlinearity."""
    found = make_members(
        config, threads, lambda truth: truth.conditions.lpt_frame(truth.cosmology), lambda _: None
    )
    for member in found:
        member.weights = hats(np.array([0.0, 1.0]), 0.0).astype(np.float32)
    return found


def run(member: Member, fractions: np.ndarray, matrices: np.ndarray) -> tuple[float, float, float]:
    """Rms error in Mpc/h, P / P_true - 1 and 1 - r of a member after all steps."""
    member.start(fractions)
    for step, M in zip(member.steps, matrices, strict=True):
        member.evaluate(step)
        member.advance(step, M)
    domain = member.truth.domain
    disp = member.state.e + member.frame.displacement(member.D_end)
    positions = [domain.add_lattice(d) for d in (disp, member.truth.at(member.D_end)[0])]
    at = particle_spectra(domain, 2 * domain.n, *positions).at(1.0)
    return member.error(member.D_end), at.ratio - 1, 1 - at.r


def table(rows: list[dict]) -> str:
    """Errors of each choice."""
    lines = [
        "| n_f | inner edges | rms [Mpc/h] | P-1 [%] | 1-r [%] |",
        "|" + " --- |" * 5,
    ]
    for row in rows:
        edges = ", ".join(f"{edge:.3f}" for edge in row["edges"])
        errors = f"{row['rms']:.3f} | {100 * row['P']:+.2f} | {100 * row['r']:.3f}"
        lines.append(f"| {len(row['edges']) + 1} | {edges} | {errors} |")
    return "\n".join(lines)
