"""Start-up: what surrounds the work of a small run, as whole processes.

Help, a dry run and the quickstart with everything compiled, and the quickstart with numba's and
FFTW's caches empty, as after installing. Wall seconds, median and quartiles.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks.runs import ROOT
from benchmarks.timing import Timing, machine_record, show, timing
from coca.parallel.machine import choose_threads

QUICKSTART = ("run", "configs/quickstart.yaml", "--quiet", "--overwrite", "--set")
COLD = "quickstart, empty caches"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cold-rounds", type=int, default=1)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each command."""
    with tempfile.TemporaryDirectory() as directory:
        quickstart = (*QUICKSTART, f"output.directory={directory}/run")
        commands = {
            "coca run --help": ("run", "--help"),
            "quickstart, --dry-run": (*quickstart, "--dry-run"),
            "quickstart": quickstart,
        }
        for command in commands.values():
            seconds_of(command)
        found = {
            name: [seconds_of(command) for _ in range(options.rounds)]
            for name, command in commands.items()
        }
        if options.cold_rounds:
            found[COLD] = [seconds_of(quickstart, cold=True) for _ in range(options.cold_rounds)]
    return [
        {"command": name, "seconds": timing(np.array(seconds))._asdict()}
        | machine_record(choose_threads("auto"))
        for name, seconds in found.items()
    ]


def seconds_of(command: tuple[str, ...], cold: bool = False) -> float:
    """Wall seconds of a command of coca, with empty caches if asked for."""
    with tempfile.TemporaryDirectory() as cache:
        caches = {"NUMBA_CACHE_DIR": cache, "XDG_CACHE_HOME": cache} if cold else {}
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "coca", *command],
            cwd=ROOT,
            check=True,
            env=os.environ | caches,
            stdout=subprocess.DEVNULL,
        )
        return time.perf_counter() - start


def table(rows: list[dict]) -> str:
    """Seconds of each command."""
    lines = ["| command | s |", "| --- | --- |"]
    return "\n".join(
        [*lines, *(f"| {row['command']} | {show(Timing(**row['seconds']))} |" for row in rows)]
    )
