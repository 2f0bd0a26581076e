"""A finished run in memory: particles, statistics and figures of every output."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coca import __version__
from coca.configuration.run import Config
from coca.cosmology.background import Cosmology
from coca.errors import ConfigError, FileError, as_path, reason, short
from coca.files.snapshot_header import Header
from coca.files.snapshot_reader import Particles
from coca.files.snapshot_writer import (
    particle_mass,
    peculiar_velocities,
    wrapped_positions,
    write_snapshot,
)
from coca.gravity.mesh import Mesh
from coca.integration.error_estimate import Trust
from coca.integration.kicks import Evaluation
from coca.parallel.domain import Domain, Grid, own_threads
from coca.parallel.machine import check_memory
from coca.particles import Snapshot
from coca.results.run_spectra import Measurement, measure_spectra
from coca.run.simulation import Simulation
from coca.statistics import haloes, particle_spectra
from coca.statistics.spectra import Spectra

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, repr=False)
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

    config: Config
    """The configuration of the run."""
    cosmology: Cosmology
    domain: Domain
    snapshot: Snapshot
    """The particles in the variables of the integration."""

    @cached_property
    def ids(self) -> np.ndarray:
        """Lagrangian indices (N,) uint64, as ParticleIDs in snapshots."""
        return np.arange(self.displacement.shape[1], dtype=np.uint64)

    def power(self, mesh: int | None = None) -> Spectra:
        """Power spectrum of the density on a mesh of so many cells per dimension, by default that
        of the force."""
        return particle_spectra.power(self._grid(mesh), self._particles)

    def density(self, mesh: int | None = None) -> np.ndarray:
        """Density contrast delta on a mesh, by clouds in cells.

        Parameters
        ----------
        mesh : int, optional
            Cells per dimension; by default those of the force.

        Returns
        -------
        array (mesh, mesh, mesh) float32
            Cell (i, j, l) has its middle at (i, j, l) box_size / mesh.
        """
        grid = self._grid(mesh)
        with own_threads():
            field = Mesh(grid, grid.cells)
            field.paint(self.positions, ordered=False)
        mean = self.positions.shape[1] / grid.cells**3
        return np.ascontiguousarray(field.field[..., : grid.cells]) / np.float32(mean) - 1

    def haloes(self, linking_length: float = haloes.LINKING_LENGTH) -> haloes.Haloes:
        """Friends-of-friends haloes, the heaviest first; the linking length is in units of the mean
        distance between particles."""
        number = isinstance(linking_length, (int, float, np.number))
        if not number or not 0 < linking_length < 1:
            raise ConfigError(
                f"linking_length: found {short(linking_length)}, wanted a number between 0 and 1"
            )
        return haloes.find_haloes(self._particles, float(linking_length))

    def redshift_space(self, axis: int = 2) -> np.ndarray:
        """Positions in redshift space, array (3, N) float32 in [0, box_size), Mpc/h.

        Parameters
        ----------
        axis : int
            Along which a distant observer looks: 0, 1 or 2.
        """
        if not _is_whole(axis) or axis not in (0, 1, 2):
            raise ConfigError(f"axis: found {short(axis)}, wanted 0, 1 or 2")
        x = self.positions.copy()
        x[axis] = particle_spectra.redshift_space(self._particles)[axis]
        return x

    def save(self, path: Path | str, overwrite: bool = False) -> Path:
        """Write a Gadget HDF5 snapshot, as `coca run` does, and say where.

        Raises
        ------
        ConfigError
            The path is none, or `overwrite` is neither True nor False.
        FileError
            The file is there and is not to be overwritten, or cannot be written.
        """
        path = as_path("path", path)
        if not isinstance(overwrite, bool):
            raise ConfigError(f"overwrite: found {short(overwrite)}, wanted True or False")
        record = {"config": self.config.model_dump(mode="json"), "versions": {}}
        record["versions"]["coca"] = __version__
        try:
            if path.is_dir():
                raise FileError(f"path: found {path}, a directory, wanted the name of a file")
            if path.exists() and not overwrite:
                raise FileError(f"{path}: found a file, wanted overwrite=True to replace it")
            write_snapshot(path, self.domain, self.cosmology, self.snapshot, record)
        except OSError as error:
            raise FileError(f"{path}: cannot write: {reason(error)}") from None
        return path

    def plot(self) -> Figure:
        """A figure of the density, projected through a slab, and of the power spectrum."""
        from coca.statistics.plots import overview

        config, s = self.config, self.spectra
        title = f"z = {self.redshift:.3g}, {config.box_size:g} Mpc/h, {config.particles}³ particles"
        return overview(self.density(), config.box_size, s.k, s.P_a, self.linear_power, title)

    def _grid(self, mesh: int | None) -> Grid:
        config = self.config
        cells = config.mesh if mesh is None else mesh
        if not _is_whole(cells) or cells < 4 or cells % 2:
            raise ConfigError(f"mesh: found {short(mesh)}, wanted an even whole number from 4 on")
        check_memory("mesh", 8 * int(cells) ** 3, "a coarser mesh")  # it, and its contrast or modes
        return Grid(config.box_size, int(cells), self.domain.threads)

    @cached_property
    def _particles(self) -> Particles:
        """The particles as readers of snapshots give them."""
        config, cosmology, domain = self.config, self.cosmology, self.domain
        header = Header(
            config.box_size, 1.0 / (1.0 + self.redshift), cosmology.Omega_m, cosmology.h,
            len(self.ids), particle_mass(cosmology, domain), cosmology.w0, cosmology.wa,
        )  # fmt: skip
        return Particles(header, self.positions, self.velocities, self.ids)

    def __repr__(self) -> str:
        return f"<coca.Output: {len(self.ids)} particles at z = {self.redshift:.3g}>"


@dataclass(frozen=True, repr=False)
class Result:
    """A finished simulation. Its methods are those of the last output."""

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

    def power(self, mesh: int | None = None) -> Spectra:
        """Power spectrum, see `Output.power`."""
        return self.last.power(mesh)

    def density(self, mesh: int | None = None) -> np.ndarray:
        """Density contrast on a mesh, see `Output.density`."""
        return self.last.density(mesh)

    def haloes(self, linking_length: float = haloes.LINKING_LENGTH) -> haloes.Haloes:
        """Friends-of-friends haloes, see `Output.haloes`."""
        return self.last.haloes(linking_length)

    def redshift_space(self, axis: int = 2) -> np.ndarray:
        """Positions in redshift space, see `Output.redshift_space`."""
        return self.last.redshift_space(axis)

    def save(self, path: Path | str, overwrite: bool = False) -> Path:
        """Write a snapshot, see `Output.save`."""
        return self.last.save(path, overwrite)

    def plot(self) -> Figure:
        """A figure, see `Output.plot`."""
        return self.last.plot()

    def __repr__(self) -> str:
        return f"<coca.Result: {'; '.join(f'{k} {v}' for k, v in self._summary().items())}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(k)}</th>"
            f"<td style='text-align:left'>{escape(v)}</td></tr>"
            for k, v in (self._summary() | {"trust": self.trust.statement}).items()
        )
        notes = "".join(f"<p>{escape(line)}</p>" for line in self.warnings)
        return f"<table>{rows}</table>{notes}"

    def _summary(self) -> dict[str, str]:
        c = self.config
        return {
            "box": f"{c.box_size:g} Mpc/h, {c.particles}³ particles, {c.modes}",
            "method": self.method,
            "outputs": "z = " + ", ".join(f"{output.redshift:.3g}" for output in self.outputs),
            "took": f"{sum(self.seconds.values()):.1f} s",
        }


def _is_whole(value: object) -> bool:
    """Whether it is a whole number of Python or NumPy; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def result_of(simulation: Simulation) -> Result:
    """What a simulation gave, with its spectra."""
    run, measured = simulation.run, measure_spectra(simulation)
    return Result(
        simulation.config,
        tuple(_output(simulation, i, spectra) for i, spectra in enumerate(measured)),
        run.evaluations,
        run.trust,
        run.method.describe(len(run.steps)),
        tuple(simulation.warnings),
        dict(simulation.clock.seconds),
    )


def _output(simulation: Simulation, index: int, measured: Measurement) -> Output:
    domain, snapshot = simulation.domain, simulation.snapshots[index]
    return Output(
        measured.redshift,
        snapshot.D,
        snapshot.disp,
        np.ascontiguousarray(wrapped_positions(domain, domain.add_lattice(snapshot.disp)).T),
        np.ascontiguousarray(peculiar_velocities(simulation.cosmology, snapshot.D, snapshot.vel).T),
        measured.run,
        measured.frame,
        measured.linear,
        simulation.reference[index].disp if simulation.reference else None,
        simulation.config,
        simulation.cosmology,
        domain,
        snapshot,
    )
