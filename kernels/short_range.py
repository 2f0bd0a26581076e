"""Softened gravity of pairs of particles within a cut, where the mesh leaves off.

The mesh sees every particle as a cloud of radius R, with the density (1 - r^2 / R^2)^n. What it
leaves out of the force of a pair is

    F(r) / r = S(r) - M(r) / r^3,   M(r) / r^3 = sum_k p_k (r / R)^(2k) / R^3,

with the cloud's mass M within r, a polynomial, and the softened force S of a point. Both are
1 / r^3 beyond R: the cut is exact. S is that of a mass spread like the C2 kernel of Wendland
(1995) with support H, which SWIFT has: with u = r / H,

    S = (21 u^5 - 90 u^4 + 140 u^3 - 84 u^2 + 14) / H^3,   its potential at r = 0 being -3 / H.

Particles are set in the order of a tree that halves them, at each node along the longest side,
down to leaves of 16. Nodes stand in order of depth: the m leaves of a node take the 2 m - 1 places
that begin with its own, so that what is out of reach is left out by going on after it. The sources
within reach of a leaf are packed one after the other, relative to its middle, and every particle
of the leaf sums them, many at a time. The sum of a particle has the same order on any number of
threads, and memory does not depend on how particles cluster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange

LEAF = 16
"""Particles of a leaf."""
BRANCH = 8
"""Most leaves of a node for which the leaves in reach are listed together."""
LISTED = 1024
"""Leaves of such a list."""
PACKED = 2048
"""Sources that are packed before they are summed; they stay in a core's first cache."""
_SAMPLE = 63
_TOP = 6
_EXACT = {"contract", "nsz"}


def leaves_of(particles: int) -> int:
    """Number of leaves of so many particles."""
    return -(-particles // LEAF)


@njit(fastmath=_EXACT)
def _part(rows, low, high, axis, pivot, equal):
    """Move rows whose key is below the pivot, or equal to it where asked for, to the front; where
    they end. Every row is moved, since a processor guesses wrong every other time."""
    end = low
    for i in range(low, high):
        a, b = np.uint64(i), np.uint64(end)
        key = rows[a, axis]
        x, y, z, number = rows[a, 0], rows[a, 1], rows[a, 2], rows[a, 3]
        for c in range(4):
            rows[a, c] = rows[b, c]
        rows[b, 0], rows[b, 1], rows[b, 2], rows[b, 3] = x, y, z, number
        end += np.int64(key <= pivot) if equal else np.int64(key < pivot)
    return end


@njit(fastmath=_EXACT)
def _pivot(rows, low, high, k, axis, sample):
    """A key near the one of rank k, from a sample at even distances."""
    n, taken = high - low, min(sample.size, high - low)
    for s in range(taken):
        key = rows[low + s * n // taken, axis]
        place = s
        while place > 0 and sample[place - 1] > key:
            sample[place] = sample[place - 1]
            place -= 1
        sample[place] = key
    return sample[(k - low) * taken // n]


@njit(fastmath=_EXACT)
def _select(rows, low, high, k, axis, sample):
    """Order rows low to high - 1 so that those before k are not beyond it along the axis, nor those
    after it before."""
    while high - low > 1:
        pivot = _pivot(rows, low, high, k, axis, sample)
        end = _part(rows, low, high, axis, pivot, False)
        if k < end:
            high = end
        elif end > low:
            low = end
        else:
            low = _part(rows, low, high, axis, pivot, True)
            if k < low:
                return


@njit
def _halve(rows, first, leaves, box):
    """Halve a node at the median along the longest side of its box (6,); leaves of the lower half,
    the axis, and where it is halved."""
    axis = 0
    for c in range(1, 3):
        if box[3 + c] - box[c] > box[3 + axis] - box[axis]:
            axis = c
    lower, sample = (leaves + 1) // 2, np.empty(_SAMPLE, np.float32)
    low, middle = first * LEAF, (first + lower) * LEAF
    high = min((first + leaves) * LEAF, len(rows))
    _select(rows, low, high, middle, axis, sample[: 1 + 2 * min(_SAMPLE // 2, (high - low) // 32)])
    return lower, axis, rows[middle, axis]


@njit
def _sort(rows, first, leaves, box):
    """Order the rows of a node, and of all below it."""
    if leaves > 1:
        lower, axis, at = _halve(rows, first, leaves, box)
        kept = box[3 + axis]
        box[3 + axis] = at
        _sort(rows, first, lower, box)
        box[3 + axis], kept = kept, box[axis]
        box[axis] = at
        _sort(rows, first + lower, leaves - lower, box)
        box[axis] = kept


@njit(parallel=True, cache=True)
def _tree_order(rows, nodes, boxes):
    """Level by level at the top, then node by node; nodes (levels, width, 2) and boxes alike."""
    levels, width = nodes.shape[:2]
    for level in range(levels - 1):
        for node in prange(1 << level):
            first, leaves = nodes[level, node]
            lower, axis = leaves, 0
            for half in range(2):
                boxes[level + 1, 2 * node + half] = boxes[level, node]
            if leaves > 1:
                lower, axis, at = _halve(rows, first, leaves, boxes[level, node])
                boxes[level + 1, 2 * node, 3 + axis] = at
                boxes[level + 1, 2 * node + 1, axis] = at
            nodes[level + 1, 2 * node] = first, lower
            nodes[level + 1, 2 * node + 1] = first + lower, leaves - lower
    for node in prange(width):
        _sort(rows, nodes[levels - 1, node, 0], nodes[levels - 1, node, 1], boxes[-1, node])


@njit(parallel=True, cache=True)
def _rows(x, box_size, rows):
    """Positions in the box, and each one's number in the bits of a fourth."""
    numbers = rows.view(np.int32)
    L = np.float64(box_size)
    for p in prange(x.shape[1]):
        for c in range(3):
            at = np.float64(x[c, p])
            at = np.float32(at - L * np.floor(at / L))
            rows[p, c] = at if at < L else np.float32(0)
        numbers[p, 3] = p


@njit(parallel=True, cache=True)
def _columns(rows, x, order):
    numbers = rows.view(np.int32)
    for p in prange(len(rows)):
        for c in range(3):
            x[c, p] = rows[p, c]
        order[p] = numbers[p, 3]
    for c in range(3):
        x[c, len(rows) :] = np.nan


def tree_order(x: np.ndarray, box_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Particles in the order of a tree.

    Parameters
    ----------
    x : array (3, N) float32
        Positions in Mpc/h, finite.
    box_size : float

    Returns
    -------
    sorted_x : array (3, 16 leaves) float32
        Positions in the box, in the tree's order; not a number after the last.
    order : array (N,) int32
        Which particle stands where.
    """
    n = x.shape[1]
    leaves = leaves_of(n)
    rows, order = np.empty((n, 4), np.float32), np.empty(n, np.int32)
    _rows(x, box_size, rows)
    nodes = np.zeros((_TOP + 1, 1 << _TOP, 2), np.int64)
    boxes = np.zeros((_TOP + 1, 1 << _TOP, 6), np.float32)
    nodes[0, 0] = 0, leaves
    boxes[0, 0, :3], boxes[0, 0, 3:] = rows[:, :3].min(axis=0), rows[:, :3].max(axis=0)
    _tree_order(rows, nodes, boxes)
    sorted_x = np.empty((3, LEAF * leaves), np.float32)
    _columns(rows, sorted_x, order)
    return sorted_x, order


@njit
def _bounds(x, leaf, nodes, node):
    for c in range(3):
        low, high = np.float32(np.inf), np.float32(-np.inf)
        for p in range(leaf * LEAF, (leaf + 1) * LEAF):
            low = x[c, p] if x[c, p] < low else low
            high = x[c, p] if x[c, p] > high else high
        nodes[node, c], nodes[node, 3 + c] = low, high


@njit
def _node_bounds(x, node, first, leaves, nodes):
    """Fill the boxes of a node and of all below it."""
    if leaves == 1:
        _bounds(x, first, nodes, node)
        return
    lower = (leaves + 1) // 2
    a, b = node + 1, node + 2 * lower
    _node_bounds(x, a, first, lower, nodes)
    _node_bounds(x, b, first + lower, leaves - lower, nodes)
    for c in range(3):
        nodes[node, c] = min(nodes[a, c], nodes[b, c])
        nodes[node, 3 + c] = max(nodes[a, 3 + c], nodes[b, 3 + c])


@njit(parallel=True, cache=True)
def _all_bounds(x, nodes, spans, parts):
    """Boxes of some nodes and all below."""
    for part in prange(len(parts)):
        node = parts[part]
        _node_bounds(x, node, spans[node, 0], spans[node, 1], nodes)


@njit(cache=True)
def _upper_bounds(node, leaves, most, nodes):
    if leaves > most:
        lower = (leaves + 1) // 2
        a, b = node + 1, node + 2 * lower
        _upper_bounds(a, lower, most, nodes)
        _upper_bounds(b, leaves - lower, most, nodes)
        for c in range(3):
            nodes[node, c] = min(nodes[a, c], nodes[b, c])
            nodes[node, 3 + c] = max(nodes[a, 3 + c], nodes[b, 3 + c])


@njit(cache=True)
def _spans(spans):
    """Fill in the first leaf and the number of leaves of every node, but for the first node's."""
    for node in range(len(spans)):
        first, leaves = spans[node]
        if leaves > 1:
            lower = (leaves + 1) // 2
            spans[node + 1] = first, lower
            spans[node + 2 * lower] = first + lower, leaves - lower


class Tree(NamedTuple):
    """Particles in the order of a tree, and its M = 2 leaves - 1 nodes."""

    x: np.ndarray
    """Positions (3, 16 leaves) float32 in Mpc/h, which may leave the box; not a number after the
    last particle."""
    nodes: np.ndarray
    """Corners (M, 6) float32 of each node's box, lower and upper."""
    spans: np.ndarray
    """First leaf and number of leaves of each node, (M, 2) int64."""

    def follow(self) -> None:
        """Fit the boxes to the positions, which have changed."""
        leaves = self.x.shape[1] // LEAF
        most = max(1, leaves >> _TOP)
        parts = np.flatnonzero(_highest(self.spans, most))
        _all_bounds(self.x, self.nodes, self.spans, parts)
        _upper_bounds(0, leaves, most, self.nodes)


def tree_of(x: np.ndarray) -> Tree:
    """The tree of positions (3, 16 leaves) in its order."""
    leaves = x.shape[1] // LEAF
    spans = np.empty((2 * leaves - 1, 2), np.int64)
    spans[0] = 0, leaves
    _spans(spans)
    tree = Tree(x, np.empty((len(spans), 6), np.float32), spans)
    tree.follow()
    return tree


@njit(cache=True)
def _highest(spans, most):
    """Which nodes are the highest of no more than so many leaves."""
    found = np.zeros(len(spans), np.bool_)
    node = 0
    while node < len(spans):
        if spans[node, 1] <= most:
            found[node] = True
            node += 2 * spans[node, 1] - 1
        else:
            node += 1
    return found


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
    branches = np.flatnonzero(_highest(tree.spans, BRANCH))
    return _pair_sums(*tree, branches, active, lengths, polynomial, out, get_num_threads())


@njit(parallel=True, cache=True)
def take(values, order, out):
    """Fill out (c, M or more) with those of values (c, N) that an order (M,) names."""
    for p in prange(order.size):
        if order[p] < values.shape[1]:
            for c in range(values.shape[0]):
                out[c, p] = values[c, order[p]]


@njit(parallel=True, cache=True)
def put_back(values, order, out):
    """Fill out (c, N) with values (c, M or more) whose place in it an order (M,) names."""
    for p in prange(order.size):
        if order[p] < out.shape[1]:
            for c in range(out.shape[0]):
                out[c, order[p]] = values[c, p]
