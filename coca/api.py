"""Simulations for notebooks: `coca.simulate`, with arrays in and out and no files."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numba
import numpy as np

from coca.configuration.loading import make_config
from coca.configuration.run import Config, replaced
from coca.cosmology.linear_power import linear_power
from coca.emulator.user_emulator import OwnEmulator
from coca.errors import ConfigError
from coca.files.snapshot_writer import peculiar_velocities, wrapped_positions
from coca.initial_conditions.linear_fields import InitialConditions
from coca.integration.error_estimate import Trust
from coca.integration.kicks import Evaluation
from coca.parallel.domain import Domain
from coca.results.run_spectra import Measurement, measure
from coca.run import simulation
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.statistics.spectra import Spectra

QUIJOTE = {"Omega_m": 0.3175, "Omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834}
"""The fiducial cosmology of the Quijote simulations."""
SPACING = 2.0
"""Mpc/h between particles where no box size is given: that of the shipped emulator."""


@dataclass(frozen=True)
class Output:
    """All particles at one redshift, in Lagrangian order: i n^2 + j n + l started from
    q = (i, j, l) box_size / n."""

    redshift: float
    D: float
    """Growth factor, 1 today."""
    displacement: np.ndarray
    """x - q, array (3, N) float32, Mpc/h."""
    positions: np.ndarray
    """Array (3, N) float32 in [0, box_size), Mpc/h."""
    velocities: np.ndarray
    """Peculiar velocities, array (3, N) float32, km/s."""
    spectra: Spectra
    """Power of the density, with the reference as b where there is one."""
    frame_spectra: Spectra | None
    """The same for particles that follow the frame alone; None for a frame at rest."""
    linear_power: np.ndarray
    """Linear theory at spectra.k, (Mpc/h)^3."""
    reference: np.ndarray | None
    """Displacement x - q of the reference run, array (3, N) float32, Mpc/h, or None."""

    @cached_property
    def ids(self) -> np.ndarray:
        """Lagrangian indices (N,) uint64, as ParticleIDs in snapshots."""
        return np.arange(self.displacement.shape[1], dtype=np.uint64)


@dataclass(frozen=True)
class Result:
    """A finished simulation."""

    config: Config
    outputs: tuple[Output, ...]
    """One for each of config.output.redshifts."""
    evaluations: list[Evaluation]
    """What each force evaluation showed of the frame; none for BullFrog and FastPM."""
    trust: Trust
    """The error that is left, estimated, Mpc/h, and a sentence."""
    method: str
    """Frame and kicks of the run, in words."""
    warnings: tuple[str, ...]
    seconds: dict[str, float]
    """Wall time by stage."""

    @property
    def last(self) -> Output:
        """The output at the lowest redshift."""
        return self.outputs[-1]

    @property
    def redshift(self) -> float:
        """Redshift of the last output."""
        return self.last.redshift

    @property
    def displacement(self) -> np.ndarray:
        """x - q of the last output, array (3, N) float32, Mpc/h."""
        return self.last.displacement

    @property
    def positions(self) -> np.ndarray:
        """Positions at the last output, array (3, N) float32 in [0, box_size), Mpc/h."""
        return self.last.positions

    @property
    def velocities(self) -> np.ndarray:
        """Peculiar velocities of the last output, array (3, N) float32, km/s."""
        return self.last.velocities

    @property
    def ids(self) -> np.ndarray:
        """Lagrangian indices (N,) uint64."""
        return self.last.ids

    @property
    def spectra(self) -> Spectra:
        """Power of the density at the last output, with the reference as b where there is one."""
        return self.last.spectra


def simulate(config: Config | None = None, *, quiet: bool = True, **values: Any) -> Result:
    """Run a simulation in this process; nothing is written to output.directory.

    Parameters
    ----------
    config : Config, optional
        From `coca.load_config` or `coca.make_config`; without one, the defaults of docs/python.md.
    quiet : bool
        Print nothing.
    **values
        Keys of the configuration, which replace its values or the defaults; sections are
        dictionaries, of which only the keys that are given are replaced. `emulator` may also be a
        `coca.OwnEmulator`.

    Returns
    -------
    Result

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted.
    """
    own = values.get("emulator") if isinstance(values.get("emulator"), OwnEmulator) else None
    config = complete(config, values | {"emulator": {}} if own else values)
    plan = make_plan(config, own=own)
    with own_threads():
        done = simulation.run_plan(plan, Progress(quiet))
        outputs = tuple(_output(done, i, measured) for i, measured in enumerate(measure(done)))
    return Result(
        config,
        outputs,
        done.run.evaluations,
        done.run.trust,
        done.run.method.describe(len(done.run.steps)),
        tuple(done.warnings),
        dict(done.clock.seconds),
    )


def make_initial_conditions(config: Config | None = None, **values: Any) -> InitialConditions:
    """The linear modes and displacements that `simulate` starts from, given the same arguments."""
    config = complete(config, values)
    plan, source, cosmology = make_plan(config), config.linear_power, config.build_cosmology()
    D_start, _ = simulation.growth_factors(cosmology, plan.redshift, ())
    with own_threads():
        domain = Domain(config.box_size, config.particles, plan.threads)
        power = linear_power(cosmology, source.source, source.file)
        return simulation.make_initial_conditions(config, domain, power, D_start)


def complete(config: Config | None, values: dict[str, Any]) -> Config:
    """The configuration of a run without files, from one given or the defaults, and values."""
    base = config.model_dump() if config is not None else _defaults(values)
    for key, value in values.items():
        section = base.get(key)
        if isinstance(section, dict) and isinstance(value, dict):
            merge = replaced if key == "cosmology" else operator.or_
            base[key] = merge(section, value)
        else:
            base[key] = value
    made = make_config(base, Config, "coca.simulate")
    if made.ensemble is not None:
        raise ConfigError("ensemble: found one, wanted none: coca.simulate makes a single run")
    return made.model_copy(update={"output": made.output.model_copy(update={"directory": None})})


def _defaults(values: dict[str, Any]) -> dict[str, Any]:
    """What is taken where neither a configuration nor a value says otherwise."""
    particles = values.get("particles", 64)
    whole = particles if type(particles) is int else 64
    return {
        "cosmology": QUIJOTE,
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": SPACING * whole,
        "particles": particles,
        "mesh": 2 * whole,
        "seed": 0,
        "force_evaluations": "auto" if "tolerance" in values else 4,
    }


@contextmanager
def own_threads() -> Iterator[None]:
    """Leave numba's number of threads as it was."""
    before = numba.get_num_threads()
    try:
        yield
    finally:
        numba.set_num_threads(before)


def _output(done: simulation.Simulation, index: int, measured: Measurement) -> Output:
    domain, snapshot = done.domain, done.snapshots[index]
    return Output(
        measured.redshift,
        snapshot.D,
        snapshot.disp,
        np.ascontiguousarray(wrapped_positions(domain, domain.add_lattice(snapshot.disp)).T),
        np.ascontiguousarray(peculiar_velocities(done.cosmology, snapshot.D, snapshot.vel).T),
        measured.run,
        measured.frame,
        measured.linear,
        done.reference[index].disp if done.reference else None,
    )
