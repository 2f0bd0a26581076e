import itertools

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from coca.statistics.plots import Curve, Panel, _draw, write_figure


def test_a_figure_has_its_panels_side_by_side(tmp_path):
    """A curve is drawn in its colour, points with their error bars in theirs."""
    k = np.geomspace(0.1, 1.0, 20)
    panels = [
        Panel([Curve("a", k, k**-1.5), Curve("b", k, 2 * k**-1.5, 0.1 * k)], "k", "P"),
        Panel([Curve("c", k, np.sin(9 * k))], "k", "B", "symlog"),
    ]
    write_figure(tmp_path / "a.png", panels, "title")
    pixels = matplotlib.image.imread(tmp_path / "a.png")[..., :3]
    assert pixels.shape[1] == round(2 * 4.6 * 200)
    left, right = np.split(pixels, 2, axis=1)
    blue, orange = np.array([[0x00, 0x72, 0xB2], [0xD5, 0x5E, 0x00]]) / 255
    for half, colour, drawn in ((left, blue, True), (left, orange, True), (right, blue, True),
                                (right, orange, False)):  # fmt: skip
        close = (np.abs(half - colour) < 0.02).all(axis=-1)
        assert (close.sum() > 100) == drawn
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png"]
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    "ends", [(0.05, 3.0), (1e11, 3e15), (1e12, 8e12), (0.01, 30.0), (0.2, 0.9)]
)
def test_labels_do_not_meet(ends):
    """Their boxes on the page, for wavenumbers, masses and densities."""
    x = np.geomspace(*ends, 20)
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    _draw(axes, Panel([Curve("a", x, x**-1.5)], "x", "y"))
    figure.draw_without_rendering()
    low, high = axes.get_xlim()
    labels = [
        tick.label1.get_window_extent() for tick in axes.xaxis.get_major_ticks()
        if low <= tick.get_loc() <= high and tick.label1.get_text()
    ]  # fmt: skip
    assert len(labels) >= 2
    assert all(a.x1 + 2 < b.x0 for a, b in itertools.pairwise(labels))
