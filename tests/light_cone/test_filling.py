"""Shells that are being filled: sums, and what a checkpoint keeps."""

import numpy as np

from coca.light_cone.cone_particles import Crossings
from coca.light_cone.filling import Filling

PIXEL = np.array([3, -1, 3, 0], np.int32)
SPEED = np.array([10.0, 1e3, -4.0, 2.0])


def crossings(ids):
    return Crossings(np.array(ids, np.uint64), np.ones((len(ids), 7), np.float32))


def test_particles_are_added_where_they_are_seen():
    shell = Filling.none(12, momentum=True, particles=True)
    for ids in ([1, 2, 3], [4, 5, 6]):
        shell.add(PIXEL, SPEED, crossings(ids), threads=2)
    assert shell.counts.tolist() == [2, 0, 0, 4] + 8 * [0]
    assert shell.momentum.tolist() == [4.0, 0.0, 0.0, 12.0] + 8 * [0.0]
    assert shell.crossings.ids.tolist() == [1, 2, 3, 4, 5, 6]


def test_nothing_is_kept_that_is_not_asked_for():
    shell = Filling.none(12, momentum=False, particles=False)
    shell.add(PIXEL, np.zeros(0), crossings([1]), threads=1)
    assert shell.counts.sum() == 3 and not shell.momentum.size and shell.crossings is None
    assert sorted(shell.arrays) == ["counts", "momentum"]


def test_a_shell_comes_back_from_its_arrays():
    for particles in (False, True):
        shell = Filling.none(12, momentum=True, particles=particles)
        shell.add(PIXEL, SPEED, crossings([7, 8, 9]), threads=1)
        again = Filling.of(shell.arrays)
        assert (again.crossings is None) == (not particles)
        for name, wanted in shell.arrays.items():
            np.testing.assert_array_equal(again.arrays[name], wanted)
