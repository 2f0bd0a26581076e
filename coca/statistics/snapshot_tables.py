"""The tables and figures of a snapshot's statistics.

Each statistic gives a table (text, or HDF5 for haloes) and a figure; several snapshots are also
correlated with the first. docs/statistics.md has the definitions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from coca.configuration.loading import make_config
from coca.configuration.sections import CosmologyConfig, OutputConfig, Statistic
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import linear_power
from coca.errors import CocaError, FileError
from coca.files.snapshot_reader import Particles, read_particles
from coca.files.tables import write_columns, write_table
from coca.parallel.domain import Grid
from coca.statistics import bispectrum, density_pdf, haloes
from coca.statistics.fields import density_field
from coca.statistics.halo_properties import halo_properties
from coca.statistics.particle_spectra import (
    displacement_power,
    momentum_power,
    multipoles,
    power,
    redshift_space,
)
from coca.statistics.plots import Curve, Panel, write_figure
from coca.statistics.spectra import Spectra, density_modes, spectra

POWER, WAVENUMBER = "(Mpc/h)^3", "k [h/Mpc]"


class Written(NamedTuple):
    """What was written of snapshots."""

    paths: list[Path]
    remarks: list[str]
    """What a snapshot has not, and numbers of haloes."""

    def add(self, other: Written) -> None:
        """Have what was written later, too."""
        self.paths.extend(other.paths)
        self.remarks.extend(other.remarks)


def analyse(
    snapshots: dict[str, Path], out: Path, wanted: OutputConfig, mesh: int, threads: int
) -> Written:
    """Write the statistics of snapshots of one box, and their correlation with the first.

    Parameters
    ----------
    snapshots : dict
        By the name with which their files begin.
    out : Path
        An existing directory.
    wanted : OutputConfig
        Which statistics, and how.
    mesh : int
        Cells per dimension.
    threads : int

    Returns
    -------
    Written
    """
    written, first = Written([], []), None
    for name, path in snapshots.items():
        particles = read_particles(path)
        grid = Grid(particles.header.box_size, mesh, threads)
        written.add(OneSnapshot(name, path, particles, grid, out, wanted).write())
        if len(snapshots) > 1:
            delta_k = density_modes(grid, particles.x, grid.cells, ordered=False)
            if first is None:
                first, delta_first = name, delta_k
            else:
                both = (name, delta_k), (first, delta_first)
                written.paths.extend(write_correlation(grid, out, *both))
    return written


class OneSnapshot:
    """What is written of a snapshot.

    Parameters
    ----------
    name : str
        With which its files begin.
    path : Path
    particles : Particles
    grid : Grid
    out : Path
        An existing directory.
    wanted : OutputConfig
        Which statistics, and how.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        particles: Particles,
        grid: Grid,
        out: Path,
        wanted: OutputConfig,
    ):
        self._name, self._path, self._out, self._wanted = name, path, out, wanted
        self._particles, self._grid = particles, grid
        header = particles.header
        self._remarks = [f"{name}: {line}" for line in header.remarks]
        self._title = (
            f"{name}: z = {header.redshift:.4g}, box {header.box_size:g} Mpc/h, "
            f"{header.particles} particles, mesh {grid.cells}"
        )

    def write(self) -> Written:
        """Write the statistics that are wanted."""
        kinds: dict[Statistic, Callable[[], list[Path]]] = {
            "power": self._power,
            "momentum": self._momentum,
            "displacement": self._displacement,
            "multipoles": self._multipoles,
            "bispectrum": self._bispectrum,
            "pdf": self._pdf,
            "haloes": self._haloes,
            "density": self._density,
            "redshift_space": self._redshift_space,
        }
        paths = []
        for statistic in self._wanted.statistics:
            try:
                paths += kinds[statistic]()
            except FileError as error:
                self._remarks.append(f"{self._name}: left out {error}")
        return Written(paths, self._remarks)

    def _power(self) -> list[Path]:
        s = power(self._grid, self._particles)
        columns = _spectrum_columns(s, POWER)
        shot = self._grid.box_size**3 / self._particles.header.particles
        # P_a of a Gaussian field scatters by this over boxes, its modes being half of those counted
        error = s.P_a * np.sqrt(2.0 / s.modes)
        columns["error"] = (POWER, error)
        curves = [Curve("P(k), scatter of boxes", s.k, s.P_a, error, points=False)]
        try:
            linear = self._linear_power(s.k)
            columns["P_linear"] = (POWER, linear)
            curves.append(Curve("linear theory", s.k, linear))
        except CocaError as reason:
            self._remarks.append(f"{self._name}: left out linear theory: {reason}")
        curves.append(Curve("1 / n", s.k, np.full(len(s.k), shot)))
        return self._files("power", columns, [Panel(curves, WAVENUMBER, "P(k) [(Mpc/h)³]")])

    def _linear_power(self, k: np.ndarray) -> np.ndarray:
        """Linear theory at the snapshot's redshift, (Mpc/h)^3."""
        config = _run_config(self._path)
        cosmology, source = _cosmology_of(self._path, config), config["linear_power"]
        file = Path(source["file"]) if source.get("file") else None
        D = cosmology.D1(self._particles.header.a)
        return D**2 * linear_power(cosmology, source["source"], file)(k)

    def _momentum(self) -> list[Path]:
        s = momentum_power(self._grid, self._particles)
        label = "P of (1 + δ) u [(km/s)² (Mpc/h)³]"
        panel = Panel([Curve("momentum", s.k, s.P_a)], WAVENUMBER, label)
        return self._files("momentum", _spectrum_columns(s, "(km/s)^2 (Mpc/h)^3"), [panel])

    def _displacement(self) -> list[Path]:
        s = displacement_power(self._grid, self._particles)
        panel = Panel([Curve("displacement", s.k, s.P_a)], WAVENUMBER, "P of x - q [(Mpc/h)⁵]")
        return self._files("displacement", _spectrum_columns(s, "(Mpc/h)^5"), [panel])

    def _multipoles(self) -> list[Path]:
        return self._multipoles_of("multipoles", self._particles)

    def _multipoles_of(self, name: str, particles: Particles) -> list[Path]:
        m = multipoles(self._grid, particles)
        columns = {"k": ("h/Mpc", m.k), "modes": ("count", m.modes)}
        poles = {0: m.P0, 2: m.P2, 4: m.P4}
        columns |= {f"P{l}": (POWER, P) for l, P in poles.items()}
        curves = [Curve(rf"$\ell$ = {l}", m.k, m.k * P) for l, P in poles.items()]
        panel = Panel(curves, WAVENUMBER, r"k $P_\ell$(k) in redshift space [(Mpc/h)²]", "linear")
        shot = f"shot noise of {self._grid.box_size**3 / len(particles.ids):.5g} (Mpc/h)^3 included"
        return self._files(name, columns, [panel], shot)

    def _bispectrum(self) -> list[Path]:
        kinds = {"equilateral": bispectrum.equilateral, "squeezed": bispectrum.squeezed}
        found = {name: kind(self._grid, self._particles) for name, kind in kinds.items()}
        paths = []
        for name, b in found.items():
            columns = {"k1": ("h/Mpc", b.k1), "k2": ("h/Mpc", b.k), "k3": ("h/Mpc", b.k)}
            columns |= {"triangles": ("count", b.triangles), "B": ("(Mpc/h)^6", b.B)}
            paths += self._table(f"bispectrum_{name}", columns | {"Q": ("1", b.Q)})
        soft = found["squeezed"].k1[0]
        names = ["equilateral, k₁ = k₂ = k₃ = k", f"squeezed, k₁ = {soft:.3f} h/Mpc, k₂ = k₃ = k"]
        pairs = list(zip(names, found.values(), strict=True))
        panels = [
            Panel([Curve(n, b.k, b.B) for n, b in pairs], WAVENUMBER, "B [(Mpc/h)⁶]", "symlog"),
            Panel([Curve(n, b.k, b.Q) for n, b in pairs], WAVENUMBER, "Q", "linear"),
        ]
        return [*paths, *self._figure("bispectrum", panels)]

    def _pdf(self) -> list[Path]:
        found = density_pdf.density_pdf(self._grid, self._particles, self._wanted.pdf)
        middles = np.sqrt(density_pdf.EDGES[1:] * density_pdf.EDGES[:-1])
        columns = {"1+delta": ("1", middles)}
        columns |= {f"pdf_{p.radius:.3g}Mpc/h": ("dP/dlog10", p.pdf) for p in found}
        notes = "; ".join(
            f"R = {p.radius:.4g} Mpc/h: variance {p.variance:.5g}, S3 {p.S3:.5g}, "
            f"{p.outside:.2%} outside the bins"
            for p in found
        )
        curves = [
            Curve(f"R = {p.radius:.3g} Mpc/h", middles[p.pdf > 0], p.pdf[p.pdf > 0]) for p in found
        ]
        smoothed = {"top_hat": "in spheres", "gaussian": "smoothed by Gaussians"}
        label = f"1 + δ {smoothed[self._wanted.pdf.window]}"
        panel = Panel(curves, label, "dP / d log₁₀(1 + δ)")
        return self._files("pdf", columns, [panel], notes)

    def _haloes(self) -> list[Path]:
        header = self._particles.header
        found = haloes.find_haloes(self._particles)
        catalogue = self._out / f"{self._name}_haloes.hdf5"
        more = halo_properties(self._particles, found).columns()
        haloes.write_catalogue(catalogue, header, found, self._wanted.halo_particles, more)
        self._remarks.append(f"{self._name}: {len(found.mass)} haloes")
        if not len(found.mass):
            return [catalogue]
        m = haloes.mass_function(header, found)
        columns = {"M": ("Msun/h", m.mass), "haloes": ("count", m.haloes)}
        density_unit = "(h/Mpc)^3"
        columns |= {"dn/dlnM": (density_unit, m.dn_dlnM), "error": (density_unit, m.error)}
        some = m.haloes > 0
        curves = [Curve("FoF, b = 0.2", m.mass[some], m.dn_dlnM[some], m.error[some])]
        try:
            fit = haloes.tinker08(run_cosmology(self._path), header.redshift, m.mass)
            columns["Tinker08_200m"] = (density_unit, fit)
            curves.append(Curve("Tinker et al. 2008, 200 m", m.mass, fit))
        except (FileError, ImportError) as error:
            self._remarks.append(f"{self._name}: left out the fit of the mass function: {error}")
        panel = Panel(curves, "M [Msun/h]", "dn/dlnM [(h/Mpc)³]")
        paths = [catalogue, *self._files("mass_function", columns, [panel])]
        if "multipoles" in self._wanted.statistics:
            points = haloes.as_particles(header, found)
            paths += self._multipoles_of("halo_multipoles", points)
        return paths

    def _density(self) -> list[Path]:
        grid = self._grid
        field = density_field(grid, self._particles.x)
        return [self._fields("density", {"Density": ("1 + delta", field)}, {"Mesh": grid.cells})]

    def _redshift_space(self) -> list[Path]:
        s = redshift_space(self._particles).T
        columns = {"S": ("Mpc/h, comoving", s), "ParticleIDs": ("identifier", self._particles.ids)}
        return [self._fields("redshift_space", columns, {})]

    def _fields(self, statistic: str, columns: haloes.Columns, more: dict) -> Path:
        path, header = self._out / f"{self._name}_{statistic}.hdf5", self._particles.header
        attributes = {"BoxSize": header.box_size, "Redshift": header.redshift, **more}
        write_columns(path, columns, attributes)
        return path

    def _files(
        self, statistic: str, columns: dict, panels: list[Panel], notes: str = ""
    ) -> list[Path]:
        return [*self._table(statistic, columns, notes), *self._figure(statistic, panels)]

    def _table(self, statistic: str, columns: dict, notes: str = "") -> list[Path]:
        title = f"coca {statistic} of {self._title}" + (f"\n{notes}" if notes else "")
        return _write_table(self._out / f"{self._name}_{statistic}.txt", columns, title)

    def _figure(self, statistic: str, panels: list[Panel]) -> list[Path]:
        return _write_figure(self._out / f"{self._name}_{statistic}.png", panels, self._title)


def _write_table(path: Path, columns: dict, title: str) -> list[Path]:
    """Write a table as text and with commas."""
    paths = [path, path.with_suffix(".csv")]
    for each in paths:
        write_table(each, columns, title)
    return paths


def _write_figure(path: Path, panels: list[Panel], title: str) -> list[Path]:
    write_figure(path, panels, title)
    return [path, path.with_suffix(".pdf")]


def _spectrum_columns(s: Spectra, unit: str) -> dict:
    return {"k": ("h/Mpc", s.k), "modes": ("count", s.modes), "P": (unit, s.P_a)}


def run_cosmology(path: Path) -> Cosmology:
    """The cosmology of the run that wrote a snapshot of ours.

    Raises
    ------
    FileError
        The snapshot has no record of a run.
    """
    return _cosmology_of(path, _run_config(path))


def _run_config(path: Path) -> dict:
    """The configuration of the run that wrote a snapshot, as plain values."""
    with h5py.File(path) as file:
        config = file["Coca"].attrs.get("config") if "Coca" in file else None
    if config is None:
        raise FileError(f"snapshot: {path}: no record of sigma_8, Omega_b and n_s")
    return json.loads(config)


def _cosmology_of(path: Path, config: dict) -> Cosmology:
    parameters = make_config(config["cosmology"], CosmologyConfig, str(path))
    return parameters.build(config["linear_power"]["source"])


def write_correlation(
    grid: Grid, out: Path, own: tuple[str, np.ndarray], other: tuple[str, np.ndarray]
) -> list[Path]:
    """Write r and the ratio of powers of two density fields, each a name and modes."""
    (name, a_k), (first, b_k) = own, other
    s = spectra(grid, a_k, b_k)
    columns = {"k": ("h/Mpc", s.k), "modes": ("count", s.modes), "P": (POWER, s.P_a)}
    columns |= {"P_first": (POWER, s.P_b), "P_cross": (POWER, s.P_ab)}
    columns |= {"r": ("1", s.r), "ratio": ("1", s.ratio)}
    path = out / f"{name}_with_{first}.txt"
    title = f"{name} with {first}: box {grid.box_size:g} Mpc/h, mesh {grid.cells}"
    paths = _write_table(path, columns, f"coca correlation of {title}")
    panels = [
        Panel([Curve("r", s.k, s.r)], WAVENUMBER, f"r with {first}", "linear"),
        Panel([Curve("ratio", s.k, s.ratio)], WAVENUMBER, f"P / P of {first}", "linear"),
    ]
    return [*paths, *_write_figure(path.with_suffix(".png"), panels, title)]
