"""Error of networks of several shapes after equal seconds of training, beside the cost of a pass.

Each shape has a plateau-and-fall schedule of as many iterations as fit into the seconds on this
machine, of processor time to each thread: on one thread, the default, what else runs does not
matter. Errors are those of the averaged weights on the validation simulations.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.timing import in_turns, machine_record, ratio, show, timing
from coca.commands.train import make_simulations
from coca.configuration.loading import load_config, make_config
from coca.configuration.training import TrainConfig
from coca.emulator.device import choose_device, choose_precision
from coca.emulator.symmetry import Symmetry
from coca.emulator.training import Trainer, domain_of
from coca.emulator.training_set import SimulationSet
from coca.gravity.particle_mesh import ParticleMesh
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads, keep_freed_memory

SHAPES = {
    "48-96-96": ((48, 96, 96), (1, 2, 2), (1, 1)),
    "32-64-128": ((32, 64, 128), (1, 1, 2), (1, 1)),
    "32-96-128": ((32, 96, 128), (1, 2, 2), (1, 2)),
    "32-96-128, deeper": ((32, 96, 128), (2, 2, 3), (2, 2)),
    "64-64-64": ((64, 64, 64), (1, 1, 1), (1, 1)),
    "64-96-128": ((64, 96, 128), (1, 2, 2), (1, 1)),
    "64-128-128": ((64, 128, 128), (1, 1, 1), (1, 1)),
    "64-128": ((64, 128), (1, 2), (1,)),
    "96-96-96": ((96, 96, 96), (1, 1, 1), (1, 1)),
    "16-128-128": ((16, 128, 128), (1, 3, 2), (1, 2)),
}
"""Channels, blocks on the way down and up."""
TIMED = 6
"""Steps by which the length of an iteration is measured; the first does not count."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--config", default="configs/train.yaml", help="of the simulations")
    parser.add_argument("--directory", type=Path, help="of the simulations, else the config's")
    parser.add_argument("--simulations", type=int, default=None, help="training simulations")
    parser.add_argument("--seconds", type=float, default=300.0, help="of training, each")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=SHAPES)
    parser.add_argument("--threads", type=int, default=1)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each shape."""
    keep_freed_memory(large=True)
    threads = choose_threads(options.threads)
    base = load_config(options.config, [], TrainConfig).model_dump(mode="json")
    if options.directory:
        base["simulations"]["directory"] = str(options.directory)
    if options.simulations:
        base["simulations"]["training"] = options.simulations
    base |= {"threads": threads, "precision": "auto", "weights": "runs/architectures.safetensors"}
    make_simulations(make_config(base, TrainConfig))
    return [_row(base, name, options.seconds, threads) for name in options.shapes]


def table(rows: list[dict]) -> str:
    """Costs, then errors."""
    lines = [
        f"{rows[0]['processor']}, {rows[0]['threads']} threads, {rows[0]['precision']}; "
        f"{rows[0]['seconds']:.0f} s of training each; left of the variance on simulations held "
        "out; pass over one force, median (quartiles)",
        "| channels | parameters | ms an iteration | iterations | pass | pass, float32 | positions "
        "| velocities | density | P - 1 at k = 1 | 1 - r |",
        "|" + " --- |" * 11,
    ]
    lines += [
        f"| {row['shape']} | {row['parameters'] / 1e6:.1f} M | {1e3 * row['iteration']:.0f} "
        f"| {row['iterations']} | {show(row['pass'], 1, 1)} | {show(row['pass_float32'], 1, 1)} "
        f"| {row['positions']:.3f} | {row['velocities']:.3f} | {row['density']:.3f} "
        f"| {row['power']:+.1%} | {row['decorrelation']:.2%} |"
        for row in rows
    ]
    return "\n".join(lines)


def _row(base: dict, name: str, seconds: float, threads: int) -> dict:
    channels, blocks, blocks_up = SHAPES[name]
    base = base | {
        "network": base["network"]
        | {"channels": channels, "blocks": blocks, "blocks_up": blocks_up}
    }
    per_iteration = _seconds_per_iteration(_trainer(base, 10**6, threads), threads)
    iterations = max(10, int(seconds / per_iteration))
    trainer = _trainer(base, iterations, threads)
    for _ in range(iterations):
        trainer.step()
    validation = trainer.validate()
    passes = _passes(trainer)
    return {
        "shape": name,
        "parameters": sum(p.numel() for p in trainer.network.parameters()),
        "iteration": per_iteration,
        "iterations": iterations,
        "seconds": seconds,
        "precision": str(trainer.precision).removeprefix("torch."),
        "pass": ratio(passes["network"], passes["force"]),
        "pass_float32": ratio(passes["float32"], passes["force"]),
        "pass_seconds": timing(passes["network"]),
        **validation.losses._asdict(),
        "power": validation.power,
        "scatter": validation.scatter,
        "decorrelation": validation.decorrelation,
    } | machine_record(threads)


def _trainer(values: dict, iterations: int, threads: int) -> Trainer:
    optimiser = values["optimiser"] | {"iterations": iterations}
    optimiser["warmup"] = min(optimiser["warmup"], iterations // 10)
    config = make_config(values | {"optimiser": optimiser}, TrainConfig)
    domain = domain_of(config, threads)
    simulations = SimulationSet(config.simulations, domain)
    return Trainer(config, simulations, domain, torch.device(choose_device(config.device)))


def _seconds_per_iteration(trainer: Trainer, threads: int) -> float:
    seconds = []
    for _ in range(TIMED):
        start = time.process_time()
        trainer.step()
        seconds.append((time.process_time() - start) / threads)
    return float(np.median(seconds[1:]))


@torch.inference_mode()
def _passes(trainer: Trainer) -> dict[str, np.ndarray]:
    """Seconds of a force of mesh 2x, and of the network alone in both precisions."""
    domain: Domain = trainer.domain
    force, out = ParticleMesh(domain, 2 * domain.n_side), domain.empty_particles()
    example = trainer.examples.load(0, Symmetry())
    x = domain.add_lattice(np.ascontiguousarray(trainer.simulations.load(0)[0]))
    style = torch.zeros(1, len(trainer.network.architecture.styles))
    precision = getattr(torch, choose_precision("auto", trainer.device.type))
    inputs = {
        "network": example.features().to(precision),
        "float32": example.features().float(),
    }
    calls = {"force": lambda: force(x, False, out)}
    calls |= {
        name: lambda field=field: trainer.network.folded(field, style)
        for name, field in inputs.items()
    }
    return in_turns(calls, 5)
