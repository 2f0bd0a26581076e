import re

import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from coca.results import report_figures
from coca.statistics.spectra import Spectra


def test_one_colour_scale():
    """The same picture twice has the same colours, whatever is beside it."""
    ones, colour = np.ones((8, 8)), report_figures.DENSITIES(1.0)
    middle = np.array(matplotlib.colormaps["magma"](colour, bytes=True)[:3], int)
    for other in (0.01, 100.0):
        pixels = report_figures.draw_density(
            {"a": ones, "b": other * ones}, None, 64.0, 16.0
        ).pixels
        share = np.mean((np.abs(pixels - middle) < 4).all(axis=-1))  # it is drawn with 8 bits
        assert share > 0.2  # one of two panels; the other and the bar are the rest


def test_compilation_is_told_apart():
    seconds = {"force": 2.0, "output": 1.0}
    colour = np.round(255 * np.array(matplotlib.colors.to_rgb(report_figures.FRAME["color"])))

    def hatched(compiled):
        return int(
            (report_figures.draw_time(seconds, compiled).pixels == colour).all(axis=-1).sum()
        )

    assert hatched({"force": 0.0, "output": 0.0}) == 0
    assert hatched({"force": 1.5, "output": 0.0}) > 1000


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_panels_and_their_bars_fit_the_page(count):
    """Nothing is drawn over the right edge, and no panel over another."""
    columns = 2 if count in (2, 4) else 3
    panels = report_figures.Panels(count, columns, 2 if count <= columns else 1)
    corners = np.array([panels.corner(number) for number in range(count)])
    assert corners[:, 0].max() + panels.side + panels.bars * report_figures.BAR <= 7.5 + 1e-9
    assert corners[:, 1].max() + panels.side < panels.height
    apart = np.abs(corners[:, None] - corners[None]).max(axis=-1) + 9 * np.eye(count)
    assert apart.min() > panels.side
    images = {str(i): np.ones((8, 8)) + i for i in range(count - 1)}
    if images:
        pixels = report_figures.draw_density(images, ("a", np.eye(8)), 1000.0, 16.0).pixels
        assert (pixels[:, [*range(-3, 3)]] == 255).all()


@pytest.mark.parametrize(
    "names", [["initial", "run", "reference"], ["initial", "2LPT", "run", "reference"]]
)
def test_the_run_stands_beside_its_reference(names, monkeypatch):
    """In one row with their difference, with nothing between."""
    seen = []
    draw = report_figures._image
    monkeypatch.setattr(report_figures, "_image", lambda *a: seen.append(a[1:4]) or draw(*a))
    report_figures.draw_density(
        {name: np.ones((8, 8)) for name in names}, ("d", np.eye(8)), 64.0, 16.0
    )
    places = {name: panels.place(number) for panels, number, name in seen}
    assert [places[name] for name in ("run", "reference", "d")] == [(1, 0), (1, 1), (1, 2)]
    assert places["initial"] == (0, 0)


@pytest.mark.parametrize(("off", "drawn"), [(0.05, True), (2.0, False)])
def test_the_band_is_drawn_and_named_where_it_is_seen(off, drawn):
    k = np.geomspace(0.1, 1.0, 20)
    modes = np.full(20, 100)
    run = Spectra(k, modes, (1 + off * k) / k, 1 / k, 1 / k)
    curves = [report_figures.SpectrumCurve("run", run, report_figures.RUN)]
    pixels = report_figures.draw_spectra(curves, 1 / k, True, 2.0).pixels
    grey = np.round(255 * 0.88)
    share = np.mean((np.abs(pixels - grey) < 2).all(axis=-1))
    assert (share > 0.005) == drawn


def test_wavenumbers_are_short_and_stand_below_the_last_panel(monkeypatch):
    def drawn(draw, height):
        figure = Figure(figsize=(report_figures.WIDTH, height))
        draw(figure)
        FigureCanvasAgg(figure).draw()
        return figure

    monkeypatch.setattr(report_figures, "picture", drawn)
    k = np.geomspace(0.14, 3.0, 20)
    run = Spectra(k, np.full(20, 100), 1.1 / k, 1 / k, 1 / k)
    curves = [report_figures.SpectrumCurve("run", run, report_figures.RUN)]
    *above, last = report_figures.draw_spectra(curves, 1 / k, True, 1.5).axes
    for panel, wanted in (*((panel, []) for panel in above), (last, ["0.2", "0.5", "1", "2"])):
        low, high = panel.get_xlim()
        ticks = [*panel.xaxis.get_major_ticks(), *panel.xaxis.get_minor_ticks()]
        shown = [t.label1 for t in ticks if t.label1.get_visible() and low < t.get_loc() < high]
        assert [label.get_text() for label in shown if label.get_text()] == wanted


def test_a_pdf_is_the_same_figure():
    """As wide and as high, in points, as its pixels, and of lines and letters."""
    pixels, pdf = report_figures.draw_time({"force": 2.0, "output": 1.0}, {})
    left, low, right, high = map(float, re.search(rb"MediaBox \[([^]]*)", pdf)[1].split())
    points = np.array(pixels.shape[:2]) * 72 / report_figures.DPI
    np.testing.assert_allclose([high - low, right - left], points, atol=1.0)
    assert b"/Font" in pdf and b"/Subtype /Image" not in pdf
