"""The command `coca fit`: a table of fitted steps."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from coca.atomic_files import check_directory
from coca.commands.shared import check_one_rank, check_replaced, on_interrupt
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.cosmology.background import Cosmology, scale_factor
from coca.emulator.loaded import load_network
from coca.errors import ConfigError
from coca.frames import Frame
from coca.integration.fitted_table import FittedRange, FittedSteps
from coca.integration.read_out import fields_memory
from coca.parallel.machine import check_memory, choose_threads
from coca.parallel.ranks import Ranks
from coca.run.memory import mesh_bytes

if TYPE_CHECKING:
    from coca.step_fitting.runs import ReferenceRun


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Fit and write what the configuration says; the exit status."""
    check_one_rank(ranks, "fit")
    config = load_config(options.config, options.set, FitConfig)
    with on_interrupt("interrupted; simulations are kept"):
        if options.only_simulations:
            make_simulations(config)
        else:
            check_replaced("table", config.table, options.overwrite, bool(config.counts))
            fit_table(config, options.as_they_come)
    return 0


def make_simulations(config: FitConfig) -> None:
    """Make the simulations that are missing, the held-out ones first."""
    _check_simulations(config)
    threads = choose_threads(config.threads)
    from coca.step_fitting.runs import simulations

    for held_out in (True, False):
        for _ in simulations(config, threads, print, held_out):
            pass


def fit_table(config: FitConfig, as_they_come: bool = False) -> None:
    """Fit all numbers of steps and write the table; with `counts`, after each of them.

    Raises
    ------
    CocaError
        Before any work: the table cannot be written, memory does not suffice, the runs would
        end before they start, the emulator cannot serve them, `steps` has not what is to be read
        out, or the table that some numbers of steps are to go into is another.
    """
    check_directory("table", config.table.parent)
    _check_simulations(config)
    check_memory("simulations, particles", fit_memory(config), "fewer of them")
    _check_steps(config)
    before = _table_before(config)
    threads = choose_threads(config.threads)
    frame_of = _frame_builder(config)
    from coca.step_fitting.fit import fit

    for table in fit(config, threads, frame_of, before=before, as_they_come=as_they_come):
        if config.counts:
            table.save(config.table)
    if not config.counts:
        table.save(config.table)
    print(f"wrote {config.table}")


def fit_memory(config: FitConfig) -> int:
    """Bytes that all simulations keep: the start, the frame, the force's mesh, each run's particles
    and modes, and what a network sees of them; what happens in between stays on disk."""
    states = 24 + (84 if config.frame == "emulator" else 24)
    n = config.particles
    run = (12 * 4 + 8 * 4 + 3) * n**3
    if config.steps is not None:
        run = (12 * 2 + 8 * 4) * n**3 + fields_memory(n, n)
    runs = run * len(config.growth_factors)
    mesh = mesh_bytes(config.mesh, config.mesh)
    return (config.simulations + config.held_out) * (states * n**3 + mesh + runs)


def _table_before(config: FitConfig) -> FittedSteps | None:
    """The table that `counts` are to go into, if there are any."""
    if not (config.counts and config.table.exists()):
        return None
    table = FittedSteps.load(config.table)
    found, wanted = (
        f"frame {frame}, truth {truth}, {fitted}"
        for frame, truth, fitted in (
            (table.frame, table.truth, table.fitted),
            (config.frame, config.truth, FittedRange.of(config)),
        )
    )
    if found != wanted:
        raise ConfigError(
            f"table: found {config.table} of {found}, wanted {wanted}, for counts to go into it"
        )
    _check_mesh("table", config.table, table, config)
    return table


def _check_steps(config: FitConfig) -> None:
    """Raise ConfigError if `steps` has not what a network is to read out."""
    if config.steps is None:
        return
    table = FittedSteps.load(config.steps, "steps")
    found = f"frame {table.frame}, truth {table.truth}"
    wanted = f"frame {config.frame}, truth bullfrog"
    if found != wanted:
        raise ConfigError(f"steps: found {config.steps} of {found}, wanted {wanted}")
    _check_mesh("steps", config.steps, table, config)
    missing = sorted(set(config.counts) - set(table.counts))
    if missing:
        raise ConfigError(f"counts: found {missing}, wanted numbers that steps has, {table.counts}")


def _check_mesh(key: str, path: Path, table: FittedSteps, config: FitConfig) -> None:
    """Raise ConfigError if a table's mesh is not that of the fit."""
    if table.refinement != config.refinement:
        raise ConfigError(
            f"{key}: found {path} of a mesh of {table.refinement} times the particles, wanted "
            f"{config.refinement} times, as mesh says"
        )


def _check_simulations(config: FitConfig) -> None:
    """Raise ConfigError if simulations cannot be kept, or runs would end before they start."""
    check_directory("simulations_directory", config.simulations_directory)
    first, least = scale_factor(config.redshift), min(config.growth_factors)
    corners = itertools.product(*config.cosmology.model_dump().values())
    D_start = max(float(Cosmology(*map(float, corner)).D1(first)) for corner in corners)
    if least < 2 * D_start:
        raise ConfigError(
            f"growth_factors: found {least:g}, wanted at least {2 * D_start:.3g}, twice that of "
            f"the start at redshift {config.redshift:g}"
        )


def _frame_builder(config: FitConfig) -> Callable[[ReferenceRun], Frame]:
    if config.frame == "lpt":
        return lambda truth: truth.conditions.lpt_frame(truth.cosmology)
    network, n = load_network(config.emulator, "auto", config.particles), config.particles
    for cell in config.spacing:
        network.weights.check(n, cell * n)

    def frame(truth: ReferenceRun) -> Frame:
        return network.frame(truth.domain, truth.cosmology, truth.conditions)

    return frame
