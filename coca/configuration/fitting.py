"""The frozen configuration of a fit of steps."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from coca.configuration.run import check_mesh
from coca.configuration.sections import EmulatorConfig
from coca.configuration.training import CosmologyRange, Range
from coca.configuration.values import Count, FilePath, Integer, Number, Section

if TYPE_CHECKING:
    from typing_extensions import Self

SUB_STEPPED = range(2, 7)
"""Numbers of steps with sub-steps: a single one is far from all orbits, more resolve them."""


class FitConfig(Section):
    """Everything that defines a fit of steps, see `coca.step_fitting.fit`."""

    frame: Literal["lpt", "emulator"] = "lpt"
    emulator: EmulatorConfig = EmulatorConfig()
    simulations: Integer = Field(ge=2)
    """Realisations, on a Latin hypercube of cosmologies and spacings."""
    held_out: Integer = Field(8, ge=0)
    """Further realisations, of another Latin hypercube, on which what was fitted is measured."""
    cosmology: CosmologyRange
    spacing: Range
    """Range of the particle spacing in Mpc/h; drawn uniformly in the logarithm."""
    particles: Integer = Field(ge=8, le=512)
    mesh: Integer
    """Force mesh cells per dimension of the runs that are fitted: 2 or 3 times particles."""
    redshift: Number = Field(19.0, gt=0, le=1000)
    growth_factors: tuple[Number, ...] = (1.0, 0.7, 0.45)
    """Growth factors at which runs end."""
    truth: Literal["nbody", "bullfrog"] = "nbody"
    """What runs are to end as. nbody: true in haloes. bullfrog: what the mesh's force converges
    to."""
    steps: FilePath | None = None
    """A table of steps fitted to bullfrog, on the same frame. With it these steps stay as they
    are, and a network that reads out their end, `coca.integration.read_out`, is fitted to `truth`,
    for `counts` or all that it has."""
    truth_steps: Integer = Field(48, ge=32)
    """Long steps of nbody, or steps of bullfrog, uniform in D."""
    times: Integer = Field(16, ge=8)
    """Growth factors, uniform in (0, 1], at which simulations are kept, beside those at which runs
    end."""
    simulations_directory: FilePath = Path("runs/simulations")
    """Where the simulations are kept; those that are there already are not made again."""
    force_evaluations: Integer = Field(12, ge=1, le=64)
    """Largest number of steps to fit; all from 1."""
    counts: tuple[Integer, ...] = ()
    """Numbers of steps to fit; all others stay as they are in the table, if it is there, of the
    same frame, truth and ranges. Empty for all of them and a new table."""
    boundaries: dict[Integer, tuple[Number, ...]] = Field(default_factory=dict)
    """Inner boundaries of steps for some numbers of them, rising from 0 at the start to 1 at the
    end in D; for others see `coca.step_fitting.fit.boundary_fractions`."""
    exponent: Annotated[Number, Field(gt=0, le=4)] | None = None
    """p of the boundaries (i/n)^p of n steps, all n alike: the first of many steps are then those
    of fewer, which read them out (`coca.integration.fitted_table.FittedSteps.shorter`). By default
    each n has what suits it best."""
    substep_threshold: Number | None = Field(0.25, gt=0)
    """Squared phase beyond which particles have sub-steps, see `coca.integration.substeps`, with
    two to six force evaluations; none for no sub-steps."""
    substep_thresholds: dict[Integer, Annotated[Number, Field(gt=0)] | None] = Field(
        default_factory=dict
    )
    """The same for some numbers of force evaluations, any; null for no sub-steps with these."""
    nodes: Integer = Field(7, ge=2)
    """Nodes of ln(D_end sigma), see `coca.integration.linear_density`."""
    iterations: Integer = Field(120, ge=1)
    """Iterations of the fit of the last step to the density."""
    batch: Integer = Field(4, ge=1)
    """Simulations to each iteration, at one final growth factor each."""
    learning_rate: Number = Field(0.1, gt=0)
    seed: Integer = Field(ge=0, lt=2**62)
    table: FilePath
    """The safetensors file to write."""
    threads: Count = "auto"

    @property
    def refinement(self) -> int:
        """Mesh cells to a particle spacing."""
        return self.mesh // self.particles

    @model_validator(mode="after")
    def _possible(self) -> Self:
        check_mesh(self.particles, self.mesh)
        if self.mesh == self.particles:
            raise ValueError(
                f"mesh: found {self.mesh}, wanted 2 or 3 times particles = {self.particles}"
            )
        if not 0 < self.spacing[0] <= self.spacing[1]:
            raise ValueError(
                f"spacing: found {self.spacing}, wanted two positive numbers, the lower first"
            )
        if not self.growth_factors or not all(0.2 <= D <= 1 for D in self.growth_factors):
            raise ValueError(
                f"growth_factors: found {self.growth_factors}, wanted values from 0.2 to 1"
            )
        by_count = ("counts", "boundaries", "substep_thresholds")
        for key, counts in ((key, getattr(self, key)) for key in by_count):
            for count in counts:
                if not 1 <= count <= self.force_evaluations:
                    raise ValueError(
                        f"{key}: found {count}, wanted numbers from 1 to force_evaluations, "
                        f"{self.force_evaluations}"
                    )
        for count, inner in self.boundaries.items():
            whole = (0.0, *inner, 1.0)
            if len(inner) != count - 1 or any(a >= b for a, b in itertools.pairwise(whole)):
                raise ValueError(
                    f"boundaries.{count}: found {inner}, wanted {count - 1} values between 0 and "
                    "1, increasing"
                )
        runs = self.simulations * len(self.growth_factors)
        if self.batch > runs:
            raise ValueError(
                f"batch: found {self.batch}, wanted at most {runs}, the runs there are"
            )
        return self
