"""Training of the emulator on its own simulations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from coca.configuration.training import TrainConfig
from coca.emulator.architecture import Architecture
from coca.emulator.average import Average
from coca.emulator.device import choose_precision
from coca.emulator.emulator import Emulator
from coca.emulator.examples import Example, Examples, measured_scales
from coca.emulator.features import CHANNELS
from coca.emulator.loss import Loss, Losses, mean_losses
from coca.emulator.network import UNet, style_of
from coca.emulator.optimiser import Optimiser
from coca.emulator.starting import begin_with
from coca.emulator.symmetry import Symmetry
from coca.emulator.time_functions import TimeFunctions
from coca.emulator.training_set import SimulationSet
from coca.emulator.weights_file import TrainedRange, read_weights
from coca.errors import CocaError, FileError, reason
from coca.files.safetensors import read_tensors, write_tensors
from coca.parallel.domain import Domain
from coca.statistics.spectra import particle_spectra

VALIDATION_K = 1.0
"""Wavenumber of a validation's spectra, h/Mpc."""


class Validation(NamedTuple):
    """What the averaged weights reach on simulations that are held out; means over them."""

    losses: Losses
    """With the density at D = 1."""
    power: float
    """P / P_true - 1 at `VALIDATION_K` and D = 1."""
    scatter: float
    """Standard deviation of `power` from box to box."""
    decorrelation: float
    """1 - r at `VALIDATION_K` and D = 1."""

    def __str__(self) -> str:
        return (
            f"{self.losses}  P {self.power:+.2%} (scatter {self.scatter:.2%}) "
            f"1-r {self.decorrelation:.3%} at k = {VALIDATION_K:g} h/Mpc"
        )


class Trainer:
    """Trains one emulator.

    Every random choice is drawn from the seed and the iteration, so a training that was
    killed goes on as if it had not been. An epoch takes the simulations that are there when it
    begins; more may be added meanwhile.

    Parameters
    ----------
    config : TrainConfig
    simulations : SimulationSet
        Of which those for validation and some for training are there.
    domain : Domain
    device : torch.device
    """

    def __init__(
        self, config: TrainConfig, simulations: SimulationSet, domain: Domain, device: torch.device
    ):
        self.config, self.simulations, self.domain = config, simulations, domain
        self.device, self.iteration, self._epoch = device, 0, Epoch(-1, [], 0)
        self.precision = getattr(torch, choose_precision(config.precision, device.type))
        torch.set_num_threads(domain.threads)
        scales, K = measured_scales(simulations, domain), config.network.time_functions
        self.examples = Examples(simulations, domain, scales)
        self.loss = Loss(self.examples, K)
        torch.manual_seed(config.optimiser.seed)
        self.network = UNet(architecture_of(config)).on(device)
        functions = TimeFunctions(self.examples.functions.coefficients[:K])
        outputs = scales.outputs[:K]
        trained = _trained_range(config)
        scaled = functions, scales.inputs, outputs, trained
        if config.start is not None:
            begin_with(read_weights(config.start, "start"), Emulator(self.network, *scaled))
        self.optimiser, self.average = Optimiser(self.network), Average(self.network)
        self.emulator = Emulator(self.average.network, *scaled)

    def train(self, on_progress: Callable[[int, Losses, Validation | None], None]) -> None:
        """Train to the end of the schedule, with checkpoints.

        `on_progress` gets the iteration, its losses and, at each checkpoint, the validation.
        """
        options = self.config.optimiser
        while self.iteration < options.iterations:
            if self.iteration == decay_start(options.iterations, options.decay):
                self.save_checkpoint(self.stable)
            losses, validation = self.step(), None
            if self.iteration % options.checkpoint_every == 0:
                validation = self.validate()
                self.save_checkpoint(self.checkpoint)
                self.emulator.save(self.latest)
            on_progress(self.iteration, losses, validation)

    def step(self) -> Losses:
        """One optimiser step on one augmented simulation; its losses before."""
        options = self.config.optimiser
        rng = np.random.default_rng([options.seed, self.iteration])
        example = self.examples.load(self._draw(), Symmetry.random(rng))
        outputs = self._apply(self.network, example)
        D = 1.0 - 0.7 * rng.random() ** 2  # more often late than early
        try:
            losses, gradient = self.loss(outputs, example, D, rng.random(3))
        except FloatingPointError as error:
            raise CocaError(
                f"iteration {self.iteration}: {error}; lower optimiser.muon_learning_rate and "
                "optimiser.learning_rate"
            ) from None
        outputs.backward(gradient)
        factor = schedule(self.iteration, options.warmup, options.iterations, options.decay)
        rates = (options.muon_learning_rate * factor, options.learning_rate * factor)
        self.optimiser.step(self.iteration, *rates, options.weight_decay)
        self.average.update(self.iteration)
        self.iteration += 1
        return losses

    @torch.inference_mode()
    def validate(self) -> Validation:
        """Apply the averaged weights to the simulations that are held out."""
        losses, spectra = [], []
        for i in self.simulations.validation:
            example = self.examples.load(i)
            outputs = self._apply(self.average.network, example)
            losses.append(self.loss(outputs, example, 1.0, np.zeros(3))[0])
            true, emulated = self.loss.errors(outputs, example, 1.0)[1]
            shells = particle_spectra(self.domain, 2 * self.domain.n_side, emulated, true)
            spectra.append(shells.at(VALIDATION_K))
        power = [float(s.ratio) - 1.0 for s in spectra]
        return Validation(
            mean_losses(losses),
            float(np.mean(power)),
            float(np.std(power)),
            float(np.mean([1.0 - s.r for s in spectra])),
        )

    @property
    def checkpoint(self) -> Path:
        """The file that a killed training resumes from."""
        return self.config.weights.with_suffix(".checkpoint.safetensors")

    @property
    def latest(self) -> Path:
        """The averaged weights at the last checkpoint, to be used while the training goes on."""
        return self.config.weights.with_suffix(".latest.safetensors")

    @property
    def stable(self) -> Path:
        """The state when rates began to fall, from which a longer training goes on."""
        return self.config.weights.with_suffix(".stable.safetensors")

    def save_checkpoint(self, path: Path) -> None:
        """Write networks, optimiser and place in the training, whole or not at all."""
        tensors = {
            f"{part}.{name}": value.detach().cpu().contiguous()
            for part, values in self._parts().items()
            for name, value in values.items()
        }
        metadata = {
            "iteration": str(self.iteration),
            "epoch": json.dumps(self._epoch),
            "end": str(self._end()),
            "config": self._identity(),
        }
        write_tensors(path, save_file, tensors, metadata)

    def resume(self) -> bool:
        """Take up the last checkpoint whose rates have not fallen towards another end, if there is
        one; whether there was.

        Raises
        ------
        FileError
            A checkpoint is damaged or of another configuration.
        """
        for path in filter(Path.exists, (self.checkpoint, self.stable)):
            metadata, tensors = self._read(path)
            if metadata["end"] in ("None", str(self.config.optimiser.iterations)):
                self._take(metadata, tensors)
                return True
        return False

    def _read(self, path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
        try:
            metadata, tensors = read_tensors(path, "pt", str(self.device))
        except (OSError, SafetensorError, ValueError) as error:
            raise FileError(f"{path}: cannot read: {reason(error)}") from None
        if metadata.get("config") != self._identity():
            raise FileError(f"{path}: of another configuration; remove it or restore its config")
        return metadata, tensors

    @torch.no_grad()
    def _take(self, metadata: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
        for part, values in self._parts().items():
            for name, value in values.items():
                value.copy_(tensors[f"{part}.{name}"])
        self.iteration = int(metadata["iteration"])
        self._epoch = Epoch(*json.loads(metadata["epoch"]))

    def _parts(self) -> dict[str, dict[str, torch.Tensor]]:
        """The tensors that are the training's state."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimiser": self.optimiser.state,
        }

    def _end(self) -> int | None:
        """The end towards which rates have begun to fall."""
        options = self.config.optimiser
        falling = self.iteration > decay_start(options.iterations, options.decay)
        return options.iterations if falling else None

    def _identity(self) -> str:
        """What a checkpoint must have been trained with."""
        values = self.config.model_dump(mode="json", exclude={"threads", "device", "weights"})
        values["simulations"].pop("directory")
        for key in ("checkpoint_every", "iterations", "decay"):
            values["optimiser"].pop(key)
        return json.dumps(values | {"scales": self.examples.scales.key})

    def _draw(self) -> int:
        """The training simulation of this iteration: a new order each epoch."""
        if self._epoch.position == len(self._epoch.order):
            number = self._epoch.number + 1
            present = self.simulations.present(self.simulations.training)
            rng = np.random.default_rng([self.config.optimiser.seed, 1, number])
            self._epoch = Epoch(number, rng.permutation(present).tolist(), 0)
        number, order, position = self._epoch
        self._epoch = Epoch(number, order, position + 1)
        return order[position]

    def _apply(self, network: UNet, example: Example) -> torch.Tensor:
        """Folded outputs of a network."""
        Omega_m = self.simulations.planned[example.number].cosmology.Omega_m
        sigma = self.examples.ln_sigma(example.number)
        style = style_of(network.architecture.styles, Omega_m, sigma, self.domain.cell)
        features = example.features().to(self.device, self.precision)
        return network.folded(features, style.to(self.device))


class Epoch(NamedTuple):
    """A pass through the training simulations."""

    number: int
    order: list[int]
    """Indices of simulations."""
    position: int
    """How many of them are done."""


def schedule(iteration: int, warmup: int, total: int, decay: float) -> float:
    """Factor of the rates: a linear rise, a plateau, a linear fall over the last share."""
    start = decay_start(total, decay)
    rise = (iteration + 1) / max(1, warmup)
    fall = (total - iteration) / max(1, total - start)
    return min(1.0, rise, fall)


def decay_start(total: int, decay: float) -> int:
    """Iteration from which rates fall."""
    return total - round(decay * total)


def domain_of(config: TrainConfig, threads: int) -> Domain:
    """The box of the training simulations."""
    sims = config.simulations
    return Domain(sims.box_size, sims.particles, threads)


def architecture_of(config: TrainConfig) -> Architecture:
    """The network's sizes."""
    network = config.network
    return Architecture(
        CHANNELS,
        3 * network.time_functions,
        network.channels,
        network.blocks,
        network.blocks_up,
        network.styles,
    )


def _trained_range(config: TrainConfig) -> TrainedRange:
    sims = config.simulations
    ranges = sims.cosmology.Omega_m, sims.cosmology.sigma_8
    return TrainedRange(sims.box_size / sims.particles, *ranges, (0.0, sims.redshift))
