"""The file of an emulator: weights, time functions, scales and trained range, without torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from coca.cosmology.background import Cosmology
from coca.emulator.architecture import Architecture
from coca.emulator.features import CHANNELS
from coca.emulator.time_functions import TimeFunctions
from coca.errors import ConfigError, FileError, reason
from coca.files.safetensors import read_tensors, write_tensors
from coca.integration.fitted_table import beyond_lambda
from coca.parallel.domain import check_ranks

SHIPPED_WEIGHTS = Path(__file__).parent / "weights" / "quijote-2mpc.safetensors"
FORMAT = "coca-emulator-1"
PREFIX = "network."
"""Begins the names of the network's parameters in a file."""
CELL_TOLERANCE = 1e-3
"""Relative difference in particle spacing from the training that is still the same spacing."""
CELL_LIMIT = 0.15
"""Relative difference in particle spacing beyond which the network is of no use."""


@dataclass(frozen=True)
class TrainedRange:
    """What the network has seen."""

    cell: float
    """Particle spacing in Mpc/h."""
    Omega_m: tuple[float, float]
    sigma_8: tuple[float, float]
    redshift: tuple[float, float]
    """Latest and earliest redshift of the training trajectories."""

    def warnings(
        self, cell: float, cosmology: Cosmology, redshifts: tuple[float, ...]
    ) -> list[str]:
        """One line for each value outside the range; `cell` is the particle spacing."""
        values = [
            ("cosmology.Omega_m", cosmology.Omega_m, self.Omega_m),
            ("cosmology.sigma_8", cosmology.sigma_8, self.sigma_8),
            *(("output.redshifts", z, self.redshift) for z in redshifts),
        ]
        lines = [
            f"{key} = {value:g} is outside the range [{low:g}, {high:g}] of the emulator's training"
            for key, value, (low, high) in values
            if not low <= value <= high
        ]
        if abs(cell / self.cell - 1.0) > CELL_TOLERANCE:
            lines.append(
                f"box_size / particles = {cell:.4g} Mpc/h is not the spacing {self.cell:g} of the "
                "emulator's training"
            )
        return lines + beyond_lambda(cosmology, "the emulator's simulations")


@dataclass(frozen=True)
class Weights:
    """What a file of an emulator holds; see `coca.emulator.emulator.Emulator`."""

    architecture: Architecture
    parameters: dict[str, np.ndarray]
    """The network's, by the names of `Architecture.shapes`."""
    functions: TimeFunctions
    input_scale: np.ndarray
    output_scale: np.ndarray
    trained: TrainedRange

    def check(self, particles: int, box_size: float, ranks: int = 1) -> None:
        """Raise ConfigError if the network cannot serve this particle lattice on these ranks."""
        divisor, cell = self.architecture.divisor, box_size / particles
        if particles % divisor:
            raise ConfigError(
                f"particles: found {particles}, wanted a multiple of {divisor} for the emulator"
            )
        if abs(cell / self.trained.cell - 1.0) > CELL_LIMIT:
            raise ConfigError(
                f"box_size: found {box_size:g} for {particles} particles, a spacing of "
                f"{cell:.4g} Mpc/h; wanted {particles * self.trained.cell:g}, or at most "
                f"{CELL_LIMIT:.0%} more or less, since the emulator was trained at "
                f"{self.trained.cell:g} Mpc/h"
            )
        planes = particles // divisor
        check_ranks(planes, ranks, f"{planes}, the planes of the emulator's coarsest level")


def write_weights(path: Path, weights: Weights) -> None:
    """Write the file, whole or not at all; errors as in `write_tensors`."""
    tensors = {PREFIX + name: value for name, value in weights.parameters.items()}
    tensors["time_functions"] = weights.functions.coefficients
    tensors["input_scale"] = weights.input_scale
    tensors["output_scale"] = weights.output_scale
    metadata = {
        "format": FORMAT,
        "architecture": json.dumps(weights.architecture.to_dict()),
        "trained": json.dumps(asdict(weights.trained)),
    }
    write_tensors(path, save_file, tensors, metadata)


def read_weights(path: Path | None = None, key: str = "emulator.weights") -> Weights:
    """Read a file of `write_weights`; by default the weights shipped with the package. Errors name
    the key of the configuration that says it.

    Raises
    ------
    FileError
        The file is missing, damaged or not an emulator.
    """
    path = path or SHIPPED_WEIGHTS
    try:
        metadata, tensors = read_tensors(path, "numpy")
        if metadata.get("format") != FORMAT:
            raise FileError(f"{key}: {path}: wanted format {FORMAT}")
        weights = _weights(metadata, tensors)
    except (OSError, SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise FileError(f"{key}: cannot use {path}: {reason(error)}") from None
    if not all(np.isfinite(value).all() for value in tensors.values()):
        raise FileError(f"{key}: {path}: values that are not finite")
    return weights


def _weights(metadata: dict[str, str], tensors: dict[str, np.ndarray]) -> Weights:
    architecture = Architecture(**_values(metadata["architecture"]))
    functions = tensors["time_functions"]
    _check_shapes(architecture, tensors)
    return Weights(
        architecture,
        {k.removeprefix(PREFIX): value for k, value in tensors.items() if k.startswith(PREFIX)},
        TimeFunctions(functions),
        tensors["input_scale"],
        tensors["output_scale"],
        TrainedRange(**_values(metadata["trained"])),
    )


def _values(text: str) -> dict:
    values = json.loads(text)
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}


def _check_shapes(architecture: Architecture, tensors: dict[str, np.ndarray]) -> None:
    """Raise ValueError, or KeyError, if the tensors are not those of an architecture."""
    if architecture.inputs != CHANNELS:
        raise ValueError(f"found {architecture.inputs} input channels, wanted {CHANNELS}")
    count = architecture.outputs // 3
    wanted: dict[str, tuple[int, ...]] = {
        "input_scale": (architecture.inputs,),
        "output_scale": (count,),
        "time_functions": (count, *tensors["time_functions"].shape[1:2]),
        **{PREFIX + name: shape for name, shape in architecture.shapes().items()},
    }
    for name in dict.fromkeys([*wanted, *tensors]):
        found = tensors[name].shape if name in tensors else None
        if found != wanted.get(name):
            raise ValueError(f"{name}: found shape {found}, wanted {wanted.get(name)}")
