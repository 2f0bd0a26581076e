"""Copies of the box: what turns them, and where the observer is in them."""

import numpy as np
import pytest

from coca.light_cone.footprint import FULL, OCTANT
from coca.light_cone.replicas import (
    PERIODIC,
    random_replica,
    replicas_between,
    view_of,
    view_of_replica,
)

L = 50.0
OBSERVER = np.array([3.0, 20.0, 49.0])


def test_turns_are_isometries_and_depend_on_the_seed_and_the_place_alone():
    seen = set()
    for copy in [(1, 0, 0), (0, -2, 1), (7, 7, 7)]:
        replica = random_replica(5, copy)
        again, other = random_replica(5, copy), random_replica(6, copy)
        assert np.array_equal(replica.origin, again.origin) and np.all(replica.signs == again.signs)
        assert not np.array_equal(replica.origin, other.origin)
        vectors = np.random.default_rng(0).normal(size=(10, 3))
        sky = replica.to_sky(vectors)
        np.testing.assert_allclose(sky @ sky.T, vectors @ vectors.T, rtol=1e-12)
        np.testing.assert_allclose([replica.to_own(v) for v in sky], vectors, rtol=1e-12)
        seen.add((*replica.axes, *replica.signs))
    assert len(seen) == 3 and random_replica(5, (0, 0, 0)) is PERIODIC
    turns = [random_replica(1, (i, 0, 0)) for i in range(1, 2000)]
    assert len({(*turn.axes, *turn.signs) for turn in turns}) == 48


def test_the_cube_of_a_copy_is_where_the_copy_is():
    """Corners of the cube in the box, seen from the observer there, are corners of the copy."""
    for replica in replicas_between(3, OBSERVER, L, 0.0, 80.0):
        own = replica.observer(OBSERVER, L)
        corners = replica.origin + L * np.array(list(np.ndindex(2, 2, 2)))
        found = replica.to_sky(corners - own) + OBSERVER
        wanted = L * (replica.copy + np.array(list(np.ndindex(2, 2, 2))))
        order = [np.lexsort(np.round(rows, 6).T) for rows in (found, wanted)]
        np.testing.assert_allclose(found[order[0]], wanted[order[1]], atol=1e-10)


@pytest.mark.parametrize(("near", "far"), [(0.0, 10.0), (60.0, 90.0)])
def test_copies_between_two_distances_are_all_there(near, far):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20_000, 3))
    x *= (rng.uniform(near, far, 20_000) / np.linalg.norm(x, axis=1))[:, None]
    wanted = {tuple(copy) for copy in np.floor((x + OBSERVER) / L).astype(int).tolist()}
    found = {tuple(r.copy.tolist()) for r in replicas_between(3, OBSERVER, L, near, far)}
    assert wanted <= found and len(found) < 1.3 * len(wanted) + 8


def test_views_are_of_the_footprint_within_the_cube():
    view = view_of(OCTANT, 100.0)
    assert view.window[:6].tolist() == [0.0, 0.0, 0.0, 100.0, 100.0, 100.0] and view.cube[3] == 0.0
    for footprint in (FULL, OCTANT):
        for replica in replicas_between(3, OBSERVER, L, 0.0, 79.0):
            own = replica.observer(OBSERVER, L)
            view = view_of_replica(footprint, replica, own, L, 79.0)
            low, high = view.window[:3], view.window[3:6]
            empty = footprint is OCTANT and np.any(replica.copy < 0)
            assert np.any(low >= high) == empty
            near, far = replica.origin - own - 1e-9, replica.origin - own + L + 1e-9
            assert np.all(low >= near) and np.all(high <= far)
