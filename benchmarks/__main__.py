"""Measurements of speed and accuracy.

    python -m benchmarks                       everything, at its default size
    python -m benchmarks force --particles 64  one of them; NAME --help has its options

Each prints its table; with --out it also writes NAME.json and, where there is one, NAME.png.
The tables of docs/ and README.md are made so.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from benchmarks.rows import read_rows, write_rows
from coca.atomic_files import whole_file
from coca.parallel.machine import sleep_at_barriers

NAMES = (
    "fft",
    "force",
    "force_error",
    "lanes",
    "p3m",
    "nbody",
    "swift",
    "truth",
    "neutrinos",
    "sizes",
    "scaling",
    "scaling_model",
    "network",
    "architectures",
    "runs",
    "startup",
    "statistics",
    "accuracy",
    "outputs",
    "light_cone",
    "gain",
    "trust",
    "robustness",
)


def main() -> None:
    """Command line of the suite."""
    sleep_at_barriers()  # as in runs, and before the modules load OpenMP
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, help="directory for JSON and figures")
    commands = parser.add_subparsers(dest="name")
    modules, parsers = {}, {}
    for name in NAMES:
        modules[name] = module = importlib.import_module(f"benchmarks.{name}")
        parsers[name] = commands.add_parser(
            name,
            description=module.__doc__,
            help=module.__doc__.splitlines()[0],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parsers[name].add_argument("--out", type=Path, default=argparse.SUPPRESS)
        parsers[name].add_argument(
            "--rows",
            type=Path,
            nargs="+",
            help="show this JSON or several, joined; measure nothing",
        )
        module.add_options(parsers[name])
    options = parser.parse_args()
    if options.name:
        run(options.name, modules[options.name], options)
        return
    for name, module in modules.items():
        run(name, module, argparse.Namespace(out=options.out, **vars(parsers[name].parse_args([]))))


def run(name: str, module, options: argparse.Namespace) -> None:
    """Measure, print and write one benchmark."""
    files = options.rows or []
    rows = [row for file in files for row in read_rows(file)] if files else module.measure(options)
    print(f"\n{name}: {module.__doc__.splitlines()[0]}\n\n{module.table(rows)}", flush=True)
    if not options.out:
        return
    options.out.mkdir(parents=True, exist_ok=True)
    write_rows(options.out / f"{name}.json", rows)
    if hasattr(module, "draw"):
        with whole_file(options.out / f"{name}.png") as temporary:
            module.draw(rows, temporary)


if __name__ == "__main__":
    main()
