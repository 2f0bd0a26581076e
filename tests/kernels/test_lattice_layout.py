import numpy as np
from coca.kernels import lattice_layout as layout

from coca import kernels


def test_fields_stand_side_by_side():
    vectors = (layout.DISPLACEMENT, layout.VELOCITY, layout.INWARD, layout.RESIDUAL)
    places = [first + c for first in vectors for c in range(3)]
    places += [layout.LOG_DENSITY, layout.SQUARE, layout.LOG_BEFORE]
    assert places == list(range(layout.FIELDS))
    assert layout.LOG_BEFORE == layout.AVERAGED, "the last alone is not averaged"


def test_all_vectors_and_scalars_are_filled():
    rng = np.random.default_rng(1)
    fields = rng.normal(size=(2, layout.FIELDS, 3, 5)).astype(np.float32)
    means = rng.normal(size=(2, layout.WIDTHS, layout.AVERAGED, 3, 5)).astype(np.float32)
    conditions = np.array([0.5, -1.0, 2.0], np.float32)
    vectors = np.full((layout.VELOCITIES, 3, 2, 3, 5), np.nan, np.float32)
    scalars = np.full((layout.SCALARS, 2, 3, 5), np.nan, np.float32)
    kernels.lattice_network.features(fields, np.abs(means), conditions, 0, vectors, scalars)
    assert np.isfinite(vectors).all() and np.isfinite(scalars).all()
    np.testing.assert_array_equal(scalars[-layout.CONDITIONS :, 1, 2, 4], conditions)
