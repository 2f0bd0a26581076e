"""Softened gravity of pairs of particles within a cut, where the mesh leaves off.

The mesh sees every particle as a cloud of radius R, with the density (1 - r^2 / R^2)^n. What it
leaves out of the force of a pair is

    F(r) / r = S(r) - M(r) / r^3,   M(r) / r^3 = sum_k p_k (r / R)^(2k) / R^3,

with the cloud's mass M within r, a polynomial, and the softened force S of a point. Both are
1 / r^3 beyond R: the cut is exact. S is that of a mass spread like the C2 kernel of Wendland
(1995) with support H, which SWIFT has: with u = r / H,

    S = (21 u^5 - 90 u^4 + 140 u^3 - 84 u^2 + 14) / H^3,   its potential at r = 0 being -3 / H.

Particles are in the order of a tree, see `kernels.tree`. The sources within reach of a leaf are
packed one after the other, relative to its middle, and every particle of the leaf sums them, many
at a time. The sum of a particle has the same order on any number of threads, and memory does not
depend on how particles cluster.
"""

from __future__ import annotations

import numpy as np
from coca.kernels.tree import LEAF, Tree, highest
from numba import get_num_threads, njit, prange

BRANCH = 8
"""Most leaves of a node for which the leaves in reach are listed together."""
LISTED = 1024
"""Leaves of such a list."""
PACKED = 2048
"""Sources that are packed before they are summed; they stay in a core's first cache."""
_EXACT = {"contract", "nsz"}


@njit(fastmath=_EXACT)
def _box(x, places, low, high, middle, half):
    """Middle and half sides of the box of some particles."""
    for c in range(3):
        least = most = x[c, places[low]]
        for t in range(low + 1, high):
            at = x[c, places[t]]
            least, most = min(least, at), max(most, at)
        middle[c], half[c] = np.float32(0.5) * (least + most), np.float32(0.5) * (most - least)


@njit(fastmath=_EXACT)
def _gap(nodes, node, middle, half, box_size):
    """Squared distance of a node's box from another, in the periodic box."""
    total = np.float32(0)
    for c in range(3):
        low, high = nodes[node, c], nodes[node, 3 + c]
        d = np.float32(0.5) * (low + high) - middle[c]
        d = abs(d - box_size * np.rint(d / box_size))
        d -= half[c] + np.float32(0.5) * (high - low)
        d = max(d, np.float32(0))
        total += d * d
    return total


@njit(fastmath=_EXACT)
def _sources(nodes, spans, node, middle, half, box_size, furthest, found, numbers):
    """List leaves whose box may be within reach of another box, from a node on, until the list
    (6, n) of middles and half sides of their boxes is full; how many, and the node to go on
    with."""
    count = 0
    while node < len(nodes) and count < found.shape[1]:
        leaves = spans[node, 1]
        if _gap(nodes, node, middle, half, box_size) > furthest:
            node += 2 * leaves - 1
            continue
        if leaves == 1:
            for c in range(3):
                found[c, count] = np.float32(0.5) * (nodes[node, c] + nodes[node, 3 + c])
                found[3 + c, count] = np.float32(0.5) * (nodes[node, 3 + c] - nodes[node, c])
            numbers[count] = spans[node, 0]
            count += 1
        node += 1
    return count, node


@njit(fastmath=_EXACT)
def _beyond(d, half):
    """How far along an axis something at a distance is beyond a box."""
    return max(abs(d) - half, np.float32(0))


@njit(fastmath=_EXACT)
def _nearest(d, box_size, inverse):
    """The distance to the nearest image."""
    return d - np.rint(d * inverse) * box_size


@njit(fastmath=_EXACT)
def _near(found, numbers, count, middle, half, box_size, furthest, near):
    """Write the numbers of those leaves of a list that may be within reach of a box; how many."""
    inverse, kept = np.float32(1) / box_size, 0
    for s in range(count):
        total = np.float32(0)
        for c in range(3):
            d = _nearest(found[c, s] - middle[c], box_size, inverse)
            gap = _beyond(d, found[3 + c, s] + half[c])
            total += gap * gap
        near[kept] = numbers[s]
        kept += total < furthest
    return kept


@njit(fastmath=_EXACT)
def _pack_leaf(x, leaf, middle, half, shift, scale, box_size, packed, count):
    """Pack those of a leaf that are within the cut of a box, relative to its middle and in units of
    the cut; how many are packed then. All are written, since a processor would guess wrong."""
    inverse, one, place = np.float32(1) / box_size, np.float32(1), np.uint64(count)
    hx, hy, hz = half[0] * scale, half[1] * scale, half[2] * scale
    for p in range(leaf * LEAF, (leaf + 1) * LEAF):
        dx = (_nearest(x[0, p] - middle[0], box_size, inverse) + shift[0]) * scale
        dy = (_nearest(x[1, p] - middle[1], box_size, inverse) + shift[1]) * scale
        dz = (_nearest(x[2, p] - middle[2], box_size, inverse) + shift[2]) * scale
        packed[0, place], packed[1, place], packed[2, place] = dx, dy, dz
        gx, gy, gz = _beyond(dx, hx), _beyond(dy, hy), _beyond(dz, hz)
        # the places after the last particle are not a number
        place += np.uint64((gx * gx + gy * gy + gz * gz < one) & (dx == dx))
    return np.int64(place)


@njit(fastmath=True, error_model="numpy")
def _sum_packed(packed, count, x, y, z, inverse_H, cloud):
    """What the packed sources give to a particle: the sums of F / r times the way to the source and
    of F / r, in units of the cut. Sums may be reordered and nothing raises, so that the compiler
    takes many sources at a time."""
    one, zero, tiny = np.float32(1), np.float32(0), np.float32(1e-20)
    ax = ay = az = total = zero
    for s in range(count):
        dx, dy, dz = packed[0, s] - x, packed[1, s] - y, packed[2, s] - z
        r2 = dx * dx + dy * dy + dz * dz
        inverse = one / np.sqrt(r2 + tiny)
        u, q = min(r2 * inverse * inverse_H, one), min(inverse, inverse_H)
        soft = u * np.float32(21) - np.float32(90)
        soft = soft * u + np.float32(140)
        soft = soft * u - np.float32(84)
        soft = soft * (u * u) + np.float32(14)
        smooth = r2 * cloud[-1] + cloud[-2]
        for k in range(len(cloud) - 3, -1, -1):
            smooth = smooth * r2 + cloud[k]
        f = q * q * q * soft - smooth if r2 < one else zero
        ax, ay, az, total = ax + f * dx, ay + f * dy, az + f * dz, total + f
    return ax, ay, az, total


@njit(fastmath=_EXACT)
def _flush(packed, count, targets, number, inverse_H, cloud, sums):
    """Add what is packed to the sums (4, 16) of a number of targets (3, 16); pairs visited."""
    for t in range(number):
        x, y, z = targets[0, t], targets[1, t], targets[2, t]
        gx, gy, gz, total = _sum_packed(packed, count, x, y, z, inverse_H, cloud)
        sums[0, t] += gx
        sums[1, t] += gy
        sums[2, t] += gz
        sums[3, t] += total
    return count * number


@njit(fastmath=_EXACT)
def _sum_group(x, places, low, high, found, numbers, count, reach, room, out):
    """Add to some active particles of one leaf what the listed leaves give; pairs visited."""
    box_size, cut, furthest, inverse_H, scale, cloud = reach
    packed, near, shift, middle, half, targets, sums = room
    scaled, half_box = np.float32(1) / cut, np.float32(0.5) * box_size
    number, visited, packs, images = high - low, 0, 0, 0
    _box(x, places, low, high, middle, half)
    for c in range(3):
        images = max(images, np.int64(half[c] + cut > half_box))  # others than the next in reach
        for t in range(number):
            targets[c, t] = (x[c, places[low + t]] - middle[c]) * scaled
    sums[:] = np.float32(0)
    for n in range(_near(found, numbers, count, middle, half, box_size, furthest, near)):
        for i in range(-images, images + 1):
            for j in range(-images, images + 1):
                for k in range(-images, images + 1):
                    shift[0], shift[1], shift[2] = i * box_size, j * box_size, k * box_size
                    packs = _pack_leaf(
                        x, near[n], middle, half, shift, scaled, box_size, packed, packs
                    )
                    if packs > PACKED:
                        visited += _flush(packed, packs, targets, number, inverse_H, cloud, sums)
                        packs = 0
    visited += _flush(packed, packs, targets, number, inverse_H, cloud, sums)
    for t in range(number):
        for c in range(3):
            out[c, places[low + t]] -= scale * sums[c, t]
        out[3, places[low + t]] += scale * scaled * sums[3, t]
    return visited


@njit(fastmath=_EXACT)
def _sum_branch(tree, branch, active, reach, room, out):
    """Sum what the active particles of one node get; pairs visited."""
    x, nodes, spans = tree
    first, leaves = spans[branch, 0], spans[branch, 1]
    low, high = first * LEAF, min((first + leaves) * LEAF, active.size)
    places, middle, half = np.empty(high - low, np.int64), room[3], room[4]
    starts, total = np.zeros(leaves + 1, np.int64), 0
    for p in range(low, high):
        if active[p]:
            places[total] = p
            total += 1
            for c in range(3):
                out[c, p] = np.float32(0)
            out[3, p] = -reach[4] / reach[1] * (np.float32(14) * reach[3] ** 3 - reach[5][0])
        starts[p // LEAF - first + 1] = total
    visited, node = 0, 0
    found, numbers = np.empty((6, LISTED), np.float32), np.empty(LISTED, np.int64)
    while total and node < len(nodes):
        _box(x, places, 0, total, middle, half)
        count, node = _sources(nodes, spans, node, middle, half, reach[0], reach[2], found, numbers)
        for leaf in range(leaves):
            low, high = starts[leaf], starts[leaf + 1]
            if high > low:
                visited += _sum_group(x, places, low, high, found, numbers, count, reach, room, out)
    return visited


@njit(parallel=True, cache=True, fastmath=_EXACT)
def _pair_sums(x, nodes, spans, branches, active, lengths, cloud, out, threads):
    visited = 0
    for thread in prange(threads):
        tree = (x, nodes, spans)
        reach = (lengths[0], lengths[1], lengths[2], lengths[3], lengths[4], cloud)
        room = (
            np.empty((3, PACKED + LEAF), np.float32), np.empty(LISTED, np.int64),
            np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32),
            np.empty((3, LEAF), np.float32), np.empty((4, LEAF), np.float32),
        )  # fmt: skip
        mine = 0
        for b in range(thread, len(branches), threads):
            mine += _sum_branch(tree, branches[b], active, reach, room, out)
        visited += mine
    return visited


def pair_sums(
    tree: Tree,
    active: np.ndarray,
    box_size: float,
    cut: float,
    support: float,
    cloud: tuple[float, ...],
    scale: float,
    out: np.ndarray,
) -> int:
    """Sum what pairs within the cut add to the mesh's acceleration, for some of the particles.

    Parameters
    ----------
    tree : Tree
    active : array (N,) bool
        Particles to sum for, in the tree's order; all are sources.
    box_size : float
        Mpc/h.
    cut : float
        R of the module's docstring, at most half the box.
    support : float
        H.
    cloud : tuple of float
        The p_k of the mesh's cloud.
    scale : float
        Of 1 / r^2.
    out : array (4, N or more) float32
        Overwritten, where active, with scale times the sum over others of F, from j to i, and of
        F / r.

    Returns
    -------
    int
        Pairs visited.
    """
    furthest = cut * cut * (1.0 + 1e-5)  # not to lose any to round-off
    values = (box_size, cut, furthest, cut / support, scale / cut**2)
    lengths = tuple(np.float32(value) for value in values)
    polynomial = tuple(np.float32(p) for p in cloud)
    branches = np.flatnonzero(highest(tree.spans, BRANCH))
    return _pair_sums(*tree, branches, active, lengths, polynomial, out, get_num_threads())
