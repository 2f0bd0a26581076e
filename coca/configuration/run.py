"""The frozen configuration of a run; `coca.configuration.loading` reads it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from coca.configuration.sections import (
    SPACINGS_A_SOFTENING,
    CosmologyConfig,
    EmulatorConfig,
    EnsembleConfig,
    ForceConfig,
    InitialConditionsConfig,
    LightConeConfig,
    LinearPowerConfig,
    OutputConfig,
    ReferenceConfig,
)
from coca.configuration.values import (
    BoxSize,
    Count,
    Evaluations,
    FilePath,
    Integer,
    Number,
    Section,
    check_all,
)
from coca.cosmology.background import Cosmology

if TYPE_CHECKING:
    from typing_extensions import Self

MethodName = Literal["coca", "fitted", "cola", "bullfrog", "fastpm", "pm", "nbody"]
FRAMES = {"coca": "emulator", "fitted": "lpt", "cola": "lpt"}
"""Frames of reference of methods; the others have none."""
WITHOUT_ESTIMATE = "bullfrog", "fastpm", "nbody"
"""Methods that do not measure how wrong a frame is."""

LEAST_STEP = 1e-6
"""Relative difference in 1 + z of a run's start and end."""
MOST_OF_NGENIC = 2**31 - 1
"""Largest seed of initial_conditions.generator: ngenic."""
LEAST_MESH = 5
"""Cells per dimension, as many as the central differences of the potential span."""


def first_output(start: float) -> float:
    """The highest redshift of an output of a run that starts at redshift `start`."""
    return start - LEAST_STEP * (1.0 + start)


def check_mesh(particles: int, mesh: int) -> None:
    """Raise ValueError if a mesh, both per dimension, does not suit the particles."""
    if particles % 2:
        raise ValueError(f"particles: found {particles}, wanted an even number")
    if mesh not in (particles, 2 * particles, 3 * particles):
        raise ValueError(f"mesh: found {mesh}, wanted 1, 2 or 3 times particles = {particles}")
    if mesh < LEAST_MESH:
        raise ValueError(
            f"mesh: found {mesh}, wanted {LEAST_MESH} cells or more for the central differences "
            "of the potential"
        )


class Config(Section):
    """Everything that defines a run. Lengths in Mpc/h."""

    silent: ClassVar[tuple[str, ...]] = ("light_cone",)

    cosmology: CosmologyConfig
    linear_power: LinearPowerConfig = LinearPowerConfig()
    box_size: BoxSize
    particles: Integer = Field(ge=4, le=8192, multiple_of=2)
    """Per dimension."""
    mesh: Integer = Field(ge=4)
    """Force mesh cells per dimension: 1, 2 or 3 times particles."""
    seed: Integer = Field(ge=0, lt=2**63)
    initial_conditions: InitialConditionsConfig = InitialConditionsConfig()
    force: ForceConfig = ForceConfig()
    method: MethodName = "fitted"
    """fitted: fitted steps in the frame of 2LPT. coca: fitted steps in the emulator's. cola:
    explicit kicks in the frame of 2LPT (Tassev et al. 2013). bullfrog, fastpm, pm: leapfrogs
    without a frame, consistent with 2LPT, consistent with Zel'dovich, and plain. nbody: the
    converged run, P3M with steps of each particle's own."""
    emulator: EmulatorConfig = EmulatorConfig()
    table: FilePath | None = None
    """Fitted steps of methods coca and fitted, a safetensors file of coca fit; none: those shipped
    with the package."""
    force_evaluations: Evaluations
    """Number of force evaluations, or auto: as few as the tolerance lets. With method: nbody number
    of long steps from D = 0 to 1, auto for what converges."""
    tolerance: Number | None = Field(None, gt=0)
    """Estimated rms position error per component to reach with force_evaluations: auto."""
    output: OutputConfig = OutputConfig()
    light_cone: LightConeConfig | None = None
    reference: ReferenceConfig | None = None
    ensemble: EnsembleConfig | None = None
    threads: Count = "auto"
    """Threads of every rank; auto: the cores that its machine has for it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the network runs; ranks of one machine take turns at its GPUs."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        """All that does not fit together, at once."""
        check_all(
            self._check_power,
            self._check_seed,
            lambda: check_mesh(self.particles, self.mesh),
            lambda: self.output.pdf.check("output.pdf.radii", self.box_size),
            self._check_start,
            self._check_ensemble,
            self._check_method,
            self._check_force,
            self._check_light_cone,
            self._check_tolerance,
        )
        return self

    def _check_power(self) -> None:
        """Raise ValueError for a cosmology that the linear power does not know."""
        if self.cosmology.A_s is not None and self.linear_power.source == "table":
            raise ValueError(
                f"cosmology.A_s: found {self.cosmology.A_s:g}, wanted sigma_8 with "
                "linear_power.source: table, whose amplitude is not used"
            )
        if self.cosmology.m_nu and self.linear_power.source != "camb":
            raise ValueError(
                f"cosmology.m_nu: found {self.cosmology.m_nu:g}, wanted linear_power.source: camb, "
                f"as {self.linear_power.source} does not know them"
            )

    def _check_seed(self) -> None:
        """Raise ValueError for a seed that the generator does not know."""
        if self.initial_conditions.generator == "ngenic" and not 1 <= self.seed <= MOST_OF_NGENIC:
            raise ValueError(
                f"seed: found {self.seed}, wanted 1 to {MOST_OF_NGENIC} with "
                "initial_conditions.generator: ngenic, whose seeds have 31 bits, and 0 means 1"
            )

    def _check_start(self) -> None:
        """Raise ValueError for outputs before the start."""
        start = self.initial_conditions.start
        if start is not None and self.output.redshifts[0] > first_output(start):
            raise ValueError(
                f"output.redshifts: found {self.output.redshifts[0]}, wanted all below "
                f"initial_conditions.redshift = {start}"
            )

    def _check_ensemble(self) -> None:
        """Raise ValueError for runs that would be the same."""
        given = self.initial_conditions.given
        if given is not None and self.ensemble is not None and self.ensemble.table is None:
            raise ValueError(
                f"ensemble: wanted a table, or no seeds with {given}: whatever the seed, runs from "
                "its modes are the same"
            )

    def _check_tolerance(self) -> None:
        """Raise ValueError for a tolerance without an error to estimate, or the reverse."""
        auto, given = self.force_evaluations == "auto", self.tolerance is not None
        if self.method == "nbody":
            if given:
                raise ValueError(
                    f"tolerance: found {self.tolerance}, wanted none with method: nbody, which "
                    "converges"
                )
        elif auto and self.method in WITHOUT_ESTIMATE:
            raise ValueError(
                f"force_evaluations: found auto, wanted a number with method: {self.method}, which "
                "has no error estimate"
            )
        elif auto and not given:
            raise ValueError(
                "tolerance: missing, wanted a number of Mpc/h with force_evaluations: auto"
            )
        elif given and not auto:
            raise ValueError(
                f"tolerance: found {self.tolerance}, wanted none but with force_evaluations: auto"
            )

    def _check_method(self) -> None:
        """Raise ValueError for keys that the method does not know."""
        if self.method not in FRAMES and self.force_evaluations == 0:
            raise ValueError(
                f"force_evaluations: found 0, wanted 1 or more with method: {self.method}, where "
                "nothing else moves the particles"
            )
        if self.method != "coca" and self.emulator.weights is not None:
            raise ValueError(
                f"emulator.weights: found {self.emulator.weights}, wanted none with method: "
                f"{self.method}, which has no network"
            )
        if self.method not in ("coca", "fitted") and self.table is not None:
            raise ValueError(
                f"table: found {self.table}, wanted none with method: {self.method}, whose steps "
                "are not fitted"
            )

    def _check_light_cone(self) -> None:
        """Raise ValueError for a light cone that is not in the run or its box."""
        cone, start = self.light_cone, self.initial_conditions.start
        if cone is None:
            return
        if start is not None and cone.z_max > first_output(start):
            raise ValueError(
                f"light_cone.z_max: found {cone.z_max:g}, wanted it below "
                f"initial_conditions.redshift = {start:g}"
            )
        if self.output.redshifts[-1] > cone.z_min:
            raise ValueError(
                f"output.redshifts: found {self.output.redshifts[-1]:g} last, wanted the run to go "
                f"on to z = {cone.z_min:g}, where the light cone ends"
            )
        if any(not 0 <= x <= self.box_size for x in cone.observer or ()):
            raise ValueError(
                f"light_cone.observer: found {list(cone.observer or ())}, wanted a place in the "
                f"box of {self.box_size:g} Mpc/h"
            )

    def _check_force(self) -> None:
        """Raise ValueError for keys of the force that its solver does not know."""
        if self.method == "nbody" and self.solver == "pm":
            raise ValueError("force.solver: found pm, wanted p3m with method: nbody")
        if self.solver == "pm" and self.force.softening is not None:
            raise ValueError(
                f"force.softening: found {self.force.softening}, wanted none with force.solver: pm"
            )
        if self.solver == "p3m" and self.force.deconvolve:
            raise ValueError("force.deconvolve: found true, wanted false with force.solver: p3m")

    def build_cosmology(self) -> Cosmology:
        """The cosmology, its sigma_8 from linear_power.source where A_s is given.

        Raises
        ------
        ConfigError
            That source cannot tell.
        """
        return self.cosmology.build(self.linear_power.source)

    @property
    def modes(self) -> str:
        """Where the linear modes come from, in words."""
        options = self.initial_conditions
        if options.given is not None:
            return str(options.given)
        return f"seed {self.seed}" + (" of N-GenIC" if options.generator == "ngenic" else "")

    @property
    def solver(self) -> str:
        """The force: pm or p3m."""
        return self.force.solver or ("p3m" if self.method == "nbody" else "pm")

    @property
    def softening(self) -> float:
        """Plummer-equivalent softening of pairs, Mpc/h."""
        return self.force.softening or self.box_size / self.particles / SPACINGS_A_SOFTENING

    @property
    def frame(self) -> str:
        """The method's frame of reference: emulator, lpt or rest."""
        return FRAMES.get(self.method, "rest")

    @property
    def wanted_error(self) -> float:
        """The tolerance, Mpc/h; without one infinity, which any error is below."""
        return math.inf if self.tolerance is None else self.tolerance
