"""The command `coca train`: the weights of an emulator."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from coca.commands.shared import check_one_rank, check_replaced, on_interrupt
from coca.configuration.loading import load_config
from coca.configuration.training import TrainConfig
from coca.emulator.device import choose_device
from coca.emulator.weights_file import read_weights
from coca.parallel.machine import choose_threads, keep_freed_memory
from coca.parallel.ranks import Ranks

if TYPE_CHECKING:
    from coca.emulator.loss import Losses
    from coca.emulator.training import Trainer, Validation


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Train as the configuration says; the exit status."""
    check_one_rank(ranks, "train")
    config = load_config(options.config, options.set, TrainConfig)
    with on_interrupt("interrupted; the same command goes on from the last checkpoint"):
        if options.only_simulations:
            make_simulations(config)
        else:
            going_on = any(path.exists() for path in checkpoints(config.weights))
            check_replaced("weights", config.weights, options.overwrite, going_on)
            train(config, options.as_they_come)
    return 0


def checkpoints(weights: Path) -> list[Path]:
    """Files that a training goes on from."""
    return [weights.with_suffix(f".{kind}.safetensors") for kind in ("checkpoint", "stable")]


def make_simulations(config: TrainConfig) -> None:
    """Make the simulations that are missing."""
    threads = choose_threads(config.threads)
    from coca.emulator.training import domain_of
    from coca.emulator.training_set import SimulationSet

    domain = domain_of(config, threads)
    simulations = SimulationSet(config.simulations, domain)
    missing = simulations.make_missing()
    for _ in tqdm(missing, "simulations", len(simulations.planned), disable=None):
        pass


def train(config: TrainConfig, as_they_come: bool = False) -> None:
    """Train to the end, write the weights.

    Simulations that are missing are made before, or by another process meanwhile.
    """
    threads = choose_threads(config.threads)
    import torch

    from coca.emulator.starting import check_start
    from coca.emulator.training import Trainer, architecture_of, domain_of
    from coca.emulator.training_set import SimulationSet

    if config.start is not None:
        check_start(read_weights(config.start, "start"), architecture_of(config))
    keep_freed_memory(large=True)
    if not as_they_come:
        make_simulations(config)
    device = torch.device(choose_device(config.device))
    domain = domain_of(config, threads)
    trainer = Trainer(config, SimulationSet(config.simulations, domain), domain, device)
    if trainer.resume():
        print(f"resuming at iteration {trainer.iteration}")
    _fit(trainer, config)
    trainer.emulator.save(config.weights)
    for path in (trainer.checkpoint, trainer.latest):
        path.unlink(missing_ok=True)
    print(f"wrote {config.weights}")


def _fit(trainer: Trainer, config: TrainConfig) -> None:
    """Run the schedule with a progress bar on a terminal, plain lines otherwise."""
    from coca.emulator.loss import mean_losses

    start, total = time.monotonic(), config.optimiser.iterations
    recent: list[Losses] = []
    with tqdm(total=total, initial=trainer.iteration, disable=None, unit="it") as bar:

        def report(iteration: int, losses: Losses, validation: Validation | None) -> None:
            recent.append(losses)
            bar.update()
            bar.set_postfix_str(f"left {losses.positions:.3f}")
            if validation is not None:
                tqdm.write(
                    f"iteration {iteration}/{total}  {time.monotonic() - start:.0f} s  left of "
                    f"positions, velocities, density: training {mean_losses(recent)}  "
                    f"validation {validation}"
                )
                sys.stdout.flush()
                recent.clear()

        trainer.train(report)
