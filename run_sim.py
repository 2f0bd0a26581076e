#!/usr/bin/env python
"""Run a COCA simulation: python run_sim.py configs/quickstart.yaml

The configuration says what is run; --set changes single values of it. Results appear in
output.directory: Gadget HDF5 snapshots, power spectra as text, run.json with everything that
is known of the run, and report.html with its figures, also in report.png and report/.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from functools import partial

from coca.checkpoint import CheckpointFiles
from coca.command import in_parallel
from coca.config import Config
from coca.config_file import load_config
from coca.ensemble import finished, members, prepare, run_ensemble
from coca.errors import CocaError
from coca.plan import Plan, make_plan
from coca.progress import Progress
from coca.ranks import Ranks
from coca.rehearsal import compile_kernels
from coca.results import write_results
from coca.simulation import Simulation, simulate

EXAMPLES = """\
examples:
  python run_sim.py configs/quickstart.yaml --dry-run
  python run_sim.py configs/quickstart.yaml --set seed=7 --set output.directory=runs/seed7
  python run_sim.py configs/quickstart.yaml --set force_evaluations=8 --set threads=2
  python run_sim.py configs/large.yaml --resume                        (after it was interrupted)
  python run_sim.py configs/quickstart.yaml --set frame=lpt            (fitted steps, no network)
"""


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 0, 2 for input that cannot be run, and 1 where
    members of an ensemble failed."""
    return in_parallel(
        lambda ranks: run(parse(arguments, ranks), ranks), (CocaError, FloatingPointError)
    )


def run(options: argparse.Namespace, ranks: Ranks) -> int:
    """Plan, simulate and write, as the command line says; the number of runs that failed."""
    config = load_config(options.config, options.set, Config)
    directory = config.output.needed_directory()
    progress = Progress((options.quiet and not options.dry_run) or ranks.rank > 0)
    if config.ensemble is None:
        return one_run(config, ranks, progress, options)
    work = prepare(config, config.ensemble, ranks)
    if options.dry_run:
        first = (work.todo or members(config, config.ensemble))[0]
        progress.say(
            f"ensemble     {len(work.todo)} runs to do, {len(work.results)} finished; "
            f"{work.groups} at a time, like {first.name}:"
        )
        return one_run(first.config, ranks.split(work.groups), progress, options)
    if work.todo:
        compile_kernels(work.todo[0].config, ranks)
    speaker = ranks.rank % config.ensemble.ranks_per_simulation == 0
    progress = Progress(options.quiet or not speaker)
    return run_ensemble(directory, ranks, work, progress, partial(one_member, options=options))


def one_run(config: Config, ranks: Ranks, progress: Progress, options: argparse.Namespace) -> int:
    """A run that says what it does."""
    plan = make_plan(config, ranks)
    progress.say(plan.describe())
    if options.dry_run:
        return 0
    if options.resume and ranks.once(lambda: finished(config)):
        progress.say(f"finished before, see {config.output.directory}")
        return 0
    compile_kernels(config, ranks)
    simulate_and_write(plan, progress, options.resume)
    return 0


def one_member(config: Config, ranks: Ranks, options: argparse.Namespace) -> str:
    """A silent run of an ensemble; a line on how it went."""
    plan = make_plan(config, ranks)
    simulation = simulate_and_write(plan, Progress(quiet=True), options.resume)
    return "; ".join([simulation.run.trust.statement, *simulation.warnings])


def simulate_and_write(plan: Plan, progress: Progress, resume: bool) -> Simulation:
    """The run, with checkpoints until it is written."""
    checkpoints = CheckpointFiles(plan.config, resume)
    simulation = simulate(plan, progress, checkpoints)
    write_results(plan, simulation, progress)
    checkpoints.remove()
    return simulation


def parse(arguments: list[str] | None, ranks: Ranks) -> argparse.Namespace:
    """Read the command line; the first rank says what is wrong with it."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "config", help="YAML file; configs/ has some, configs/quickstart.yaml first"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the file; dotted keys, YAML values; may be repeated",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check, print plan, memory and cost, and stop"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted"
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    with ExitStack() as silence:
        if ranks.rank > 0:
            nowhere = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
