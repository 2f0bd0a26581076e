"""The figures of a report: density, spectra, residual accelerations and time.

All are as wide as a page of a paper. Colours are safe for the colour-blind (Okabe & Ito 2008), and
lines differ in style as well; both colour maps keep their order in grey.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from matplotlib.transforms import Bbox

from coca.integration.kicks import Evaluation
from coca.statistics.plots import STYLE, label_decades
from coca.statistics.spectra import Spectra

WIDTH = 7.5
"""Inches."""
DPI = 200
MARGIN = 12
"""Pixels of white above and below."""
EDGE, TITLE, LABELS = 0.06, 0.25, 0.45
"""Inches beyond a panel without labels, for a title above it, and for an axis' labels below it.
Panels are placed so, since matplotlib's layouts take longer to find than figures to draw."""
BAND, SEEN = 0.01, 0.06
"""Half of the band about a ratio of one, and the least share of a panel's height in which it is
drawn."""
RUN: dict[str, Any] = {"color": "#0072B2", "ls": "-"}
FRAME: dict[str, Any] = {"color": "#D55E00", "ls": "--"}
LINEAR: dict[str, Any] = {"color": "#666666", "ls": ":"}
REFERENCE: dict[str, Any] = {"color": "#000000", "ls": "-", "lw": 3.0, "alpha": 0.35}
DENSITIES = LogNorm(0.1, 30.0, clip=True)
"""Colours of 1 + delta, the same in all figures of all runs."""
REDSHIFTS = (0, 0.5, 1, 2, 3, 5, 10, 20, 50)
"""What an axis of growth factors is labelled with as well."""


class SpectrumCurve(NamedTuple):
    """Spectra to draw."""

    name: str
    spectra: Spectra
    style: dict
    """Colour of the line."""


class Picture(NamedTuple):
    """A figure, drawn."""

    pixels: np.ndarray
    """(rows, columns, 3) uint8."""
    pdf: bytes


def picture(draw: Callable[[Figure], None], height: float) -> Picture:
    """What `draw` puts on a figure at most `height` inches high, without the white around it."""
    with matplotlib.rc_context(STYLE):
        figure, pixels, seen = _drawn(draw, height)
        pdf = io.BytesIO()
        figure.savefig(
            pdf, format="pdf", dpi=DPI, bbox_inches=seen, metadata={"CreationDate": None}
        )
    return Picture(pixels, pdf.getvalue())


def _drawn(draw: Callable[[Figure], None], height: float) -> tuple[Figure, np.ndarray, Bbox]:
    """The figure of `picture`, its pixels and where in it, in inches, they are."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    draw(figure)
    canvas.draw()
    pixels = np.array(canvas.buffer_rgba())[..., :3]
    drawn = np.flatnonzero((pixels < 255).any(axis=(1, 2)))
    first, end = max(0, drawn[0] - MARGIN), min(drawn[-1] + MARGIN, len(pixels))
    seen = Bbox([[0.0, height - end / DPI], [WIDTH, height - first / DPI]])
    return figure, pixels[first:end], seen


def add_panel(
    figure: Figure, left: float, top: float, width: float, height: float, **options: Any
) -> Axes:
    """A panel so many inches from the figure's left and top."""
    across, down = figure.get_size_inches()
    where = left / across, 1.0 - (top + height) / down, width / across, height / down
    return figure.add_axes(where, **options)


@dataclass(frozen=True)
class Panels:
    """Where square panels stand in rows, the last of which is full, with bars of colours at the
    right; inches."""

    count: int
    columns: int
    bars: int
    """Most bars beside a row."""

    @property
    def rows(self) -> int:
        """Their number."""
        return -(-self.count // self.columns)

    @property
    def side(self) -> float:
        """Side of a panel, inches."""
        room = WIDTH - PANELS_LEFT - PANELS_APART * (self.columns - 1) - BAR * self.bars
        return room / self.columns

    @property
    def pitch(self) -> float:
        """Distance from row to row."""
        return self.side + TITLE + EDGE

    def place(self, number: int) -> tuple[int, int]:
        """Row and column of a panel; what there is room for is left empty in the first row."""
        first = self.count % self.columns
        return divmod(number + (self.columns - first if 0 < first <= number else 0), self.columns)

    @property
    def height(self) -> float:
        """Height of the figure, inches."""
        return TITLE + self.pitch * (self.rows - 1) + self.side + LABELS

    def corner(self, number: int) -> tuple[float, float]:
        """Distances from the left and the top of the figure to a panel."""
        row, column = self.place(number)
        left = PANELS_LEFT + (self.side + PANELS_APART) * column
        return left, TITLE + self.pitch * row


PANELS_LEFT, PANELS_APART, BAR = 0.56, 0.22, 0.72
"""Left of rows of panels, between panels, and for a bar of colours; inches."""


def draw_density(
    slices: dict[str, np.ndarray],
    difference: tuple[str, np.ndarray] | None,
    box_size: float,
    depth: float,
) -> Picture:
    """Pictures of 1 + delta (pixels, pixels) over y and z by name, and a difference of two.

    A reference stands in one row with what is before it, the run, and their difference.

    Parameters
    ----------
    slices : dict
    difference : tuple of a name and an array, or None
    box_size, depth : float
        Mpc/h.
    """
    count = len(slices) + (difference is not None)
    columns = 2 if count == 2 or (count == 4 and "reference" not in slices) else 3
    panels = Panels(count, columns, 2 if difference is not None and count <= columns else 1)

    def draw(figure: Figure) -> None:
        for i, (name, values) in enumerate(slices.items()):
            image = _image(figure, panels, i, name, values, box_size, DENSITIES, "magma")
        _bar(figure, panels, 0, image, f"$1 + \\delta$, mean over {depth:g} Mpc/$h$")
        if difference is not None:
            name, values = difference
            most = max(float(np.quantile(np.abs(values), 0.99)), 1e-6)
            norm = Normalize(-most, most, clip=True)
            image = _image(figure, panels, count - 1, name, values, box_size, norm, "cividis")
            _bar(figure, panels, count - 1, image, "difference of $\\delta$")

    return picture(draw, panels.height)


def _image(
    figure: Figure,
    panels: Panels,
    number: int,
    name: str,
    values: np.ndarray,
    box_size: float,
    norm: Normalize,
    colours: str,
) -> AxesImage:
    """A panel, labelled at the left and where there is none below."""
    panel = add_panel(figure, *panels.corner(number), panels.side, panels.side)
    panel.set_title(name, fontsize=9)
    row, column = panels.place(number)
    left, low = column == 0, row == panels.rows - 1
    panel.tick_params(labelleft=left, labelbottom=low)
    panel.set(xlabel="$y$ [Mpc/$h$]" if low else None, ylabel="$z$ [Mpc/$h$]" if left else None)
    extent = (0, box_size, 0, box_size)
    image = panel.imshow(values.T, norm=norm, cmap=colours, origin="lower", extent=extent)
    ticks = np.array(_few_ticks().tick_values(0, box_size))
    panel.set_xticks(ticks[ticks < 0.93 * box_size])  # a label at the end would meet the next panel
    panel.set(xlim=(0, box_size))
    panel.yaxis.set_label_coords(-0.38 / panels.side, 0.5)
    return image


def _few_ticks() -> MaxNLocator:
    """Labels of few digits."""
    return MaxNLocator(4, steps=[1, 2, 5, 10])


def _bar(figure: Figure, panels: Panels, number: int, image: AxesImage, label: str) -> None:
    """The bar of an image's colours right of the row of a panel; right of the first one where both
    are in one row."""
    beyond = PANELS_LEFT + (panels.side + PANELS_APART) * panels.columns - PANELS_APART + 0.1
    left = beyond + (BAR if number and panels.bars == 2 else 0.0)
    bar = add_panel(figure, left, panels.corner(number)[1], 0.08, panels.side)
    figure.colorbar(image, cax=bar, label=label, extend="both")
    if not isinstance(image.norm, LogNorm):
        bar.ticklabel_format(scilimits=(-2, 3))
        bar.yaxis.set_major_locator(_few_ticks())


def draw_spectra(
    curves: Sequence[SpectrumCurve], linear: np.ndarray, reference: bool, nyquist: float
) -> Picture:
    """Power, and below it ratios and correlations with the reference, or with linear theory.

    Parameters
    ----------
    curves : sequence of SpectrumCurve
        The first one's `P_b` is the reference's power, if there is one.
    linear : array
        Power of linear theory, (Mpc/h)^3.
    reference : bool
    nyquist : float
        Wavenumber to mark, h/Mpc.
    """
    k, main = curves[0].spectra.k, curves[0].spectra
    base, name = (main.P_b, "reference") if reference else (linear, "linear theory")

    def draw(figure: Figure) -> None:
        panels = _stack(figure, [2.9, 1.35, 1.35] if reference else [2.9, 1.35])
        power, ratio = panels[:2]
        power.loglog(k, linear, **LINEAR, label="linear theory")
        if reference:
            power.loglog(k, base, **REFERENCE, label="reference")
        for curve in reversed(curves):
            power.loglog(k, curve.spectra.P_a, **curve.style, label=curve.name)
            ratio.plot(k, curve.spectra.P_a / base, **curve.style)
            if reference:
                panels[2].plot(k, curve.spectra.r, **curve.style)
        power.set(ylabel="$P(k)$ [(Mpc/$h$)$^3$]", xlim=(0.9 * k[0], 1.1 * k[-1]))
        power.legend(loc="lower left")
        ratio.set_ylabel(f"$P$ / $P$ of\n{name}")
        if reference:
            ratio.set_ylim(_limits(ratio, k < nyquist, 0.02))
            panels[2].set(ylabel="$r$ with\nreference", ylim=_limits(panels[2], k < nyquist, 1e-3))
        else:
            _choose_scale(ratio)
        _add_band(ratio)
        panels[-1].set_xlabel("$k$ [$h$/Mpc]")
        label_decades(panels[-1].xaxis, *power.get_xlim())
        for panel in panels:
            panel.axvline(nyquist, color="0.6", lw=0.8, zorder=0)

    with np.errstate(divide="ignore", invalid="ignore"):
        return picture(draw, 6.4 if reference else 4.9)


def _add_band(panel: Axes) -> None:
    """One per cent about one, with its name, where that can be seen; else a line at one."""
    low, high = panel.get_ylim()
    if SEEN * (high - low) > 2 * BAND or panel.get_yscale() == "log":
        panel.axhline(1.0, color="0.7", lw=0.8, zorder=0)
        return
    panel.axhspan(1 - BAND, 1 + BAND, color="0.88", zorder=0)
    panel.set_ylim(low, high)
    where = (0.995, 1.0)
    panel.annotate(
        f"±{BAND:.0%}".replace("%", " %"), where, xycoords=("axes fraction", "data"),
        ha="right", va="center", fontsize=7, color="0.35",
    )  # fmt: skip


def _stack(figure: Figure, heights: Sequence[float]) -> list[Axes]:
    """Panels below one another with a common axis."""
    panels: list[Axes] = []
    width, top = WIDTH - 0.8 - EDGE, EDGE
    for height in heights:
        panel = add_panel(figure, 0.8, top, width, height, sharex=panels[0] if panels else None)
        panel.tick_params(labelbottom=False)
        panel.yaxis.set_label_coords(-0.45 / width, 0.5)
        panels.append(panel)
        top += height + 0.08
    panels[-1].tick_params(labelbottom=True)
    return panels


def _choose_scale(panel: Axes) -> None:
    """Logarithmic where values go over a factor of three, labelled at 1, 2 and 5."""
    values = np.concatenate([line.get_ydata() for line in panel.lines])
    values = values[np.isfinite(values)]
    if values.min() > 0 and values.max() > 3 * values.min():
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(NullFormatter())


def _limits(panel: Axes, counted: np.ndarray, least: float) -> tuple[float, float]:
    """Limits that hold one with `least` around it, all of the last curve and of others what is
    `counted`, but no more than 0 to 3."""
    *others, run = (np.asarray(line.get_ydata()) for line in panel.lines)
    values = np.concatenate([run, *(other[counted] for other in others)])
    values = values[np.isfinite(values)]
    low, high = min([1.0 - least, *values]), max([1.0 + least, *values])
    room = 0.05 * (high - low)
    return max(0.0, low - room), min(3.0, high + room)


def draw_residual(
    evaluations: Sequence[Evaluation], redshift_to_D: Callable[[float], float]
) -> Picture:
    """Residual acceleration, and the displacement it stands for, against the growth factor."""
    D = np.array([evaluation.D for evaluation in evaluations])
    half = np.array([0.5 * evaluation.step for evaluation in evaluations])
    styles = {
        "residual acceleration": ([e.residual_rms for e in evaluations], RUN, "o"),
        "displacement it stands for": ([e.error_rms for e in evaluations], FRAME, "s"),
    }

    def draw(figure: Figure) -> None:
        panel = add_panel(figure, 0.6, LABELS, WIDTH - 0.6 - EDGE, 2.6)
        for name, (values, style, marker) in styles.items():
            panel.errorbar(D, values, xerr=half, lw=0, elinewidth=1, color=style["color"])
            panel.plot(D, values, **style, marker=marker, ms=4, label=name)
        if min(min(values) for values, *_ in styles.values()) > 0:
            panel.set_yscale("log")
        panel.set(xlabel="linear growth factor $D$", ylabel="rms over particles [Mpc/$h$]")
        panel.legend(loc="best")
        _add_redshifts(panel, redshift_to_D)

    return picture(draw, 2.6 + 2 * LABELS)


def _add_redshifts(panel: Axes, redshift_to_D: Callable[[float], float]) -> None:
    low, high = panel.get_xlim()
    marks = {z: float(redshift_to_D(z)) for z in REDSHIFTS}
    marks = {z: D for z, D in marks.items() if low <= D <= high}
    apart = 0.05 * (high - low)
    kept: dict[float, float] = {}
    for z, D in marks.items():
        if not kept or min(abs(D - other) for other in kept.values()) > apart:
            kept[z] = D
    top = panel.twiny()
    top.set_xlim(low, high)
    top.set_xticks(list(kept.values()), [f"{z:g}" for z in kept])
    top.set_xlabel("redshift $z$")


def draw_time(seconds: dict[str, float], compiled: dict[str, float]) -> Picture:
    """Seconds of each stage, compilation told apart."""
    stages, total = list(seconds), max(sum(seconds.values()), 1e-9)
    late = np.array([compiled.get(stage, 0.0) for stage in stages])
    values = np.array([seconds[stage] for stage in stages])
    work, rows = np.maximum(values - late, 0.0), np.flatnonzero(late > 0.005 * values)

    def draw(figure: Figure) -> None:
        panel = add_panel(figure, 1.15, EDGE, WIDTH - 1.15 - EDGE, 0.28 * len(stages) + 0.2)
        panel.barh(range(len(stages)), work, tick_label=stages, color=RUN["color"], label="work")
        how: dict[str, Any] = {"color": "white", "edgecolor": FRAME["color"], "hatch": "////"}
        if late.sum() > 0.005 * total:
            panel.barh(
                rows, late[rows], left=work[rows], **how, label="compilation, first run only"
            )
            panel.legend(loc="lower right")
        for row, value in enumerate(values):
            text = f"{value:.2f} s, {100 * value / total:.1f} %"
            panel.annotate(text, (value, row), (4, 0), textcoords="offset points", va="center")
        panel.set(xlabel="wall time [s]", xlim=(0, 1.3 * max(values.max(), 1e-9)))
        panel.invert_yaxis()
        panel.tick_params(axis="y", length=0)
        panel.spines[["top", "right"]].set_visible(False)

    return picture(draw, 0.28 * len(stages) + 0.2 + EDGE + LABELS)


def draw_heading(lines: Sequence[str]) -> np.ndarray:
    """Pixels of lines of text, the first one larger; in no file of their own."""

    def draw(figure: Figure) -> None:
        for i, line in enumerate(lines):
            y = 1.0 - (i + 0.6) / (len(lines) + 0.2)
            figure.text(0.5, y, line, ha="center", va="center", fontsize=8 if i else 11)

    with matplotlib.rc_context(STYLE):
        return _drawn(draw, 0.2 + 0.2 * len(lines))[1]
