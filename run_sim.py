#!/usr/bin/env python
"""Run a COCA simulation: python run_sim.py configs/quickstart.yaml

The configuration says what is run; --set changes single values of it. Results appear in
output.directory: Gadget HDF5 snapshots, power spectra as text, run.json with everything that
is known of the run, and report.png.
"""

from __future__ import annotations

import argparse
import sys

from coca.command import exit_status
from coca.config import Config, load_config
from coca.errors import CocaError
from coca.plan import make_plan
from coca.progress import Progress
from coca.results import write_results
from coca.simulate import simulate

EXAMPLES = """\
examples:
  python run_sim.py configs/quickstart.yaml --dry-run
  python run_sim.py configs/quickstart.yaml --set seed=7 --set output.directory=runs/seed7
  python run_sim.py configs/quickstart.yaml --set force_evaluations=8 --set threads=2
  python run_sim.py configs/quickstart.yaml --set frame=lpt            (fitted steps, no network)
"""


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status: 0, or 2 for input that cannot be run."""
    options = parse(arguments)
    return exit_status(lambda: run(options), "interrupted", (CocaError, FloatingPointError))


def run(options: argparse.Namespace) -> None:
    """Plan, simulate and write, as the command line says."""
    progress = Progress(options.quiet)
    plan = make_plan(load_config(options.config, options.set, Config))
    if options.dry_run:
        print(plan.describe())
        return
    progress.say(plan.describe())
    write_results(plan, simulate(plan, progress), progress)


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
