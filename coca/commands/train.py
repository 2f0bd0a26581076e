"""The command `coca train`: the weights of an emulator."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

from coca.commands.shared import check_one_rank, on_interrupt
from coca.configuration.loading import load_config
from coca.configuration.training import TrainConfig
from coca.emulator.device import choose_device
from coca.parallel.machine import choose_threads
from coca.parallel.ranks import Ranks

if TYPE_CHECKING:
    from coca.emulator.training import Trainer


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Train as the configuration says; the exit status."""
    check_one_rank(ranks, "train")
    with on_interrupt("interrupted; the same command goes on from the last checkpoint"):
        train(load_config(options.config, options.set, TrainConfig))
    return 0


def train(config: TrainConfig) -> None:
    """Make the simulations that are missing, train to the end, write the weights."""
    import torch

    from coca.emulator.training import Trainer, domain_of
    from coca.emulator.training_set import SimulationSet

    device = torch.device(choose_device(config.device))
    domain = domain_of(config, choose_threads(config.threads))
    simulations = SimulationSet(config.simulations, domain)
    missing = simulations.make_missing()
    for _ in tqdm(missing, "simulations", len(simulations.planned), disable=None):
        pass
    trainer = Trainer(config, simulations, domain, device)
    if trainer.resume():
        print(f"resuming at iteration {trainer.iteration}")
    _fit(trainer, config)
    trainer.emulator.save(config.weights)
    trainer.checkpoint.unlink(missing_ok=True)
    print(f"wrote {config.weights}")


def _fit(trainer: Trainer, config: TrainConfig) -> None:
    """Run the schedule with a progress bar on a terminal, plain lines otherwise."""
    start, total = time.monotonic(), config.optimiser.iterations
    recent: list[float] = []
    with tqdm(total=total, initial=trainer.iteration, disable=None, unit="it") as bar:

        def report(iteration: int, loss: float, validation: float | None) -> None:
            recent.append(loss)
            bar.update()
            bar.set_postfix_str(f"left {loss:.3f}")
            if validation is not None:
                tqdm.write(
                    f"iteration {iteration}/{total}  variance left: training "
                    f"{sum(recent) / len(recent):.4f}  validation {validation:.4f}  "
                    f"{time.monotonic() - start:.0f} s"
                )
                sys.stdout.flush()
                recent.clear()

        trainer.train(report)
