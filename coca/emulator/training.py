"""Training of the emulator on its own simulations."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from coca.configuration.training import TrainConfig
from coca.emulator.architecture import Architecture
from coca.emulator.device import choose_precision, products
from coca.emulator.emulator import Emulator
from coca.emulator.features import CHANNELS, features
from coca.emulator.network import UNet, style_of
from coca.emulator.optimiser import Optimiser
from coca.emulator.time_functions import TimeFunctions, leading_functions
from coca.emulator.training_set import SimulationSet
from coca.emulator.weights_file import TrainedRange
from coca.errors import FileError
from coca.files.safetensors import read_tensors, write_tensors
from coca.initial_conditions import lpt
from coca.parallel.domain import Domain

SCALE_SIMULATIONS = 16
"""Simulations from which time functions and normalisations are measured."""


class Trainer:
    """Trains one emulator; its state is in the network, the optimiser and `iteration`.

    Every random choice is drawn from the seed and the iteration, so a training that was
    killed goes on as if it had not been.

    Parameters
    ----------
    config : TrainConfig
    simulations : SimulationSet
        Complete.
    domain : Domain
    device : torch.device
    """

    def __init__(
        self, config: TrainConfig, simulations: SimulationSet, domain: Domain, device: torch.device
    ):
        self.config, self.simulations, self.domain = config, simulations, domain
        self.device, self.iteration = device, 0
        self.precision = getattr(torch, choose_precision(config.precision, device.type))
        torch.set_num_threads(domain.threads)
        sims = config.simulations
        functions, self._rotation, input_scale, output_scale = self._measure_scales()
        torch.manual_seed(config.optimiser.seed)
        architecture = Architecture(
            CHANNELS,
            3 * len(functions),
            config.network.channels,
            config.network.blocks,
            config.network.blocks_up,
        )
        network = UNet(architecture).on(device)
        trained = TrainedRange(
            sims.box_size / sims.particles,
            sims.cosmology.Omega_m,
            sims.cosmology.sigma_8,
            (0.0, sims.redshift),
        )
        self.emulator = Emulator(network, functions, input_scale, output_scale, trained)
        self.optimiser = Optimiser(network)

    def train(self, on_progress: Callable[[int, float, float | None], None]) -> None:
        """Train to the end of the schedule, with checkpoints.

        `on_progress` gets the iteration, the loss and, at each checkpoint, the validation loss;
        both are fractions of the trajectory variance beyond 2LPT that are left.
        """
        total = self.config.optimiser.iterations
        while self.iteration < total:
            loss = self.step()
            validation = None
            if self.iteration % self.config.optimiser.checkpoint_every == 0:
                validation = self.validate()
                self.save_checkpoint()
            on_progress(self.iteration, loss, validation)

    def step(self) -> float:
        """One optimiser step on one augmented simulation; returns its loss."""
        options = self.config.optimiser
        self.emulator.network.train()
        rng = np.random.default_rng([options.seed, self.iteration])
        loss = self._loss(self._draw(), Symmetry.random(rng))
        loss.backward()
        factor = _schedule(self.iteration, options.warmup, options.iterations)
        self.optimiser.step(
            self.iteration,
            options.muon_learning_rate * factor,
            options.learning_rate * factor,
            options.weight_decay,
        )
        self.iteration += 1
        return float(loss.detach())

    @torch.inference_mode()
    def validate(self) -> float:
        """Mean loss over the validation simulations."""
        self.emulator.network.eval()
        identity = Symmetry((0, 1, 2), (1, 1, 1), (0, 0, 0))
        losses = [float(self._loss(i, identity)) for i in self.simulations.validation]
        return float(np.mean(losses))

    @property
    def checkpoint(self) -> Path:
        """The file that a killed training resumes from."""
        return self.config.weights.with_suffix(".checkpoint.safetensors")

    def save_checkpoint(self) -> None:
        """Write network, optimiser and iteration, whole or not at all."""
        tensors = {f"network.{k}": v for k, v in self.emulator.network.state_dict().items()}
        tensors |= {f"optimiser.{k}": v for k, v in self.optimiser.state.items()}
        tensors = {k: v.detach().cpu().contiguous() for k, v in tensors.items()}
        metadata = {"iteration": str(self.iteration), "config": self._identity()}
        write_tensors(self.checkpoint, save_file, tensors, metadata)

    def resume(self) -> bool:
        """Take up the checkpoint if there is one; whether there was.

        Raises
        ------
        FileError
            The checkpoint is damaged or of another configuration.
        """
        if not self.checkpoint.exists():
            return False
        try:
            metadata, tensors = read_tensors(self.checkpoint, "pt", str(self.device))
        except (OSError, SafetensorError, ValueError) as error:
            raise FileError(f"{self.checkpoint}: cannot read: {error}") from None
        if metadata.get("config") != self._identity():
            raise FileError(
                f"{self.checkpoint}: of another configuration; remove it or restore its config"
            )
        parts: dict[str, dict[str, torch.Tensor]] = {"network": {}, "optimiser": {}}
        for name, value in tensors.items():
            part, _, key = name.partition(".")
            parts[part][key] = value
        self.emulator.network.load_state_dict(parts["network"])
        for key, value in parts["optimiser"].items():
            self.optimiser.state[key].copy_(value)
        self.iteration = int(metadata["iteration"])
        return True

    def _identity(self) -> str:
        """What a checkpoint must have been trained with."""
        values = self.config.model_dump(mode="json", exclude={"threads", "device", "weights"})
        values["simulations"].pop("directory")
        values["optimiser"].pop("checkpoint_every")
        return json.dumps(values)

    def _measure_scales(self) -> tuple[TimeFunctions, np.ndarray, np.ndarray, np.ndarray]:
        """Time functions, their rotation, and the rms of features and coefficients."""
        count = min(SCALE_SIMULATIONS, len(self.simulations.training))
        J = len(self.simulations.basis)
        covariance, squares = np.zeros((J, J)), np.zeros(CHANNELS)
        for i in range(count):
            psi1, psi2, rows = self.simulations.load(i)
            covariance = covariance + rows @ rows.T / (rows.shape[1] * count)
            inputs = self._features(psi1, psi2)
            squares = squares + (inputs**2).mean(axis=(1, 2, 3)) / count
        K = self.config.network.time_functions
        functions, rotation = leading_functions(self.simulations.basis, covariance, K)
        variance = np.diag(rotation @ covariance @ rotation.T)
        return functions, rotation.astype(np.float32), np.sqrt(squares), np.sqrt(variance)

    def _features(self, psi1: np.ndarray, psi2: np.ndarray) -> np.ndarray:
        delta_k = lpt.density_of_displacement(self.domain, psi1)
        return features(self.domain, delta_k, psi1, psi2)

    def _draw(self) -> int:
        """The training simulation of this iteration: a new order each epoch."""
        count = len(self.simulations.training)
        epoch, position = divmod(self.iteration, count)
        order = np.random.default_rng([self.config.optimiser.seed, 1, epoch]).permutation(count)
        return int(order[position])

    def _loss(self, i: int, symmetry: Symmetry) -> torch.Tensor:
        """Fraction of the trajectory variance beyond 2LPT that the network leaves."""
        emulator, n = self.emulator, self.domain.n_side
        psi1, psi2, rows = self.simulations.load(i)
        targets = (self._rotation @ rows).reshape(-1, 3, n, n, n)
        psi1, psi2 = (symmetry(f.reshape(3, n, n, n)).reshape(3, -1) for f in (psi1, psi2))
        inputs = self._features(psi1, psi2) / emulator.input_scale[:, None, None, None]
        targets = np.concatenate([symmetry(C) for C in targets])
        variance = float((targets**2).sum(axis=0).mean())
        style = style_of(self.simulations.planned[i].cosmology.Omega_m)
        styles = torch.full((1, 1), style, device=self.device)
        with products(self.device, self.precision):
            outputs = emulator.network(self._tensor(inputs), styles)
        scale = self._tensor(np.repeat(emulator.output_scale, 3)[:, None, None, None])
        errors = outputs.float() * scale - self._tensor(targets)
        return (errors**2).sum(dim=1).mean() / variance

    def _tensor(self, field: np.ndarray) -> torch.Tensor:
        """A batch of one (1, C, X, Y, Z) on the device, channels last as the network's layers."""
        tensor = torch.from_numpy(field)[None].to(self.device)
        return tensor.contiguous(memory_format=torch.channels_last_3d)


class Symmetry:
    """An element of the octahedral group and a translation, acting on vector fields.

    Parameters
    ----------
    axes : permutation of (0, 1, 2)
    signs : three of 1 and -1
        Reflections, after the permutation.
    shift : three int
        Cells of translation; odd ones break up the network's folding.
    """

    def __init__(self, axes: Sequence[int], signs: Sequence[int], shift: Sequence[int]):
        self.axes, self.signs, self.shift = axes, signs, shift

    @classmethod
    def random(cls, rng: np.random.Generator) -> Symmetry:
        """One of the 48 rotations and reflections, with a shift of 0 or 1 along each axis."""
        draws = rng.permutation(3), rng.choice([1, -1], 3), rng.integers(0, 2, 3)
        return cls(*(draw.tolist() for draw in draws))

    def __call__(self, field: np.ndarray) -> np.ndarray:
        """The image of a vector field (3, n, n, n)."""
        field = field.transpose(0, *(1 + np.asarray(self.axes)))[list(self.axes)]
        flipped = tuple(1 + i for i in range(3) if self.signs[i] < 0)
        field = np.roll(np.flip(field, flipped), self.shift, axis=(1, 2, 3))
        return np.ascontiguousarray(field * np.array(self.signs, field.dtype)[:, None, None, None])


def _schedule(iteration: int, warmup: int, total: int) -> float:
    """Linear warm-up, then half a cosine to zero."""
    if iteration < warmup:
        return (iteration + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (iteration - warmup) / max(1, total - warmup)))


def domain_of(config: TrainConfig, threads: int) -> Domain:
    """The box of the training simulations."""
    sims = config.simulations
    return Domain(sims.box_size, sims.particles, threads)
