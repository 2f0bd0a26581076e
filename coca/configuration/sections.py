"""The sections of a run's configuration, each checked by itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    Discriminator,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from coca.configuration.values import Boolean, FilePath, Integer, Number, Section
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import sigma_8_of
from coca.errors import ConfigError, short

if TYPE_CHECKING:
    from typing_extensions import Self

START_REDSHIFT = 19.0
MOST_SHELLS = 1000
"""Shells of a light cone."""
START_RANGE = 0.01, 1000.0
SPACINGS_A_SOFTENING = 40.0
"""Softening lengths in a particle spacing, by default."""
MOST_EARLY_W = -0.2
"""Most of w0 + wa, the equation of state of dark energy at early times."""


NO_SUCH_COSMOLOGY = {
    "Omega_nu": "it is m_nu / 93.14 eV / h^2, and part of Omega_m",
    "Omega_k": "space is flat",
    "Omega_Lambda": "it is 1 - Omega_m",
}
"""Keys that other codes have and a run cannot honour, with the reason."""
OTHER_NAMES = {
    "omk": "Omega_k",
}


class CosmologyConfig(Section):
    """Flat cosmology, as in `coca.cosmology.background.Cosmology`; one of sigma_8 and A_s."""

    silent: ClassVar[tuple[str, ...]] = ("sigma_8", "A_s", "w0", "wa", "m_nu")

    Omega_m: Number = Field(gt=0, le=1)
    Omega_b: Number = Field(ge=1e-6, le=1)
    h: Number = Field(gt=0.1, lt=3)
    n_s: Number = Field(gt=-1, lt=3)
    sigma_8: Number | None = Field(None, ge=1e-3, lt=5)
    """Linear rms density contrast in spheres of 8 Mpc/h at z = 0; none: what A_s gives."""
    A_s: Number | None = Field(None, ge=1e-12, le=1e-6)
    """Primordial power of curvature at 0.05/Mpc, from which linear_power.source makes sigma_8."""
    w0: Number = Field(-1.0, ge=-3, le=-1 / 3)
    """Dark energy has the equation of state w0 + wa (1 - a), and does not cluster."""
    wa: Number = Field(0.0, ge=-4, le=2)
    m_nu: Number = Field(0.0, ge=0, le=0.5)
    """Sum of the masses of three equal neutrinos in eV, which Omega_m and sigma_8 include. They are
    in the linear power at z = 0, of camb, and not in growth; docs/equations.md has the error."""

    @model_validator(mode="before")
    @classmethod
    def _can_be_simulated(cls, values: Any) -> Any:
        pairs: dict[str, Any] = values if isinstance(values, dict) else {}
        for key, value in pairs.items():
            reason = NO_SUCH_COSMOLOGY.get(OTHER_NAMES.get(key) or key)
            if reason is not None:
                raise ValueError(f"{key}: found {short(value)}, wanted no such key: {reason}")
        return values

    @model_validator(mode="after")
    def _baryons_are_matter(self) -> Self:
        if self.Omega_b >= self.Omega_m:
            raise ValueError(f"wanted Omega_b below Omega_m = {self.Omega_m}")
        return self

    @model_validator(mode="after")
    def _has_one_amplitude(self) -> Self:
        if (self.sigma_8 is None) == (self.A_s is None):
            found = "none" if self.A_s is None else f"{self.sigma_8} and {self.A_s}"
            raise ValueError(f"found {found}, wanted one of sigma_8 and A_s")
        return self

    @model_validator(mode="after")
    def _matter_comes_first(self) -> Self:
        if self.w0 + self.wa > MOST_EARLY_W:
            raise ValueError(
                f"found w0 + wa = {self.w0 + self.wa:g}, wanted at most {MOST_EARLY_W}, "
                "where dark energy is nothing at early times"
            )
        return self

    def build(self, source: str = "camb") -> Cosmology:
        """The cosmology with these parameters; errors as in `sigma_8_of`, which a source of linear
        power turns A_s into sigma_8 with."""
        sigma_8 = 1.0 if self.sigma_8 is None else self.sigma_8
        cosmology = Cosmology(
            self.Omega_m, self.Omega_b, self.h, self.n_s, sigma_8, self.w0, self.wa, self.m_nu
        )
        if self.A_s is None:
            return cosmology
        return replace(cosmology, sigma_8=sigma_8_of(self.A_s, cosmology, source))


def replaced(cosmology: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a cosmology with new values, of which sigma_8 or A_s takes the other's place."""
    new = {k: v for k, v in values.items() if v is not None}
    other = {"sigma_8": "A_s", "A_s": "sigma_8"}
    gone = {other[k] for k in new if k in other} - set(new)
    return {k: v for k, v in cosmology.items() if k not in gone} | dict(values)


class LinearPowerConfig(Section):
    """Source of the linear power spectrum, always normalised to sigma_8 at z = 0."""

    source: Literal["camb", "eisenstein_hu", "table"] = "camb"
    file: FilePath | None = None
    """Text table of k [h/Mpc] and P [(Mpc/h)^3], for source: table."""

    @model_validator(mode="after")
    def _table_has_file(self) -> Self:
        if (self.source == "table") != (self.file is not None):
            raise ValueError("wanted a file with source: table, and none otherwise")
        return self


class InitialConditionsConfig(Section):
    """Where the linear modes come from and when the integration starts."""

    silent: ClassVar[tuple[str, ...]] = ("f_NL", "generator")

    redshift: Number | None = Field(None, ge=START_RANGE[0], le=START_RANGE[1])
    """Redshift of the start; none: that of the snapshot, and 19 without one, see `start`."""
    generator: Literal["coca", "ngenic"] = "coca"
    """What draws the modes from the seed. ngenic: as N-GenIC and 2LPTic do, so that a seed of
    theirs gives their phases on any mesh; from 1 to 2^31 - 1."""
    fixed_amplitude: Boolean = False
    paired: Boolean = False
    f_NL: Number = Field(0.0, ge=-1e4, le=1e4)
    """Local non-Gaussianity of Bardeen's potential, see `coca.initial_conditions.primordial`."""
    file: FilePath | None = None
    """HDF5 with /white_noise (n, n, n) or /psi1 (3, n, n, n) [Mpc/h at D = 1], or white noise of
    monofonIC, MUSIC or GRAFIC, see docs/initial_conditions.md; paired turns its sign."""
    snapshot: FilePath | None = None
    """Gadget HDF5 snapshot of any code, in one file or many, on whose particles the run starts, see
    `coca.initial_conditions.from_snapshot`."""

    @model_serializer(mode="wrap")
    def _resolved(
        self, dump: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Records have the redshift of the start; what was set (exclude_unset) has it where it was
        said."""
        values = self._without_silent_defaults(dump)
        return values if info.exclude_unset else values | {"redshift": self.start}

    @model_validator(mode="after")
    def _files_have_their_own_modes(self) -> Self:
        if self.file is not None and self.snapshot is not None:
            raise ValueError("wanted one of file and snapshot")
        if self.snapshot is not None and self.f_NL:
            raise ValueError(
                f"found f_NL = {self.f_NL:g}, wanted none with snapshot, which has its modes"
            )
        if self.snapshot is not None and (self.fixed_amplitude or self.paired):
            raise ValueError(
                "wanted no fixed_amplitude or paired with snapshot: the snapshot has its modes"
            )
        if self.given is not None and self.generator != "coca":
            raise ValueError(
                f"found generator = {self.generator}, wanted none with {self.given}, which has "
                "its modes"
            )
        if self.file is not None and self.fixed_amplitude:
            raise ValueError("wanted no fixed_amplitude with file: the file has its modes")
        return self

    @property
    def start(self) -> float | None:
        """Redshift of the start; None where it is the snapshot's and not said."""
        return self.redshift if self.snapshot is not None else self.own_start

    @property
    def own_start(self) -> float:
        """Redshift of the start where no snapshot has one."""
        return START_REDSHIFT if self.redshift is None else self.redshift

    @property
    def given(self) -> Path | None:
        """Where the modes come from, if not from the seed."""
        return self.file or self.snapshot


class ForceConfig(Section):
    """How gravity is solved; docs/force.md has the error and the cost of each."""

    solver: Literal["pm", "p3m"] | None = None
    """pm: the mesh alone. p3m: with pairs of particles where the mesh leaves off. None: p3m with
    method: nbody, pm with others."""
    softening: Number | None = Field(None, gt=0)
    """Plummer-equivalent softening of pairs in Mpc/h, for p3m; none: 1/40 of the particle
    spacing."""
    deconvolve: Boolean = False
    """Divide out the windows of assignment and interpolation, for pm."""


class EmulatorConfig(Section):
    """The emulator of method: coca."""

    weights: FilePath | None = None
    """A safetensors file of coca train; none: the weights shipped with the package."""


Statistic = Literal[
    "power", "momentum", "displacement", "multipoles", "bispectrum", "pdf", "haloes",
    "density", "redshift_space",
]  # fmt: skip
"""Statistics of a snapshot; docs/statistics.md defines them."""


class PDFConfig(Section):
    """How the density is smoothed for its distribution, see `coca.statistics.density_pdf`."""

    window: Literal["top_hat", "gaussian"] = "top_hat"
    radii: tuple[Annotated[Number, Field(gt=0)], ...] | None = Field(None, min_length=1)
    """Mpc/h; none: 2, 4 and 8 cells of the mesh."""

    def check(self, key: str, box_size: float) -> None:
        """Raise ValueError, which names the radii by `key`, if one does not fit into the box."""
        if self.radii is not None and max(self.radii) >= box_size / 2:
            raise ValueError(
                f"{key}: found {max(self.radii):g}, wanted less than half the box, {box_size / 2:g}"
            )


SAME_REDSHIFT = 1e-9
"""Difference of redshifts that makes none: particles would be the same."""


class OutputConfig(Section):
    """What is written, and where."""

    directory: FilePath | None = None
    """Needed by run_sim.py; `coca.simulate` writes nothing."""
    redshifts: tuple[Number, ...] = (0.0,)
    """Redshifts of the outputs, from early to late; the run ends at the last."""
    snapshots: Boolean = True
    spectra: Boolean = True
    report: Boolean = True
    checkpoint_minutes: Number = Field(10.0, ge=0)
    """Minutes between checkpoints of a run under way, see `coca.run.checkpoint`; 0 for every
    step."""
    statistics: tuple[Statistic, ...] = ()
    """Statistics to write of every snapshot, on the first rank."""
    pdf: PDFConfig = PDFConfig()
    halo_particles: Boolean = False
    """Halo catalogues have their particles' ids too."""

    @model_validator(mode="after")
    def _statistics_have_snapshots(self) -> Self:
        if self.statistics and not self.snapshots:
            raise ValueError("output.statistics: wanted snapshots: true, of which they are")
        return self

    @model_validator(mode="after")
    def _redshifts_in_order(self) -> Self:
        z = self.redshifts
        pairs = itertools.pairwise(z)
        if not z or min(z) < 0 or any(late + SAME_REDSHIFT >= early for early, late in pairs):
            raise ValueError(
                f"output.redshifts: found {short(list(z))}, wanted one or more, decreasing, none "
                "below 0"
            )
        return self

    def needed_directory(self) -> Path:
        """The directory of a run with files.

        Raises
        ------
        ConfigError
            There is none.
        """
        if self.directory is None:
            raise ConfigError("output.directory: missing, wanted a directory")
        return self.directory


class ConeFootprint(Section):
    """A footprint about an axis, see `coca.light_cone.footprint`."""

    axis: tuple[Number, ...] = Field(min_length=2, max_length=3)
    """[x, y, z] of any length, or [longitude, latitude] in degrees: from x to y, and towards z."""
    radius: Number = Field(gt=0, le=180)
    """Opening angle from the axis to the edge, degrees."""

    @model_validator(mode="after")
    def _the_axis_is_a_direction(self) -> Self:
        if len(self.axis) == 3 and not any(self.axis):
            raise ValueError(f"axis: found {list(self.axis)}, wanted a direction")
        if len(self.axis) == 2 and not -90 <= self.axis[1] <= 90:
            raise ValueError(
                f"axis: found {list(self.axis)}, wanted a latitude of -90 to "
                "90 degrees after the longitude"
            )
        return self

    @property
    def direction(self) -> tuple[float, float]:
        """Longitude and latitude of the axis, degrees."""
        if len(self.axis) == 2:
            return self.axis[0], self.axis[1]
        x, y, z = self.axis
        return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


FootprintChoice = Annotated[
    Annotated[Literal["full", "octant"], Tag("(name)")] | Annotated[ConeFootprint, Tag("(cone)")],
    Discriminator(lambda v: "(cone)" if isinstance(v, (Mapping, ConeFootprint)) else "(name)"),
]
"""What is wrong is said of the one that was meant; tags in brackets are left out of keys."""


class LightConeConfig(Section):
    """The light cone of an observer, see `coca.light_cone.light_cone`."""

    observer: tuple[Number, Number, Number] | None = None
    """Mpc/h in the box; none: its centre."""
    z_max: Number = Field(gt=0, le=50)
    """Redshift of the farthest shell's far edge."""
    n_side: Integer = Field(512, ge=1, le=8192)
    """Resolution n_side of the HEALPix maps, a power of two."""
    shells: Integer = Field(24, ge=1, le=MOST_SHELLS)
    """Shells of equal comoving thickness from here to z_max."""
    every: Number | None = Field(None, ge=0.1)
    """Thickness of shells in Mpc/h in the place of their number; the last ends at z_max."""
    redshifts: tuple[Annotated[Number, Field(ge=0)], ...] | None = Field(None, min_length=2)
    """Edges of the shells in the place of equal ones, increasing, the last z_max."""
    footprint: FootprintChoice = "full"
    """octant: directions of positive x, y and z alone. Or an axis and a radius of a cone."""
    replicas: Literal["periodic", "rotated"] = "periodic"
    """Copies of the box beyond it: as they are, or each turned, reflected and shifted at random."""
    replica_seed: Integer | None = Field(None, ge=0, lt=2**63)
    """Seed of the turns of rotated replicas; none: seed."""
    momentum: Boolean = False
    """Maps of the sum of radial velocities too."""
    redshift_space: Boolean = False
    """Particles are counted where their redshifts put them, at chi + v_r / (aH)."""
    particles: Boolean = False
    """The particles themselves too, in files like Gadget's."""
    fits: Boolean = False
    """Each shell as a HEALPix map in FITS too; needs healpy."""

    @model_validator(mode="after")
    def _a_seed_is_of_something(self) -> Self:
        if self.replica_seed is not None and self.replicas == "periodic":
            raise ValueError(
                f"light_cone.replica_seed: found {self.replica_seed}, wanted none with "
                "light_cone.replicas: periodic, which are not random"
            )
        return self

    @model_validator(mode="after")
    def _edges_are_given_once(self) -> Self:
        given = [
            f"light_cone.{name}" for name in ("shells", "every", "redshifts")
            if name in self.model_fields_set and getattr(self, name) is not None
        ]  # fmt: skip
        if len(given) > 1 and self.every is not None:
            raise ValueError(f"{' and '.join(given)}: found more than one, wanted one of them")
        return self

    @model_validator(mode="after")
    def _maps_and_edges_can_be(self) -> Self:
        if self.n_side & (self.n_side - 1):
            raise ValueError(f"light_cone.n_side: found {self.n_side}, wanted a power of two")
        z = self.redshifts
        if z is not None and (z[-1] != self.z_max or any(a >= b for a, b in itertools.pairwise(z))):
            raise ValueError(
                f"light_cone.redshifts: found {short(z)}, wanted increasing ones, the last "
                f"z_max = {self.z_max:g}"
            )
        return self

    @property
    def z_min(self) -> float:
        """Redshift of the nearest shell's near edge."""
        return 0.0 if self.redshifts is None else self.redshifts[0]


class ReferenceConfig(Section):
    """A converged run of the same initial conditions to compare with."""

    method: Literal["nbody", "bullfrog"] = "nbody"
    """nbody: true in haloes. bullfrog: what the run's own force converges to, which with a mesh is
    about 10 % low in P at k = 1 h/Mpc."""
    force_evaluations: Integer | None = Field(None, ge=8, le=4096)
    """Steps of bullfrog, which is meant where they are given; none: 64."""

    @model_validator(mode="before")
    @classmethod
    def _steps_mean_bullfrog(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("force_evaluations") is not None:
            return {"method": "bullfrog"} | values
        return values

    @model_validator(mode="after")
    def _steps_are_bullfrogs(self) -> Self:
        if self.method == "nbody" and self.force_evaluations is not None:
            raise ValueError(
                f"reference.force_evaluations: found {self.force_evaluations}, wanted none with "
                "reference.method: nbody, which takes the steps it needs"
            )
        return self


class EnsembleConfig(Section):
    """Many runs that differ in their seeds, or in what a table says; see `coca.run.ensemble`."""

    seeds: tuple[Annotated[Integer, Field(ge=0, lt=2**63)], ...] | None = None
    """One run each."""
    realisations: Integer | None = Field(None, ge=1, le=100_000)
    """This many runs with seeds from `seed` on."""
    table: FilePath | None = None
    """Text with a line of names, of cosmology's keys and seed, and a line of numbers for each run;
    without a column seed they are `seed` and those after it."""
    ranks_per_simulation: Integer = Field(1, ge=1)
    """MPI ranks that share a run; the others do other runs meanwhile."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.seeds, self.realisations, self.table)) != 1:
            raise ValueError("ensemble: wanted one of seeds, realisations and table")
        if self.seeds is not None and len(set(self.seeds)) < max(len(self.seeds), 1):
            raise ValueError(f"ensemble.seeds: found {short(self.seeds)}, wanted different ones")
        return self
