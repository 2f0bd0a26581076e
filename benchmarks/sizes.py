"""Cost per particle from 32^3 to 256^3 particles, on one thread and on all: forces and runs."""

from __future__ import annotations

import argparse

import numba
from matplotlib.figure import Figure

from benchmarks.problem import SPACING, bullfrog_run, conditions_of, evolved_positions
from benchmarks.timing import in_turns, machine_record, ratio, show, timing
from coca.gravity.particle_mesh import ParticleMesh
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads

STEPS = 4


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument(
        "--particles",
        type=lambda text: [int(n) for n in text.split(",")],
        default=[32, 64, 128, 256],
        help="per dimension, with commas between",
    )
    parser.add_argument("--rounds", type=int, default=7)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each size and number of threads."""
    threads = choose_threads("auto")
    rows = []
    for n in options.particles:
        calls = {}
        for number in sorted({1, threads}):
            domain = Domain(SPACING * n, n, number)
            force = ParticleMesh(domain, 2 * n)
            x, out = evolved_positions(domain, force), domain.empty_particles()
            conditions = conditions_of(domain, 1)

            def one_force(domain=domain, force=force, x=x, out=out):
                numba.set_num_threads(domain.threads)
                force(x, False, out)

            def one_run(domain=domain, force=force, conditions=conditions):
                numba.set_num_threads(domain.threads)
                bullfrog_run(domain, conditions, force, STEPS)

            calls["force", number], calls["run", number] = one_force, one_run
        seconds = in_turns(calls, options.rounds)
        for (what, number), values in seconds.items():
            rows.append(
                {
                    "what": what,
                    "particles": n,
                    "seconds": timing(values),
                    "nanoseconds_per_particle": 1e9 * timing(values).median / n**3,
                    "speed_up": ratio(seconds[what, 1], values),
                }
                | machine_record(number)
            )
    return rows


def table(rows: list[dict]) -> str:
    """Medians with quartiles."""
    lines = [
        f"{rows[0]['processor']}; median (quartiles); a run is {STEPS} BullFrog steps",
        "| | particles | threads | seconds | ns per particle | faster than one thread |",
        "|" + " --- |" * 6,
    ]
    lines += [
        f"| {row['what']} | {row['particles']}^3 | {row['threads']} | {show(row['seconds'], 1, 3)} "
        f"| {row['nanoseconds_per_particle']:.0f} | {show(row['speed_up'])} |"
        for row in rows
    ]
    return "\n".join(lines)


def draw(rows: list[dict], path) -> None:
    """Nanoseconds per particle against the number of particles."""
    figure = Figure(figsize=(5.5, 4.0), layout="constrained")
    panel = figure.subplots()
    styles = {"force": "o", "run": "s"}
    for what, threads in dict.fromkeys((row["what"], row["threads"]) for row in rows):
        line = [row for row in rows if (row["what"], row["threads"]) == (what, threads)]
        name = "one force" if what == "force" else f"BullFrog, {STEPS} steps"
        panel.loglog(
            [row["particles"] for row in line],
            [row["nanoseconds_per_particle"] for row in line],
            styles[what] + ("-" if threads > 1 else ":"),
            color="#0072B2" if what == "force" else "#D55E00",
            label=f"{name}, {threads} thread{'s' * (threads > 1)}",
        )
    sizes = sorted({row["particles"] for row in rows})
    panel.set_xticks(sizes, [f"{n}³" for n in sizes])
    panel.minorticks_off()
    panel.set(xlabel="particles", ylabel="nanoseconds per particle", ylim=(10, None))
    panel.legend(frameon=False)
    figure.savefig(path, dpi=130, format="png")
