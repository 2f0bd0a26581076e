#!/usr/bin/env python
"""Run a COCA simulation: python run_sim.py configs/quickstart.yaml

The configuration says what is run; --set changes single values of it. Results appear in
output.directory: Gadget HDF5 snapshots, power spectra as text, run.json with everything that
is known of the run, and report.png.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout

from coca.command import in_parallel
from coca.config import Config, load_config
from coca.ensemble import members, prepare, run_ensemble
from coca.errors import CocaError
from coca.plan import make_plan
from coca.progress import Progress
from coca.ranks import Ranks
from coca.rehearsal import compile_kernels
from coca.results import write_results
from coca.simulation import simulate

EXAMPLES = """\
examples:
  python run_sim.py configs/quickstart.yaml --dry-run
  python run_sim.py configs/quickstart.yaml --set seed=7 --set output.directory=runs/seed7
  python run_sim.py configs/quickstart.yaml --set force_evaluations=8 --set threads=2
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
    progress = Progress((options.quiet and not options.dry_run) or ranks.rank > 0)
    if config.ensemble is None:
        return one_run(config, ranks, progress, options.dry_run)
    work = prepare(config, ranks)
    if options.dry_run:
        first = (work.todo or members(config))[0]
        progress.say(
            f"ensemble     {len(work.todo)} runs to do, {len(work.results)} finished; "
            f"{work.groups} at a time, like {first.name}:"
        )
        return one_run(first.config, ranks.split(work.groups), progress, dry_run=True)
    if work.todo:
        compile_kernels(work.todo[0].config, ranks)
    speaker = ranks.rank % config.ensemble.ranks_per_simulation == 0
    return run_ensemble(config, ranks, work, Progress(options.quiet or not speaker), one_member)


def one_run(config: Config, ranks: Ranks, progress: Progress, dry_run: bool) -> int:
    """A run that says what it does."""
    plan = make_plan(config, ranks)
    progress.say(plan.describe())
    if not dry_run:
        compile_kernels(config, ranks)
        write_results(plan, simulate(plan, progress), progress)
    return 0


def one_member(config: Config, ranks: Ranks) -> str:
    """A silent run of an ensemble; a line on how it went."""
    progress = Progress(quiet=True)
    plan = make_plan(config, ranks)
    simulation = simulate(plan, progress)
    write_results(plan, simulation, progress)
    return "; ".join([simulation.run.trust.statement, *simulation.warnings])


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
    parser.add_argument("--quiet", action="store_true", help="print errors only")
    with ExitStack() as silence:
        if ranks.rank > 0:
            nowhere = silence.enter_context(open(os.devnull, "w"))
            silence.enter_context(redirect_stdout(nowhere))
            silence.enter_context(redirect_stderr(nowhere))
        return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
