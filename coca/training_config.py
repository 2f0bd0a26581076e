"""The frozen configurations of a training and of a fit of steps."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from coca.config import (
    BoxSize,
    CosmologyConfig,
    Count,
    EmulatorConfig,
    FilePath,
    ForceConfig,
    Integer,
    Number,
    Section,
    check_mesh,
)
from coca.config_file import one_line

if TYPE_CHECKING:
    from typing_extensions import Self

Range = tuple[Number, Number]
SUB_STEPPED = range(2, 7)
"""Numbers of steps with sub-steps: a single one is far from all orbits, more resolve them."""


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
                raise ValueError(one_line(error)) from None
        return self


class SimulationsConfig(Section):
    """Training simulations: BullFrog runs that the trainer makes for itself."""

    directory: FilePath
    training: Integer = Field(ge=1)
    validation: Integer = Field(ge=1)
    cosmology: CosmologyRange
    linear_power: Literal["camb", "eisenstein_hu"] = "eisenstein_hu"
    box_size: BoxSize
    particles: Integer = Field(ge=8, le=1024)
    mesh: Integer
    seed: Integer = Field(ge=0, lt=2**62)
    redshift: Number = Field(19.0, gt=0, le=1000)
    """Start of the simulations; they end at z = 0."""
    force_evaluations: Integer = Field(32, ge=12, le=4096)
    force: ForceConfig = ForceConfig()

    @model_validator(mode="after")
    def _mesh_fits(self) -> Self:
        check_mesh(self.particles, self.mesh, self.force)
        return self


class NetworkConfig(Section):
    """Size of the network and of its output."""

    channels: tuple[Annotated[Integer, Field(ge=1, le=4096)], ...] = (48, 96, 96)
    blocks: tuple[Annotated[Integer, Field(ge=0, le=100)], ...] = (1, 2, 2)
    blocks_up: tuple[Annotated[Integer, Field(ge=0, le=100)], ...] = (1, 1)
    time_functions: Integer = Field(5, ge=1, le=10)

    @model_validator(mode="after")
    def _levels_match(self) -> Self:
        if not len(self.channels) == len(self.blocks) == len(self.blocks_up) + 1:
            raise ValueError("wanted as many blocks as channels, and one fewer blocks_up")
        return self


class OptimiserConfig(Section):
    """Length and schedule of the training."""

    iterations: Integer = Field(ge=1)
    warmup: Integer = Field(100, ge=0)
    learning_rate: Number = Field(1e-3, gt=0)
    muon_learning_rate: Number = Field(0.02, gt=0)
    weight_decay: Number = Field(0.0, ge=0)
    checkpoint_every: Integer = Field(100, ge=1)
    seed: Integer = Field(0, ge=0)


class FitConfig(Section):
    """Everything that defines a fit of steps, see `coca.fitting`."""

    frame: Literal["lpt", "emulator"] = "lpt"
    emulator: EmulatorConfig = EmulatorConfig()
    simulations: Integer = Field(ge=2)
    """Realisations, on a Latin hypercube of cosmologies and spacings."""
    cosmology: CosmologyRange
    spacing: Range
    """Of the particles, Mpc/h; drawn uniformly in the logarithm."""
    particles: Integer = Field(ge=8, le=512)
    redshift: Number = Field(19.0, gt=0, le=1000)
    growth_factors: tuple[Number, ...] = (1.0, 0.7, 0.45)
    """Growth factors at which runs end."""
    reference_steps: Integer = Field(96, ge=32)
    """BullFrog steps of the simulations, uniform in D."""
    times: Integer = Field(32, ge=8)
    """Growth factors at which they are kept."""
    force_evaluations: Integer = Field(12, ge=1, le=64)
    """Largest number of steps to fit; all from 1."""
    counts: tuple[Integer, ...] = ()
    """Numbers of steps to fit; all others stay as they are in the table, which has to be there, of
    the same frame and ranges. Empty for all of them and a new table."""
    edges: dict[Integer, tuple[Number, ...]] = Field(default_factory=dict)
    """Inner edges of steps for some numbers of them, rising from 0 at the start to 1 at the end in
    D; for others see `coca.fitting.edge_fractions`."""
    phase: Number | None = Field(0.25, gt=0)
    """Squared phase beyond which particles have sub-steps, see `coca.orbits`, with two to six
    force evaluations; none for no sub-steps."""
    phases: dict[Integer, Annotated[Number, Field(gt=0)] | None] = Field(default_factory=dict)
    """The same for some numbers of them; null for no sub-steps with these."""
    nodes: Integer = Field(7, ge=2)
    """Nodes of nonlinearity."""
    iterations: Integer = Field(120, ge=1)
    """Of the fit of the last step to the density."""
    batch: Integer = Field(4, ge=1)
    """Simulations to each iteration, at one final growth factor each."""
    learning_rate: Number = Field(0.1, gt=0)
    seed: Integer = Field(ge=0, lt=2**62)
    table: FilePath
    """The safetensors file to write."""
    threads: Count = "auto"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_mesh(self.particles, 2 * self.particles, ForceConfig())
        if not 0 < self.spacing[0] <= self.spacing[1]:
            raise ValueError(
                f"spacing: found {self.spacing}, wanted two positive numbers, the lower first"
            )
        if not self.growth_factors or not all(0.2 <= D <= 1 for D in self.growth_factors):
            raise ValueError(
                f"growth_factors: found {self.growth_factors}, wanted values from 0.2 to 1"
            )
        for key, counts in (("counts", self.counts), ("edges", self.edges)):
            for count in counts:
                if not 1 <= count <= self.force_evaluations:
                    raise ValueError(
                        f"{key}: found {count}, wanted numbers from 1 to force_evaluations, "
                        f"{self.force_evaluations}"
                    )
        few = [count for count in SUB_STEPPED if count <= self.force_evaluations]
        for count in self.phases:
            if count not in few:
                raise ValueError(f"phases: found {count}, wanted some of {few}")
        for count, edges in self.edges.items():
            whole = (0.0, *edges, 1.0)
            if len(edges) != count - 1 or any(a >= b for a, b in itertools.pairwise(whole)):
                raise ValueError(
                    f"edges.{count}: found {edges}, wanted {count - 1} values between 0 and 1, "
                    "increasing"
                )
        runs = self.simulations * len(self.growth_factors)
        if self.batch > runs:
            raise ValueError(
                f"batch: found {self.batch}, wanted at most {runs}, the runs there are"
            )
        return self


class TrainConfig(Section):
    """Everything that defines a training."""

    simulations: SimulationsConfig
    network: NetworkConfig = NetworkConfig()
    optimiser: OptimiserConfig
    weights: FilePath
    """The safetensors file to write; its checkpoint lies beside it until the end."""
    threads: Count = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network's products, as in `EmulatorConfig`; parameters and loss are float32."""

    @model_validator(mode="after")
    def _lattice_divides(self) -> Self:
        divisor = 2 ** len(self.network.channels)
        if self.simulations.particles % divisor:
            raise ValueError(
                f"simulations.particles: found {self.simulations.particles}, wanted a multiple of "
                f"{divisor} for {len(self.network.channels)} levels of network.channels"
            )
        return self
