"""The section on a light cone: a figure, or the reason why there is none."""

import numpy as np
import pytest

from coca.cosmology.background import scale_factor
from coca.cosmology.distance import comoving_distance
from coca.light_cone import healpix
from coca.light_cone.footprint import FULL
from coca.light_cone.shells import Shell, write_shell
from coca.results.report_sky import draw_sky


@pytest.fixture
def directory(cosmology, tmp_path):
    """Particles thrown at random to z = 0.3."""
    counts = np.random.default_rng(1).poisson(100.0, 12 * 16**2).astype(np.int32)
    edges = (0.0, comoving_distance(cosmology, scale_factor(0.3)))
    write_shell(tmp_path, Shell(0, 1, (0.0, 0.3), edges, cosmology, 100.0, 32**3, FULL, counts))
    return tmp_path


@pytest.mark.slow
def test_a_figure(directory):
    pytest.importorskip("healpy")
    pytest.importorskip("camb")
    section, drawn = draw_sky(directory, 0.3)
    assert section.lacking is None and section.sources == 0.3
    rows, columns, _ = drawn["sky"].pixels.shape
    assert columns == 1500 and 300 < rows < 700
    assert np.std(drawn["sky"].pixels[:, : columns // 2]) > 30  # the map is there


def test_without_healpy(directory, monkeypatch):
    monkeypatch.setattr(healpix, "find_spec", lambda name: None)
    section, drawn = draw_sky(directory, 0.3)
    assert not drawn and "the convergence: wanted healpy, which is not installed" in section.lacking
