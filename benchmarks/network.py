"""The network's time by part, in the precisions this machine multiplies, beside one force."""

from __future__ import annotations

import argparse

import torch

from benchmarks.problem import COSMOLOGY, SPACING, conditions_of
from benchmarks.timing import in_turns, machine_record, ratio, show, timing
from coca.emulator.device import choose_device, choose_precision
from coca.emulator.emulator import Emulator
from coca.emulator.features import features
from coca.gravity.particle_mesh import ParticleMesh
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument(
        "--particles",
        type=lambda text: [int(n) for n in text.split(",")],
        default=[32, 64, 128],
        help="per dimension, with commas between",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=5)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each size and part."""
    threads = choose_threads(options.threads or "auto")
    device, emulator = torch.device(choose_device(options.device)), Emulator.load()
    rows = []
    for n in options.particles:
        domain = Domain(SPACING * n, n, threads)
        conditions = conditions_of(domain, 1)
        x = domain.add_lattice(conditions.psi1)
        force, out = ParticleMesh(domain, 2 * n), domain.empty_particles()
        fields = (conditions.delta_k, conditions.psi1, conditions.psi2)
        calls = {
            "force, mesh 2x": lambda force=force, x=x, out=out: force(x, True, out),
            "features": lambda domain=domain, fields=fields: features(domain, *fields),
        }
        for name in dict.fromkeys(("float32", choose_precision("auto", device.type))):
            precision = getattr(torch, name)
            calls[f"features and network, {name}"] = (
                lambda precision=precision, domain=domain, conditions=conditions: (
                    emulator.coefficients(domain, COSMOLOGY.Omega_m, conditions, device, precision)
                )
            )
        seconds = in_turns(calls, options.rounds)
        common = {"particles": n, "device": device.type} | machine_record(threads)
        rows += [
            {
                "part": part,
                "seconds": timing(values),
                "over_force": ratio(values, seconds["force, mesh 2x"]),
            }
            | common
            for part, values in seconds.items()
        ]
    return rows


def table(rows: list[dict]) -> str:
    """Medians with quartiles."""
    lines = [
        f"network on {rows[0]['device']}, {rows[0]['processor']}, {rows[0]['threads']} threads;"
        " median (quartiles)",
        "| particles | | seconds | over one force |",
        "|" + " --- |" * 4,
    ]
    lines += [
        f"| {row['particles']}^3 | {row['part']} | {show(row['seconds'], 1, 3)} "
        f"| {show(row['over_force'])} |"
        for row in rows
    ]
    return "\n".join(lines)
