import itertools

from coca.kernels.constants import CIC, TSC


def test_clouds_are_consecutive_cells():
    for cloud, cells in ((CIC, 2), (TSC, 3)):
        assert len(cloud) == cells
        assert [b - a for a, b in itertools.pairwise(cloud)] == [1] * (cells - 1)
