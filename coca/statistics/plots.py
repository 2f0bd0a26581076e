"""Figures of statistics: curves that differ in style as well as in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

from coca.atomic_files import whole_file

STYLE = matplotlib.RcParams(
    {
        "font.size": 9,
        "axes.linewidth": 0.7,
        "lines.linewidth": 1.5,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "xtick.direction": "in",
        "ytick.direction": "in",
        "hatch.linewidth": 0.6,
    }
)
"""Style of all our figures."""
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#0072B2", "ls": "-"},
    {"color": "#D55E00", "ls": "--"},
    {"color": "#009E73", "ls": "-."},
    {"color": "#000000", "ls": ":"},
    {"color": "#CC79A7", "ls": (0, (5, 1, 1, 1, 1, 1))},
)
"""Colour-blind safe (Okabe & Ito 2008), and told apart in grey by their dashes."""


class Curve(NamedTuple):
    """A line of a figure."""

    name: str
    x: np.ndarray
    y: np.ndarray
    error: np.ndarray | None = None
    """Half an error bar's length."""
    points: bool = True
    """With errors: points and bars, and no line; else a line in a band."""


class Panel(NamedTuple):
    """Curves with common axes."""

    curves: list[Curve]
    xlabel: str
    ylabel: str
    yscale: str = "log"
    """Scale of the vertical axis in matplotlib; symlog is linear where values are below the
    smallest curve's median."""


def write_figure(path: Path, panels: list[Panel], title: str) -> None:
    """Write panels side by side, as PNG at `path` and as PDF beside it."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(panels), 3.8), layout="constrained")
        for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels,
                               strict=True):  # fmt: skip
            _draw(axes, panel)
        figure.suptitle(title, fontsize=9)
        kinds: dict[str, dict] = {"png": {}, "pdf": {"CreationDate": None}}
        for kind, metadata in kinds.items():
            with whole_file(path.with_suffix(f".{kind}")) as temporary:
                figure.savefig(temporary, dpi=200, format=kind, metadata=metadata)


def overview(
    delta: np.ndarray,
    box_size: float,
    k: np.ndarray,
    P: np.ndarray,
    linear: np.ndarray,
    title: str,
) -> Figure:
    """A figure of a density, projected through a slab, and of its power beside linear theory.

    Parameters
    ----------
    delta : array (m, m, m)
        Density contrast; the slab is an eighth of the first axis.
    box_size : float
        Mpc/h.
    k, P, linear : array (shells,)
        Wavenumbers in h/Mpc, and power in (Mpc/h)^3.
    title : str
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.2, 4.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        slab = 1.0 + delta[: max(1, len(delta) // 8)].mean(axis=0, dtype=np.float64)
        image = left.imshow(
            np.log10(np.maximum(slab, 0.03)).T, origin="lower", cmap="magma",
            extent=(0, box_size, 0, box_size),
        )  # fmt: skip
        left.set(xlabel="y [Mpc/h]", ylabel="z [Mpc/h]")
        figure.colorbar(image, ax=left, label="log₁₀(1 + δ)", shrink=0.85)
        curves = [Curve("P(k)", k, P), Curve("linear theory", k, linear)]
        _draw(right, Panel(curves, "k [h/Mpc]", "P(k) [(Mpc/h)³]"))
        figure.suptitle(title, fontsize=9)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    for style, curve in zip(STYLES, panel.curves, strict=False):
        if curve.error is None or not curve.points:
            axes.plot(curve.x, curve.y, label=curve.name, **style)
        else:
            axes.errorbar(
                curve.x, curve.y, curve.error, fmt="o", ms=4, capsize=2, color=style["color"],
                label=curve.name,
            )  # fmt: skip
        if curve.error is not None and not curve.points:
            low, high = curve.y - curve.error, curve.y + curve.error
            low = np.maximum(low, 1e-3 * curve.y) if panel.yscale == "log" else low
            axes.fill_between(curve.x, low, high, color=style["color"], alpha=0.25, lw=0)
    axes.set(xscale="log", xlabel=panel.xlabel, ylabel=panel.ylabel)
    label_decades(axes.xaxis, *axes.get_xlim())
    if panel.yscale == "symlog":
        axes.set_yscale("symlog", linthresh=min(np.median(np.abs(c.y)) for c in panel.curves))
        axes.yaxis.set_major_locator(_few_decades(axes))
        axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    else:
        axes.set_yscale(panel.yscale)
    if len(panel.curves) > 1:
        axes.legend()


def label_decades(axis: Axis, low: float, high: float) -> None:
    """Labels that do not meet: 1, 2 and 5 of numbers that are short, powers of ten of others, and
    of each decade fewer the more there are."""
    decades = np.log10(high / low)
    plain = low > 1e-3 and high < 1e4
    if decades <= 2.3:
        subs: tuple[float, ...] = (1.0, 2.0, 5.0) if plain or decades < 1 else (1.0, 3.0)
    else:
        subs = (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter("{x:.3g}" if plain else FuncFormatter(_power_of_ten))
    axis.set_minor_formatter(NullFormatter())


def _power_of_ten(value: float, _: object = None) -> str:
    """A number as 3 x 10^12, or 10^12."""
    digits, exponent = f"{value:.0e}".split("e")
    times = "" if digits == "1" else rf"{digits} \times "
    return f"${times}10^{{{int(exponent)}}}$"


def _few_decades(axes: Axes) -> SymmetricalLogLocator:
    """Decades on both sides of zero, and zero, at most so many that their labels do not meet."""
    locator = SymmetricalLogLocator(axes.yaxis.get_transform())
    locator.set_params(numticks=9)
    return locator
