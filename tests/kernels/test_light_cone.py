"""Crossings against a plain search of all copies of a box."""

import itertools

import numpy as np
import pytest
from coca.kernels.light_cone import candidates, paint, row_reach

from coca.light_cone.footprint import FULL, OCTANT, Footprint
from coca.light_cone.light_cone import batches, find_crossings
from coca.light_cone.replicas import view_of
from tests.kernels.pixels import ring_pixels

N, BOX = 8, 32.0
OBSERVER = np.array([3.0, 17.5, 30.0])
H, PATH = 0.05, (50.0, -460.0, 27.0, -460.0)
UNITS = (1.0, 1.0, 0.0, 0.0, 50.0)
"""Velocities as they are, and no redshift space."""


def moving(seed=1):
    """Displacements of some Mpc/h, beyond the box too, and what they are at the interval's end."""
    rng = np.random.default_rng(seed)
    disp = rng.normal(size=(3, N**3)).astype(np.float32) * 4.0
    vel = rng.normal(size=(3, N**3)).astype(np.float32) * 3.0
    later = vel + rng.normal(size=(3, N**3)).astype(np.float32)
    return (disp, vel), (np.float32(disp + 0.5 * H * (vel + later)), later)


def plain(before, after, path):
    """Sites, copies and particles one after the other: how many cross, and where on a straight
    line."""
    q = np.stack(np.meshgrid(*3 * [np.arange(N) * BOX / N], indexing="ij")).reshape(3, -1)
    found = []
    for copy in itertools.product(range(-4, 5), repeat=3):
        x, y = (
            q + s[0] + BOX * np.array(copy)[:, None] - OBSERVER[:, None] for s in (before, after)
        )
        r, s = np.linalg.norm(x, axis=0), np.linalg.norm(y, axis=0)
        for p in np.flatnonzero((r < path[0]) & (s >= path[2])):
            t = (path[0] - r[p]) / (path[0] - r[p] + s[p] - path[2])
            found.append((p, *copy, *(x[:, p] + t * (y[:, p] - x[:, p]))))
    return np.array(sorted(found))


def search(
    before, after, path=PATH, rows=(0, N * N), footprint=FULL, parts=(0.0, 1.0), units=UNITS
):
    """All that cross, in a part of the interval; `path` has radii and slopes in D."""
    reach = row_reach(before, after, H, (N, N, N))
    box, piece = (0, N, BOX / N), H * (parts[1] - parts[0])
    view = view_of(footprint, path[0])
    counts = candidates(reach, box, OBSERVER, path[0], path[2], view.window)
    path = (path[0], path[1] * piece, path[2], path[3] * piece)
    arguments = before, after, reach, counts, box, rows, OBSERVER, H, parts, path, view, 16, units
    pixel, particle, motion, at = find_crossings(*arguments, True, True)
    quick, numbers, moving, nowhere = find_crossings(*arguments, True, False)
    kept = pixel >= 0
    assert np.array_equal(pixel, quick) and np.array_equal(numbers, particle) and not nowhere.size
    # without Newton's steps, of these violent motions
    off = np.abs(moving[kept] - motion[kept]).max(axis=0, initial=0.0)
    assert np.all(off < [0.01 * units[0], 0.1, 0.01])
    quick, *none = find_crossings(*arguments, False, False)
    assert np.array_equal(pixel, quick) and not any(array.size for array in none)
    return pixel[kept], np.hstack([at, motion[:, [0, 2, 1]]])[kept], particle[kept]


def test_crossings_are_those_of_a_plain_search():
    before, after = moving()
    pixel, at, particle = search(before, after)
    wanted = plain(before, after, PATH)
    assert len(pixel) == len(wanted) > 500
    q = np.stack(np.unravel_index(particle, (N, N, N)), axis=1) * BOX / N
    copies = np.rint((at[:, :3] + OBSERVER - q - before[0].T[particle]) / BOX)
    order = np.lexsort((*copies.T[::-1], particle))
    np.testing.assert_array_equal(particle[order], wanted[:, 0])
    # cubic against straight: H |w - v| / 8 is about 0.02
    np.testing.assert_allclose(at[order, :3], wanted[:, 4:], atol=0.05)
    # within 1e-3 of the piece, where a parabola takes the place of the cubic
    assert np.mean(pixel == ring_pixels(16, at[:, :3])) > 0.99


def test_particles_are_on_the_cone_where_they_cross():
    """|x| = chi, both along cubics."""
    _, at, _ = search(*moving())
    t = at[:, 7].astype(float)
    rise = t * t * (3 - 2 * t)
    chi = PATH[0] + rise * (PATH[2] - PATH[0])
    chi += H * (t * (1 - t) ** 2 * PATH[1] + t * t * (t - 1) * PATH[3])
    np.testing.assert_allclose(np.linalg.norm(at[:, :3], axis=1), chi, atol=1e-4)
    direction = at[:, :3] / np.linalg.norm(at[:, :3], axis=1)[:, None]
    np.testing.assert_allclose(at[:, 6], np.sum(direction * at[:, 3:6], axis=1), atol=1e-4)


def test_redshift_space_moves_along_the_line_of_sight():
    """By the radial velocity in units that change evenly through the interval, up to a most."""
    _, at, _ = search(*moving())
    units = (100.0, 120.0, 0.5, 0.7, 1.5)
    seen = search(*moving(), units=units)[1]
    t = at[:, 7].astype(float)
    np.testing.assert_allclose(seen[:, 6], at[:, 6] * (100.0 + 20.0 * t), rtol=1e-5)
    shift = np.clip(at[:, 6] * (0.5 + 0.2 * t), -1.5, 1.5)
    assert 0.1 < np.mean(np.abs(shift) == 1.5) < 0.9
    np.testing.assert_allclose(seen[:, 8], np.linalg.norm(at[:, :3], axis=1) + shift, atol=1e-4)


def test_nothing_is_lost_between_parts_of_the_lattice():
    """Rows in parts, as batches have them, give what all give."""
    before, after = moving()
    whole = search(before, after)[0]
    rows = [(0, 5), (5, 50), (50, N * N)]
    parts = [search(before, after, rows=some)[0] for some in rows]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.sort(whole))


def chi(t):
    """The cone's radius at a part of the interval."""
    chi_a, slope_a, chi_b, slope_b = PATH
    rise = t * t * (3 - 2 * t)
    return chi_a + rise * (chi_b - chi_a) + H * t * (1 - t) * ((1 - t) * slope_a - t * slope_b)


def test_nothing_is_lost_between_pieces_of_an_interval():
    """Each particle crosses in one piece, where it does in the whole interval."""
    before, after = moving()
    ends, small = np.linspace(0.0, 1.0, 5), 1e-6
    found = []
    for a, b in itertools.pairwise(ends):
        slopes = [(chi(t + small) - chi(t - small)) / (2 * small * H) for t in (a, b)]
        path = (chi(a), slopes[0], chi(b), slopes[1])
        found.append(search(before, after, path, parts=(a, b)))
    whole = search(before, after)

    def sorted_(found):
        return found[0][np.argsort(found[2], kind="stable")], np.sort(found[2])

    pieces = [np.concatenate(arrays) for arrays in zip(*found, strict=True)]
    np.testing.assert_array_equal(sorted_(pieces)[1], sorted_(whole)[1])
    by_time = [np.sort(arrays[1][:, 7]) for arrays in (pieces, whole)]
    np.testing.assert_allclose(*by_time, atol=1e-5)


def test_batches_have_every_row_once():
    counts = np.array([0, 3, 3, 9, 0, 1, 1, 0])
    assert batches(counts, 6) == [(0, 3), (3, 4), (4, 8)]
    assert batches(counts, 100) == [(0, 8)] and batches(np.zeros(3, int), 6) == []


def test_an_octant_is_part_of_the_sky():
    before, after = moving()
    _, at, _ = search(before, after)
    octant = search(before, after, footprint=OCTANT)[1]
    assert len(octant) == np.sum(np.all(at[:, :3] >= 0, axis=1)) > 50
    assert np.all(octant[:, :3] >= 0)


AXES = [(0.0, 0.0), (90.0, 0.0), (0.0, 90.0), (0.0, -90.0), (45.0, 0.0), (200.0, 33.0)]


@pytest.mark.parametrize("radius", [1.0, 20.0, 45.0, 80.0, 90.0, 100.0, 135.0, 170.0, 180.0])
def test_cones_have_the_particles_within_them(radius):
    """Those of the whole sky that are within the angle, and no others; about axes along rows and
    across, with rows along the cones' sides too. The place that decides is the one before Newton's
    steps, in these violent motions 0.01 Mpc/h and so 0.02 degrees from where they cross."""
    before, after = moving()
    _, at, particle = search(before, after)
    x = at[:, :3].astype(float)
    for lon, lat in [*AXES, (10.0, 90.0 - radius % 90.0), (-30.0, radius % 90.0 - 90.0)]:
        footprint = Footprint("cone", lon, lat, radius)
        _, found, whose = search(before, after, footprint=footprint)
        away = np.arctan2(np.linalg.norm(np.cross(x, footprint.axis), axis=1), x @ footprint.axis)
        surely, perhaps = (np.degrees(away) <= radius + d for d in (-0.02, 0.02))
        assert surely.sum() <= len(found) <= perhaps.sum()
        names = {(p, *np.rint(y)) for p, y in zip(particle[perhaps], x[perhaps], strict=True)}
        assert all((p, *np.rint(y)) in names for p, y in zip(whose, found[:, :3], strict=True))


def test_as_many_are_tried_as_a_footprint_has():
    """Of a large sphere, whose particles are near their sites, about the share of the sky."""
    reach, box, observer = np.full((64, 64), 1.0), (0, 64, 4.0), np.array([128.0, 100.0, 30.0])

    def tried(footprint):
        view = view_of(footprint, 1000.0)
        return candidates(reach, box, observer, 1000.0, 900.0, view.window).sum()

    whole = tried(FULL)
    volume = 4 / 3 * np.pi * (1001.001**3 - 898.999**3) / 4.0**3
    assert whole == pytest.approx(volume, rel=1e-3)
    assert tried(OCTANT) == pytest.approx(whole / 8, rel=0.01)
    for lon, lat in AXES:
        for radius in (5.0, 30.0, 60.0, 90.0):
            cone = Footprint("cone", lon, lat, radius)
            assert 1.0 < tried(cone) / (whole * cone.share) < 1.01 + 0.2 / radius
        # a row that sticks out on both sides of what a large one lacks is tried as a whole
        assert 0.75 < tried(Footprint("cone", lon, lat, 120.0)) / whole < 0.88


@pytest.mark.parametrize("parts", [1, 3])
def test_maps_are_histograms(parts):
    rng = np.random.default_rng(0)
    pixel, values = rng.integers(0, 12, 1000), rng.normal(size=1000)
    counts, sums = np.zeros(12, np.int32), np.zeros(12)
    paint(pixel, values, parts, counts, sums)
    np.testing.assert_array_equal(counts, np.bincount(pixel, minlength=12))
    np.testing.assert_allclose(sums, np.bincount(pixel, values, 12), atol=1e-12)
