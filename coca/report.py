"""The picture of a run: density slices and spectra at the last output."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from coca.files import whole_file
from coca.mesh import Mesh

if TYPE_CHECKING:
    from coca.results import Measurement
    from coca.simulation import Simulation

SLAB = 16.0
"""Depth of the projected slab in Mpc/h."""
PIXELS = 1024
"""Most of a picture's side."""
COLOURS = {"run": "#0072B2", "frame": "#D55E00", "linear": "#666666", "reference": "#000000"}
"""Colour-blind safe (Okabe & Ito 2008); lines differ in style too."""


def write_report(path: Path, simulation: Simulation, measurements: list[Measurement]) -> None:
    """Write report.png: projected density of the frame alone and of the run, and spectra.

    With a reference run, its density and the ratios to it are shown too.
    """
    slices = _slices(simulation)

    def write():
        figure = draw(simulation, measurements[-1], slices)
        with whole_file(path) as temporary, matplotlib.rc_context({"font.size": 9}):
            figure.savefig(temporary, dpi=150, format="png")

    simulation.domain.once(write)


def draw(simulation: Simulation, measurement: Measurement, slices: dict[str, np.ndarray]) -> Figure:
    """The figure of one output, with pictures of 1 + delta by name."""
    figure = Figure(figsize=(4.0 * len(slices), 8.2), layout="constrained")
    rows = figure.subfigures(2, 1, height_ratios=[1.15, 1.0])
    _draw_slices(rows[0], simulation, slices)
    panels = rows[1].subplots(1, 3 if simulation.reference else 1, squeeze=False)[0]
    _draw_power(panels[0], simulation, measurement)
    if simulation.reference:
        _draw_comparison(panels[1], panels[2], simulation, measurement)
    title = f"z = {measurement.redshift:.2g}, {len(simulation.run.steps)} force evaluations"
    trust = textwrap.fill(simulation.run.trust.statement, 40 * len(slices))
    rows[0].suptitle(f"{title}\n{trust}", fontsize=8)
    return figure


def frame_name(simulation: Simulation) -> str:
    """What the frame alone is called."""
    return {"emulator": "emulator alone", "lpt": "2LPT"}.get(simulation.run.method.frame, "lattice")


def run_name(simulation: Simulation) -> str:
    """What the run is called."""
    method, count = simulation.run.method, len(simulation.run.steps)
    if method.integrator != "residual":
        return {"bullfrog": "BullFrog", "fastpm": "FastPM"}[method.integrator]
    if method.frame == "lpt" and method.fitted(count):
        return "fitted steps"
    return {"emulator": "COCA", "lpt": "COLA", "rest": "PM"}[method.frame]


def _slices(simulation: Simulation) -> dict[str, np.ndarray]:
    last = simulation.snapshots[-1]
    slices = {}
    if simulation.run.method.frame != "rest":
        slices[frame_name(simulation)] = simulation.run.frame.displacement(last.D)
    slices[run_name(simulation)] = last.disp
    if simulation.reference:
        slices["reference"] = simulation.reference[-1].disp
    return {name: _projected_density(simulation, disp) for name, disp in slices.items()}


def _projected_density(simulation: Simulation, disp: np.ndarray) -> np.ndarray:
    """1 + delta averaged over a slab of x."""
    domain, cells = simulation.domain, simulation.config.mesh
    mesh = Mesh(domain, cells)
    mesh.paint(domain.add_lattice(disp))
    depth = max(1, round(SLAB / domain.box_size * cells))
    planes = mesh.field[: max(0, depth - domain.transform(cells).first), :, :cells]
    coarser = next(f for f in range(1, cells + 1) if cells % f == 0 and cells // f <= PIXELS)
    image = planes.sum(axis=0).reshape(cells // coarser, coarser, -1, coarser).mean(axis=(1, 3))
    return domain.sum(image) * (cells**3 / domain.particles / depth)


def _draw_slices(row, simulation: Simulation, slices: dict[str, np.ndarray]) -> None:
    size = simulation.domain.box_size
    panels = row.subplots(1, len(slices), sharey=True, squeeze=False)[0]
    norm = LogNorm(0.1, 30.0)
    for panel, (name, density) in zip(panels, slices.items(), strict=True):
        image = panel.imshow(
            np.clip(density.T, 0.1, None),
            norm=norm,
            cmap="magma",
            origin="lower",
            extent=(0, size, 0, size),
            interpolation="nearest",
        )
        panel.set(title=name, xlabel="y [Mpc/h]")
    panels[0].set_ylabel("z [Mpc/h]")
    depth = min(SLAB, size)
    row.colorbar(image, ax=list(panels), label=f"1 + δ, {depth:g} Mpc/h projected", shrink=0.9)


def _draw_power(panel, simulation: Simulation, m: Measurement) -> None:
    k = m.run.k
    panel.loglog(k, m.linear, ls=":", color=COLOURS["linear"], label="linear theory")
    if simulation.reference:
        panel.loglog(k, m.run.P_b, color=COLOURS["reference"], lw=2.5, alpha=0.4, label="reference")
    if m.frame is not None:
        panel.loglog(k, m.frame.P_a, "--", color=COLOURS["frame"], label=frame_name(simulation))
    panel.loglog(k, m.run.P_a, color=COLOURS["run"], label=run_name(simulation))
    panel.set(xlabel="k [h/Mpc]", ylabel="P(k) [(Mpc/h)³]")
    panel.legend(frameon=False)


def _draw_comparison(ratio, correlation, simulation: Simulation, m: Measurement) -> None:
    curves = [(run_name(simulation), m.run, "-", COLOURS["run"])]
    if m.frame is not None:
        curves.append((frame_name(simulation), m.frame, "--", COLOURS["frame"]))
    for name, spectra, style, colour in curves:
        ratio.semilogx(spectra.k, spectra.ratio, style, color=colour, label=name)
        correlation.semilogx(spectra.k, spectra.r, style, color=colour, label=name)
    ratio.axhspan(0.99, 1.01, color="0.9", zorder=0)
    ratio.set(xlabel="k [h/Mpc]", ylabel="P / P of the reference", ylim=(0.5, 1.2))
    correlation.set(xlabel="k [h/Mpc]", ylabel="r with the reference", ylim=(0.7, 1.02))
    ratio.legend(frameon=False)
