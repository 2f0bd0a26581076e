"""Statistics of a snapshot: seconds and peak memory of `coca analyse`.

The snapshot is that of a run in the 2LPT frame, particles 2 Mpc/h apart; each measurement is a
process of its own, with all that it imports and compiles.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from typing import get_args

import h5py

from benchmarks import runs
from benchmarks.timing import machine_record
from coca.configuration.sections import Statistic
from coca.parallel.machine import choose_threads

PROGRAM = """
import json, sys
from coca.__main__ import main
from coca.parallel.machine import peak_memory
assert main(["analyse", *sys.argv[1:]]) == 0
print(json.dumps(peak_memory()))
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, default=128, help="per dimension")
    parser.add_argument("--force-evaluations", type=int, default=10)
    parser.set_defaults(threads=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for haloes and one for everything."""
    with tempfile.TemporaryDirectory() as directory:
        runs.launch(options, "fitted", options.particles, directory)
        return [
            analyse(options, directory, names)
            for names in ("haloes", ",".join(get_args(Statistic)))
        ]


def analyse(options: argparse.Namespace, directory: str, names: str) -> dict:
    """Some statistics of the run in a directory."""
    start = time.perf_counter()
    command = [f"{directory}/snapshot_000.hdf5", "--out", directory, "--statistics", names]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command],
        cwd=runs.ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    with h5py.File(f"{directory}/snapshot_000_haloes.hdf5") as file:
        haloes = len(file["Mass"])
    return {
        "statistics": names,
        "particles": options.particles,
        "seconds": time.perf_counter() - start,
        "memory": json.loads(done.stdout.splitlines()[-1]),
        "haloes": haloes,
    } | machine_record(choose_threads("auto"))


def table(rows: list[dict]) -> str:
    """Seconds and memory."""
    first = rows[0]
    lines = [
        f"{first['particles']}^3 particles, mesh {2 * first['particles']}^3, {first['haloes']} "
        f"haloes; {first['processor']}, {first['threads']} threads",
        "| statistics | seconds | peak, GiB |",
        "| --- | --- | --- |",
    ]
    for row in rows:
        memory = row["memory"] / 2**30
        lines.append(f"| {row['statistics']} | {row['seconds']:.0f} | {memory:.2f} |")
    return "\n".join(lines)
