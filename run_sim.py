#!/usr/bin/env python
"""Run a COCA simulation: python run_sim.py configs/quickstart.yaml

The configuration says what is run; --set changes single values of it. Results appear in
output.directory: Gadget HDF5 snapshots, power spectra as text, run.json with everything that
is known of the run, and report.png.
"""

from __future__ import annotations

import argparse
import sys

from coca.command import in_parallel
from coca.config import Config, load_config
from coca.ensemble import members, prepare, run_ensemble
from coca.errors import CocaError, ConfigError
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
    options = parse(arguments)
    return in_parallel(lambda ranks: run(options, ranks), (CocaError, FloatingPointError))


def run(options: argparse.Namespace, ranks: Ranks) -> int:
    """Plan, simulate and write, as the command line says; the number of runs that failed."""
    config = load_config(options.config, options.set, Config)
    if config.output.directory is None:
        raise ConfigError("output.directory: missing, wanted a directory")
    if config.ensemble is None:
        return one_run(config, ranks, options)
    if options.dry_run:
        groups, todo, done = prepare(config, ranks)
        first = (todo or members(config))[0]
        progress_of(ranks, options).say(
            f"ensemble     {len(todo)} runs to do, {len(done)} finished; {groups} at a time, "
            f"like {first.name}:"
        )
        return one_run(first.config, ranks.split(groups), options)
    compile_kernels(members(config)[0].config, ranks)
    speaker = ranks.rank % config.ensemble.ranks_per_simulation == 0
    return run_ensemble(config, ranks, Progress(options.quiet or not speaker), one_member)


def one_run(config: Config, ranks: Ranks, options: argparse.Namespace) -> int:
    """A run that says what it does."""
    progress = progress_of(ranks, options)
    plan = make_plan(config, ranks)
    progress.say(plan.describe())
    if not options.dry_run:
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


def progress_of(ranks: Ranks, options: argparse.Namespace) -> Progress:
    """Speaks on the first rank only."""
    return Progress((options.quiet and not options.dry_run) or ranks.rank > 0)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
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
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
