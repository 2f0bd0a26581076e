import matplotlib.image
import numpy as np

from coca.results import report_figures


def test_one_colour_scale():
    """The same picture twice has the same colours, whatever is beside it."""
    ones, colour = np.ones((8, 8)), report_figures.DENSITIES(1.0)
    middle = np.array(matplotlib.colormaps["magma"](colour, bytes=True)[:3], int)
    for other in (0.01, 100.0):
        pixels = report_figures.density({"a": ones, "b": other * ones}, None, 64.0, 16.0)
        share = np.mean((np.abs(pixels - middle) < 4).all(axis=-1))  # it is drawn with 8 bits
        assert share > 0.2  # one of two panels; the other and the bar are the rest


def test_compilation_is_told_apart():
    seconds = {"force": 2.0, "output": 1.0}
    colour = np.round(255 * np.array(matplotlib.colors.to_rgb(report_figures.FRAME["color"])))

    def hatched(compiled):
        return int((report_figures.time(seconds, compiled) == colour).all(axis=-1).sum())

    assert hatched({"force": 0.0, "output": 0.0}) == 0
    assert hatched({"force": 1.5, "output": 0.0}) > 1000
