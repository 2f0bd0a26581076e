"""A map of the convergence in Mollweide's projection, and its C_l beside theory."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from coca.light_cone.sky import AngularPower, banded, bands, mollweide

SHOWN = 0.005
"""Share of pixels beyond either end of the colours."""


def draw_map(figure: Figure, axes: Axes, kappa: np.ndarray) -> None:
    """A map in Mollweide's projection; pixels that nothing is known of are grey."""
    image = np.ma.masked_less(np.ma.masked_invalid(mollweide(kappa)), -1e30)
    low, high = np.quantile(image.compressed(), (SHOWN, 1.0 - SHOWN))
    drawn = axes.imshow(
        image, cmap="magma", vmin=low, vmax=high, extent=(-2, 2, -1, 1), interpolation="antialiased"
    )
    axes.set_axis_off()
    figure.colorbar(
        drawn, ax=axes, orientation="horizontal", label="κ", shrink=0.7, aspect=35, pad=0.02
    )


def draw_power(axes: Axes, power: AngularPower) -> None:
    """Bands of C_l, the pixel window divided out, beside theory with and without the modes that a
    box lacks."""
    l, parts = power.l, bands(power.l)
    at = banded(l, l.astype(float), parts)
    scale = at * (at + 1.0) / (2.0 * np.pi)
    modes = np.array([np.sum(2.0 * l[part] + 1.0) for part in parts])
    measured = scale * banded(l, power.signal, parts)
    noise = scale * banded(l, power.shot_noise, parts)
    axes.errorbar(
        at, measured, np.abs(measured) * np.sqrt(2.0 / modes), fmt="o", ms=3.5, color="#0072B2",
        label="measured, pixel window divided out",
    )  # fmt: skip
    full = l * (l + 1.0) / (2.0 * np.pi)
    axes.plot(l, full * power.theory, color="#000000", lw=1.2, label="Limber, HMcode2020")
    axes.plot(
        l, full * power.theory_in_box, color="#D55E00", ls="--", lw=1.2,
        label="without modes beyond the box",
    )  # fmt: skip
    axes.plot(at, noise, color="#666666", ls=":", label="Poisson noise of the particles")
    axes.set(
        xscale="log", yscale="log", xlabel="l", ylabel="l(l + 1) C$_l$ / 2π",
        ylim=(0.2 * np.min(full * power.theory), 50.0 * np.max(full * power.theory)),
    )  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="upper left")
