"""The frozen configuration of a training."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from coca.configuration.messages import what_is_wrong
from coca.configuration.run import check_mesh
from coca.configuration.sections import CosmologyConfig
from coca.configuration.values import BoxSize, Count, FilePath, Integer, Number, Section

if TYPE_CHECKING:
    from typing_extensions import Self

Range = tuple[Number, Number]


class CosmologyRange(Section):
    """Box of cosmologies from which training simulations are drawn (Latin hypercube)."""

    Omega_m: Range
    Omega_b: Range
    h: Range
    n_s: Range
    sigma_8: Range

    @model_validator(mode="after")
    def _corners_are_cosmologies(self) -> Self:
        ranges = self.model_dump()
        for name, (low, high) in ranges.items():
            if low > high:
                raise ValueError(f"{name}: found [{low:g}, {high:g}], wanted the lower value first")
        for corner in itertools.product(*ranges.values()):
            try:
                CosmologyConfig(**dict(zip(ranges, corner, strict=True)))
            except ValidationError as error:
                raise ValueError(what_is_wrong(error, CosmologyConfig)) from None
        return self


class SimulationsConfig(Section):
    """Training simulations: converged runs that the trainer makes for itself."""

    directory: FilePath
    training: Integer = Field(ge=1)
    validation: Integer = Field(ge=1)
    cosmology: CosmologyRange
    linear_power: Literal["camb", "eisenstein_hu"] = "eisenstein_hu"
    box_size: BoxSize
    particles: Integer = Field(ge=8, le=1024)
    mesh: Integer
    seed: Integer = Field(ge=0, lt=2**62)
    method: Literal["nbody", "bullfrog"] = "nbody"
    """nbody: true in haloes. bullfrog: what a mesh converges to, with force_evaluations steps."""
    redshift: Number = Field(19.0, gt=0, le=1000)
    """Start of the simulations; they end at z = 0."""
    force_evaluations: Integer = Field(24, ge=12, le=4096)
    """Growth factors, uniform in (0, 1], at which trajectories are sampled; steps of bullfrog."""

    @model_validator(mode="after")
    def _mesh_fits(self) -> Self:
        check_mesh(self.particles, self.mesh)
        return self


class NetworkConfig(Section):
    """Size of the network and of its output."""

    channels: tuple[Annotated[Integer, Field(ge=1, le=4096)], ...] = (48, 96, 96)
    blocks: tuple[Annotated[Integer, Field(ge=0, le=100)], ...] = (1, 2, 2)
    blocks_up: tuple[Annotated[Integer, Field(ge=0, le=100)], ...] = (1, 1)
    time_functions: Integer = Field(5, ge=1, le=10)
    styles: tuple[Literal["Omega_m", "ln_sigma", "ln_spacing"], ...] = ("Omega_m",)
    """What modulates the blocks: Omega_m, the rms of the linear density on the lattice, spacing."""

    @model_validator(mode="after")
    def _levels_match(self) -> Self:
        if not len(self.channels) == len(self.blocks) == len(self.blocks_up) + 1:
            raise ValueError("wanted as many blocks as channels, and one fewer blocks_up")
        return self


class OptimiserConfig(Section):
    """Length and schedule of the training."""

    iterations: Integer = Field(ge=1)
    """May be raised later: the training then goes on from where its rates began to fall."""
    warmup: Integer = Field(100, ge=0)
    """Iterations in which rates rise."""
    decay: Number = Field(0.3, gt=0, le=1)
    """Share of the iterations, the last, in which rates fall to zero; between they are constant."""
    learning_rate: Number = Field(1e-3, gt=0)
    muon_learning_rate: Number = Field(0.02, gt=0)
    weight_decay: Number = Field(0.0, ge=0)
    checkpoint_every: Integer = Field(100, ge=1)
    seed: Integer = Field(0, ge=0)


class TrainConfig(Section):
    """Everything that defines a training."""

    simulations: SimulationsConfig
    network: NetworkConfig = NetworkConfig()
    optimiser: OptimiserConfig
    start: FilePath | None = None
    """Weights to begin with, of as many channels and blocks; without them, random ones."""
    weights: FilePath
    """The safetensors file to write; its checkpoint lies beside it until the end."""
    threads: Count = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the network's products, auto: bfloat16 where the
    hardware multiplies it; parameters and loss are float32."""

    @model_validator(mode="after")
    def _lattice_divides(self) -> Self:
        divisor = 2 ** len(self.network.channels)
        if self.simulations.particles % divisor:
            raise ValueError(
                f"simulations.particles: found {self.simulations.particles}, wanted a multiple of "
                f"{divisor} for {len(self.network.channels)} levels of network.channels"
            )
        return self
