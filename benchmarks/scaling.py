"""Runs on MPI ranks: wall time, strong and weak, the bytes that each rank sends, and its memory.

Every run is `mpiexec -n RANKS python run_sim.py`, 2 Mpc/h between particles, a mesh of twice the
lattice, z = 19 to 0, without report. A first small run fills the caches of numba and FFTW. What
ranks sent is counted by `coca.parallel.ranks`, and compared with `benchmarks.scaling_model`. More
ranks than cores show that it works, not how fast. Transforms are timed beside mpi4py-fft's where it
is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.runs import ROOT
from benchmarks.scaling_model import sent_bytes
from benchmarks.timing import machine_record, show, timing

MPIEXEC = Path(sys.executable).with_name("mpiexec")
STRONG = [(1, 1), (1, 2), (2, 1), (4, 1), (8, 1)]
"""Ranks, and threads of each."""
WEAK = {(1, 1): 128, (2, 1): 160}
"""Particles per dimension: nearly as many for each rank."""
STAGES = ("initial conditions", "network", "force", "integration", "analysis", "output")
SENT = ("transposes", "ghost planes", "positions", "accelerations", "network")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument(
        "--particles", type=int, default=128, help="of the strong runs, per dimension"
    )
    parser.add_argument("--force-evaluations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--methods", type=lambda text: text.split(","), default=["bullfrog", "coca"]
    )


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each method, kind of scaling and layout; and for each transform."""
    rows = []
    for method in options.methods:
        strong = dict.fromkeys(STRONG, options.particles)
        for kind, sizes in (("strong", strong), ("weak", WEAK)):
            records = {layout: [] for layout in sizes}
            for number in range(options.rounds + 1):
                for layout, n in sizes.items():
                    record = run(method, n if number else 64, *layout, options.force_evaluations)
                    records[layout].append(record)
            rows += [
                row_of(kind, method, sizes[layout], layout, found[1:])
                for layout, found in records.items()
            ]
    return rows + [row for ranks in (2, 4) for row in transforms(2 * options.particles, ranks)]


def run(method: str, n: int, ranks: int, threads: int, forces: int) -> dict:
    """The record of a run."""
    with tempfile.TemporaryDirectory() as directory:
        values = {
            "method": method,
            "particles": n,
            "mesh": 2 * n,
            "box_size": 2.0 * n,
            "force_evaluations": forces,
            "linear_power.source": "eisenstein_hu",
            "reference": "null",
            "output.directory": directory,
            "output.report": "false",
            "threads": threads,
        }
        command = ["run_sim.py", "configs/quickstart.yaml", "--quiet"]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        launch(ranks, command)
        return json.loads((Path(directory) / "run.json").read_text())


def launch(ranks: int, command: list[str]) -> str:
    """What Python prints on so many ranks."""
    done = subprocess.run(
        [MPIEXEC, "-n", str(ranks), sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def row_of(kind: str, method: str, n: int, layout: tuple[int, int], records: list[dict]) -> dict:
    """Medians over the rounds, and what was sent beside what the model says."""
    ranks, threads = layout
    stages = {
        stage: float(np.median([r["timings"].get(stage, 0.0) for r in records])) for stage in STAGES
    }
    totals = [sum(r["timings"].get(stage, 0.0) for stage in STAGES) for r in records]
    last = records[-1]
    return {
        "kind": kind,
        "method": method,
        "particles": n,
        "ranks": ranks,
        "force_evaluations": last["force_evaluations"],
        "seconds": timing(np.array(totals)),
        "rounds": totals,
        "stages": stages,
        "sent": {what: last["bytes_sent"].get(what, 0) for what in SENT},
        "modelled": sent_bytes(n, ranks, last["force_evaluations"], method),
        "memory": last["memory"],
    } | machine_record(threads)


def transforms(mesh: int, ranks: int) -> list[dict]:
    """Rows of `benchmarks.parallel_fft`."""
    found = json.loads(launch(ranks, ["benchmarks/parallel_fft.py", str(mesh)]))
    common = {"kind": "transform", "mesh": mesh, "ranks": ranks} | machine_record(1)
    return [{"name": name, "milliseconds": value} | common for name, value in found.items()]


def table(rows: list[dict]) -> str:
    """Time, bytes and memory, one table after the other."""
    runs = [row for row in rows if row["kind"] != "transform"]
    first = runs[0]
    lines = [
        f"{first['processor']}, {first['force_evaluations']} force evaluations; median (quartiles)"
    ]
    lines += [
        "",
        "Seconds of a run by stage; weak ones are set against one thread by particles a rank:",
    ]
    lines += [
        "",
        f"| | particles | ranks x threads | total | over one thread | {' | '.join(STAGES)} |",
    ]
    lines += ["|" + " --- |" * (5 + len(STAGES))]
    lines += [_time_line(row, _one_thread(row, runs)) for row in runs]
    lines += ["", "Sent by each rank, MB (over what the model says), and peak memory:", ""]
    lines += [f"| | particles | ranks | {' | '.join(SENT)} | MiB of a rank | estimated / peak |"]
    lines += ["|" + " --- |" * (5 + len(SENT))]
    lines += [_sent_line(row) for row in runs if row["threads"] == 1]
    lines += ["", "A real transform there and back, halved, milliseconds, one thread a rank:", ""]
    lines += ["| mesh | ranks | | |", "|" + " --- |" * 4]
    lines += [
        f"| {row['mesh']}^3 | {row['ranks']} | {row['name']} | {row['milliseconds']:.1f} |"
        for row in rows
        if row["kind"] == "transform"
    ]
    return "\n".join(lines)


def _one_thread(row: dict, rows: list[dict]) -> dict:
    return next(
        other
        for other in rows
        if (other["kind"], other["method"], other["ranks"], other["threads"])
        == (row["kind"], row["method"], 1, 1)
    )


def _time_line(row: dict, one: dict) -> str:
    share = row["particles"] ** 3 / row["ranks"] / one["particles"] ** 3
    share = share if row["kind"] == "weak" else 1.0
    ratio = timing(np.array(row["rounds"]) / np.array(one["rounds"]) / share)
    cells = [
        f"{row['kind']}, {row['method']}",
        f"{row['particles']}^3",
        f"{row['ranks']} x {row['threads']}",
        show(row["seconds"]),
        show(ratio),
        *(f"{row['stages'][stage]:.2f}" for stage in STAGES),
    ]
    return f"| {' | '.join(cells)} |"


def _sent_line(row: dict) -> str:
    cells = []
    for what in SENT:
        sent, modelled = row["sent"][what], row["modelled"][what]
        cells.append(
            f"{sent / 1e6:.1f} ({sent / modelled:.2f})" if modelled else f"{sent / 1e6:.1f}"
        )
    peak, estimated = row["memory"]["peak"], row["memory"]["estimated"]
    return (
        f"| {row['kind']}, {row['method']} | {row['particles']}^3 | {row['ranks']} | "
        f"{' | '.join(cells)} | {peak / 2**20:.0f} | {estimated / peak:.2f} |"
    )
