"""The report of a run: a page, report.html, that needs nothing but itself, and its figures.

What all ranks have a part in is gathered first; the first rank then draws and writes.
"""

from __future__ import annotations

import base64
import io
import zlib
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from coca.atomic_files import whole_file
from coca.cosmology.background import scale_factor
from coca.files.tables import RUN_RECORD
from coca.gravity.mesh import Mesh
from coca.results import report_figures
from coca.results.report_figures import Picture, SpectrumCurve
from coca.results.report_page import Drawing, OutputSection, Row, render
from coca.results.report_sky import draw_sky

if TYPE_CHECKING:
    from coca.particles import Snapshot
    from coca.results.run_spectra import Measurement
    from coca.run.simulation import Simulation
    from coca.statistics.spectra import Spectra

SLAB = 16.0
"""Depth of the projected slab in Mpc/h."""
PIXELS = 512
"""Most of a picture's side."""
PAGE, OVERVIEW, FOLDER = "report.html", "report.png", "report"
WAVENUMBERS = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Wavenumbers of the table of spectra, h/Mpc."""


class Scene(NamedTuple):
    """What the report shows of one output."""

    measurement: Measurement
    slices: dict[str, np.ndarray]
    """1 + delta over y and z by name, averaged over the slab."""
    difference: tuple[str, np.ndarray] | None
    """Difference of two of the slices, and its name."""
    distance: float | None
    """Rms distance per component of the run's particles from the reference's, Mpc/h."""


def write_report(
    directory: Path, simulation: Simulation, measurements: list[Measurement], record: dict
) -> list[str]:
    """Write report.html, its figures in report/ as PNG and PDF, and report.png, the last output's.

    Parameters
    ----------
    directory : Path
    simulation : Simulation
    measurements : list of Measurement
        One for each output.
    record : dict
        What run.json will hold, see `coca.results.write.run_record`.

    Returns
    -------
    list of str
        Names of the files.
    """
    scenes = _scenes(simulation, measurements)
    return simulation.domain.once(lambda: _write(directory, simulation, scenes, record))


def frame_name(simulation: Simulation) -> str:
    """What the frame alone is called."""
    return {"emulator": "emulator alone", "lpt": "2LPT"}.get(simulation.run.method.frame, "lattice")


def run_name(simulation: Simulation) -> str:
    """What the run is called."""
    return simulation.run.method.label if simulation.run.steps else frame_name(simulation)


def _scenes(simulation: Simulation, measurements: list[Measurement]) -> list[Scene]:
    D_start = simulation.D_start
    # on a finer mesh a lattice that has hardly moved would show once delta is scaled up
    initial = _projected_density(
        simulation, simulation.lpt.displacement(D_start), simulation.domain.n_side
    )
    scenes = []
    for i, (snapshot, m) in enumerate(zip(simulation.snapshots, measurements, strict=True)):
        grown = 1.0 + (initial - 1.0) * (snapshot.D / D_start)
        reference = simulation.reference[i] if simulation.reference else None
        slices = {"initial conditions": grown} | _slices(simulation, snapshot, reference)
        distance = None
        if reference is not None:
            distance = simulation.domain.rms(snapshot.disp - reference.disp) / np.sqrt(3.0)
        scenes.append(Scene(m, slices, _difference(simulation, slices), distance))
    return scenes


def _slices(
    simulation: Simulation, snapshot: Snapshot, reference: Snapshot | None
) -> dict[str, np.ndarray]:
    slices, project = {}, partial(_projected_density, simulation, cells=simulation.config.mesh)
    if _has_frame(simulation):
        slices[frame_name(simulation)] = project(simulation.run.frame.displacement(snapshot.D))
    slices[run_name(simulation)] = project(snapshot.disp)
    if reference is not None:
        slices["reference"] = project(reference.disp)
    return slices


def _has_frame(simulation: Simulation) -> bool:
    """Whether there is a frame that the run is not the same as."""
    return simulation.run.method.frame != "rest" and bool(simulation.run.steps)


def _difference(
    simulation: Simulation, slices: dict[str, np.ndarray]
) -> tuple[str, np.ndarray] | None:
    """Run less reference; without one, run less the frame alone, what the forces changed."""
    run = run_name(simulation)
    other = "reference" if simulation.reference else frame_name(simulation)
    if other == run or other not in slices:
        return None
    return f"{run} minus {other}", slices[run] - slices[other]


def _projected_density(simulation: Simulation, disp: np.ndarray, cells: int) -> np.ndarray:
    """1 + delta on a mesh of cells^3, averaged over a slab of x and over a particle spacing in y
    and z, which leaves nothing of a lattice."""
    domain = simulation.domain
    mesh = Mesh(domain, cells)
    mesh.paint(domain.add_lattice(disp))
    depth = min(cells, max(1, round(SLAB / domain.box_size * cells)))
    planes = mesh.field[: max(0, depth - domain.transform(cells).first), :, :cells]
    image = running_mean(planes.sum(axis=0), cells // domain.n_side)
    coarser = next(f for f in range(1, cells + 1) if cells % f == 0 and cells // f <= PIXELS)
    image = image.reshape(cells // coarser, coarser, -1, coarser).mean(axis=(1, 3))
    return domain.sum(image) * (cells**3 / domain.particles / depth)


def running_mean(image: np.ndarray, width: int) -> np.ndarray:
    """A periodic image averaged along both axes over `width` pixels around each, one more before it
    than after where that is even."""
    shifts = range(-((width - 1) // 2), width // 2 + 1)
    for axis in (0, 1):
        image = np.mean([np.roll(image, shift, axis) for shift in shifts], axis=0)
    return image


def _write(directory: Path, simulation: Simulation, scenes: list[Scene], record: dict) -> list[str]:
    (directory / FOLDER).mkdir(exist_ok=True)
    drawn = [_draw(simulation, scene) for scene in scenes]
    outputs = [
        _output(simulation, scene, _save(directory, pictures, f"_{i:03d}"))
        for i, (scene, pictures) in enumerate(zip(scenes, drawn, strict=True))
    ]
    lines = [_title(simulation, scenes[-1]), _box(simulation), *wrap(record["trust"], 125)]
    heading = report_figures.draw_heading(lines)
    overview = np.concatenate([heading, *(figure.pixels for figure in drawn[-1].values())])
    _write_bytes(directory / OVERVIEW, _png(overview))
    whole_run = {
        "time": report_figures.draw_time(record["timings"], record["compilation_by_stage"])
    }
    if simulation.run.evaluations:
        growth = simulation.cosmology.D1
        whole_run["residual"] = report_figures.draw_residual(
            simulation.run.evaluations, lambda z: growth(scale_factor(z))
        )
    section, cone = None, simulation.config.light_cone
    if cone is not None:
        section, drawn_sky = draw_sky(directory, cone.z_max)
        whole_run |= drawn_sky
    saved = _save(directory, whole_run)
    drawings = [d for o in outputs for d in o.drawings.values()] + list(saved.values())
    written = [PAGE, OVERVIEW, *(name for d in drawings for name in (d.file, d.pdf))]
    files = [*record["files"], *written, RUN_RECORD]
    page = render(record, outputs, saved, section, files, _box(simulation))
    _write_bytes(directory / PAGE, page.encode("utf-8", "backslashreplace"))
    return written


def _draw(simulation: Simulation, scene: Scene) -> dict[str, Picture]:
    """The figures of an output by name."""
    box_size, m = simulation.domain.box_size, scene.measurement
    curves = [SpectrumCurve(run_name(simulation), m.run, report_figures.RUN)]
    if m.frame is not None and _has_frame(simulation):
        curves.append(SpectrumCurve(frame_name(simulation), m.frame, report_figures.FRAME))
    nyquist = np.pi / simulation.domain.cell
    return {
        "density": report_figures.draw_density(
            scene.slices, scene.difference, box_size, min(SLAB, box_size)
        ),
        "spectra": report_figures.draw_spectra(
            curves, m.linear, bool(simulation.reference), nyquist
        ),
    }


def _title(simulation: Simulation, scene: Scene) -> str:
    forces = len(simulation.run.steps)
    z = scene.measurement.redshift
    return f"{run_name(simulation)}, z = {z:.3g}, {forces} force evaluations"


def _box(simulation: Simulation) -> str:
    """Box, particles, seed and cosmology in a line."""
    config, c = simulation.config, simulation.cosmology
    dark = "" if c.background.is_lambda else f", w0 {c.w0:g}, wa {c.wa:g}"
    dark += f", m_nu {c.m_nu:g} eV" if c.m_nu else ""
    return (
        f"{config.box_size:g} Mpc/h, {config.particles}³ particles, {config.modes}; "
        f"Omega_m {c.Omega_m:g}, Omega_b {c.Omega_b:g}, h {c.h:g}, n_s {c.n_s:g}, "
        f"sigma_8 {c.sigma_8:.4g}{dark}"
    )


def _output(simulation: Simulation, scene: Scene, drawings: dict[str, Drawing]) -> OutputSection:
    m = scene.measurement
    names = run_name(simulation), frame_name(simulation) if _has_frame(simulation) else None
    changed = scene.difference[0] if scene.difference else None
    rows = _rows(m) if simulation.reference else []
    return OutputSection(m.redshift, m.D, *names, changed, scene.distance, rows, drawings)


def _rows(m: Measurement) -> list[Row]:
    def compared(spectra: Spectra, k: float) -> tuple[float, float]:
        at = spectra.at(k)
        return float(at.ratio), float(at.r)

    rows = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for k in WAVENUMBERS:
            if m.run.k[0] <= k <= m.run.k[-1]:
                rows.append(Row(k, compared(m.run, k), m.frame and compared(m.frame, k)))
    return rows


def _save(directory: Path, pictures: dict[str, Picture], suffix: str = "") -> dict[str, Drawing]:
    """Write figures as PNG and as PDF, and keep the PNG as text too."""
    drawings = {}
    for name, (pixels, pdf) in pictures.items():
        file, data = f"{FOLDER}/{name}{suffix}.png", _png(pixels)
        drawings[name] = Drawing(
            file, f"{FOLDER}/{name}{suffix}.pdf", base64.b64encode(data).decode()
        )
        _write_bytes(directory / file, data)
        _write_bytes(directory / drawings[name].pdf, pdf)
    return drawings


def _png(pixels: np.ndarray) -> bytes:
    """Runs of equal pixels alone are compressed, which is a third of zlib's time and no larger."""
    buffer, dpi = io.BytesIO(), (report_figures.DPI, report_figures.DPI)
    Image.fromarray(pixels).save(buffer, "png", dpi=dpi, compress_type=zlib.Z_RLE)
    return buffer.getvalue()


def _write_bytes(path: Path, data: bytes) -> None:
    with whole_file(path) as temporary:
        temporary.write_bytes(data)
