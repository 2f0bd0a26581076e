"""The command `coca ics`: the particles that a run starts on, as a file for other codes."""

from __future__ import annotations

import argparse

from coca.configuration.loading import load_config
from coca.configuration.run import Config
from coca.errors import CocaError, ConfigError
from coca.parallel.machine import check_memory
from coca.parallel.ranks import Ranks
from coca.results.write import (
    check_initial_conditions,
    remove_initial_conditions,
    write_initial_conditions,
)
from coca.run.checks import Start, check_output, check_start
from coca.run.memory import start_memory


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Write initial conditions, as the command line says; the exit status."""
    config = load_config(options.config, options.set, Config)
    with ranks.together(CocaError):
        start = _checked(config, ranks)
        check_initial_conditions(config, ranks, options.overwrite)
    if ranks.size > 1:
        from coca.commands.compilation import compile_kernels

        compile_kernels(config, ranks)
    ranks.once(lambda: remove_initial_conditions(config))
    written = write_initial_conditions(config, ranks, start, options.swift)
    if ranks.rank == 0:
        for line in start.warnings:
            print(f"warning: {line}")
        print(f"wrote {', '.join(written)} in {config.output.directory}, z = {start.redshift:g}")
    return 0


def _checked(config: Config, ranks: Ranks) -> Start:
    """The start, of a configuration that has been checked.

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted.
    """
    config.output.needed_directory()
    if config.ensemble is not None:
        raise ConfigError(
            "ensemble: found one, wanted none for coca ics, which writes one run's start "
            "(--set ensemble=null --set seed=...)"
        )
    start = check_start(config, ranks)
    memory = start_memory(config, ranks.size)
    check_memory("particles", memory, "fewer particles", ranks.node.ranks)
    check_output(config, ranks)
    return start
