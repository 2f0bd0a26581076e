"""Whole runs of run_sim.py: where the time goes, and their peak memory beside the estimate.

Each run is a process of its own with the defaults of its configuration: particles 2 Mpc/h apart,
mesh of twice the lattice, z = 19 to 0; snapshot, spectra and report are written. A first small run
fills the caches of numba and FFTW.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.rows import listed
from benchmarks.timing import machine_record

ROOT = Path(__file__).parent.parent
METHODS = "bullfrog", "cola", "fitted", "coca"
STAGES = ("initial conditions", "network", "frame", "force", "integration", "analysis", "output")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--methods", type=listed(str), default=list(METHODS))
    parser.add_argument("--particles", type=listed(int), default=[64, 128], help="per dimension")
    parser.add_argument("--force-evaluations", type=int, default=4)
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each method and size."""
    rows = []
    for method in options.methods:
        run(options, method, 32)
        rows += [run(options, method, n) for n in options.particles]
    return rows


def run(options: argparse.Namespace, method: str, n: int) -> dict:
    """One run in a process of its own."""
    with tempfile.TemporaryDirectory() as directory:
        launch(options, method, n, directory)
        record = json.loads((Path(directory) / "run.json").read_text())
    return {
        "method": method,
        "particles": n,
        "force_evaluations": options.force_evaluations,
        "seconds": record["timings"],
        "memory": record["memory"],
    } | machine_record(record["machine"]["threads"])


def launch(options: argparse.Namespace, method: str, n: int, directory: str) -> None:
    """run_sim.py with its output in a directory."""
    values = {
        "method": method,
        "particles": n,
        "mesh": 2 * n,
        "box_size": 2.0 * n,
        "force_evaluations": options.force_evaluations,
        "linear_power.source": "eisenstein_hu",
        "reference": "null",
        "output.directory": directory,
        "threads": options.threads or "auto",
    }
    command = [sys.executable, "run_sim.py", "configs/quickstart.yaml", "--quiet"]
    for key, value in values.items():
        command += ["--set", f"{key}={value}"]
    subprocess.run(command, cwd=ROOT, check=True, env=os.environ | {"MPLBACKEND": "Agg"})


def table(rows: list[dict]) -> str:
    """Seconds by stage and memory."""
    lines = [
        f"{rows[0]['force_evaluations']} force evaluations, {rows[0]['processor']}, "
        f"{rows[0]['threads']} threads; seconds by stage, memory in GiB",
        f"| | particles | {' | '.join(STAGES)} | peak | estimated / peak | bytes per particle |",
        "|" + " --- |" * (len(STAGES) + 5),
    ]
    for row in rows:
        stages = [f"{row['seconds'].get(stage, 0.0):.2f}" for stage in STAGES]
        peak, estimated = row["memory"]["peak"], row["memory"]["estimated"]
        lines.append(
            f"| {row['method']} | {row['particles']}^3 | {' | '.join(stages)} | {peak / 2**30:.2f} "
            f"| {estimated / peak:.2f} | {peak / row['particles'] ** 3:.0f} |"
        )
    return "\n".join(lines)
