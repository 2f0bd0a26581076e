"""The command `coca run`: one simulation or an ensemble, from a configuration to its files."""

from __future__ import annotations

import argparse
from functools import partial

from coca.configuration.loading import load_config
from coca.configuration.run import Config
from coca.errors import ConfigError
from coca.parallel.ranks import Ranks
from coca.results.write import write_results
from coca.run.checkpoint import CheckpointFiles
from coca.run.earlier import check_directory_for, remove_earlier
from coca.run.ensemble import members, run_ensemble, work_left
from coca.run.late_kernels import compiled_beside
from coca.run.plan import Plan, make_plan
from coca.run.progress import Progress
from coca.run.simulation import Simulation, run_plan


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Plan, simulate and write, as the command line says; the number of runs that failed."""
    config = load_config(options.config, options.set, Config)
    directory = config.output.needed_directory()
    progress = Progress((options.quiet and not options.dry_run) or ranks.rank > 0)
    if config.ensemble is None:
        return one_run(config, ranks, progress, options)
    work = work_left(config, config.ensemble, ranks, options.resume, options.overwrite)
    if options.dry_run:
        first = (work.todo or members(config, config.ensemble))[0]
        progress.say(
            f"ensemble     {len(work.todo)} runs to do, {len(work.results)} finished; "
            f"{work.groups} at a time, like {first.name}:"
        )
        return one_run(first.config, ranks.split(work.groups), progress, options)
    if work.todo:
        _compile(work.todo[0].config, ranks)
    if options.overwrite:
        ranks.once(lambda: remove_earlier(directory))
    speaker = ranks.rank % config.ensemble.ranks_per_simulation == 0
    progress = Progress(options.quiet or not speaker)
    return run_ensemble(directory, ranks, work, progress, partial(one_member, options=options))


def one_run(config: Config, ranks: Ranks, progress: Progress, options: argparse.Namespace) -> int:
    """A run that says what it does."""
    if options.dry_run:
        return _say_plan(config, ranks, progress, options)
    check = partial(check_directory_for, config, options.resume, options.overwrite)
    if ranks.once(check):
        progress.say(f"finished before and complete, see {config.output.directory}")
        return 0
    plan = make_plan(config, ranks)
    progress.say(plan.describe())
    _compile(config, ranks)
    simulate_and_write(plan, progress, options.resume)
    return 0


def _say_plan(config: Config, ranks: Ranks, progress: Progress, options: argparse.Namespace) -> int:
    """The plan, and why it would be refused as things stand."""
    progress.say(make_plan(config, ranks).describe())
    try:
        ranks.once(partial(check_directory_for, config, options.resume, options.overwrite))
    except ConfigError as error:
        progress.say(f"warning      {error}")
    return 0


def one_member(config: Config, ranks: Ranks, options: argparse.Namespace) -> str:
    """A silent run of an ensemble; a line on how it went."""
    plan = make_plan(config, ranks)
    simulation = simulate_and_write(plan, Progress(quiet=True), options.resume)
    return "; ".join([simulation.run.trust.statement, *simulation.warnings])


def simulate_and_write(plan: Plan, progress: Progress, resume: bool) -> Simulation:
    """The run, with checkpoints until it is written; Terminated if it was told to end."""
    directory, checkpoints = (
        plan.config.output.needed_directory(),
        CheckpointFiles(plan.config, resume),
    )
    if not resume:
        plan.ranks.once(lambda: remove_earlier(directory))
    try:
        with compiled_beside(plan):
            simulation = run_plan(plan, progress, checkpoints)
            write_results(plan, simulation, progress)
    except BaseException:
        if plan.ranks.rank == 0:
            checkpoints.give_up()
        raise
    checkpoints.remove()
    checkpoints.end_if_told()
    return simulation


def _compile(config: Config, ranks: Ranks) -> None:
    """Have one rank compile the kernels of all."""
    if ranks.size > 1:
        from coca.commands.compilation import compile_kernels

        compile_kernels(config, ranks)
