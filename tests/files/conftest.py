"""A snapshot of ours, to be read or to be made another code's."""

import pytest

from coca.files.snapshot_writer import write_snapshot
from coca.particles import Snapshot


@pytest.fixture(scope="module")
def snapshot(cosmology, conditions):
    D = float(cosmology.D1(0.5))
    lpt = conditions.lpt_frame(cosmology)
    return Snapshot(D, lpt.displacement(D), lpt.velocity(D))


@pytest.fixture
def path(tmp_path, domain, cosmology, snapshot):
    path = tmp_path / "snapshot_000.hdf5"
    write_snapshot(path, domain, cosmology, snapshot, {})
    return path
