import matplotlib.image
import numpy as np

from coca.statistics.plots import Curve, Panel, write_figure


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
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
