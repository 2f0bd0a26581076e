"""Bands of l."""

import numpy as np

from coca.light_cone.lensing_figures import banded, bands


def test_bands_have_all_modes_once():
    l = np.arange(2, 1025)
    parts = bands(l)
    assert np.array_equal(np.concatenate([l[part] for part in parts]), l)
    assert all(part.stop > part.start for part in parts) and len(parts) > 12


def test_means_weigh_by_modes():
    l = np.arange(2, 6)
    assert banded(l, np.array([1.0, 0, 0, 3.0]), [slice(0, 4)]) == (5 + 3 * 11) / (5 + 7 + 9 + 11)
    assert banded(l, l.astype(float), [slice(0, 1), slice(1, 4)])[0] == 2
