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
of the leaf sums them sixteen at a time. The sum of a particle has the same order on any number of
threads, and memory does not depend on how particles cluster.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import get_num_threads, njit, prange

from coca.kernels.lanes import (
    absolute,
    count_below,
    inverse_root,
    least,
    nearest,
    not_below,
    pack,
    sixteen,
    spread,
    sum_of,
    where_below,
)

LEAF = 16
"""Particles of a leaf."""
PACKED = 2048
"""Sources that are packed before they are summed; they stay in a core's first cache."""
_SAMPLED = 600
_TOP = 6
_EXACT = {"contract", "nsz"}


def leaves_of(particles: int) -> int:
    """Number of leaves of so many particles."""
    return -(-particles // LEAF)


@njit
def _swap(rows, a, b):
    for c in range(4):
        kept = rows[a, c]
        rows[a, c] = rows[b, c]
        rows[b, c] = kept


@njit
def _select(rows, left, right, k, axis):
    """Order rows left to right so that those before k are not beyond it along the axis, nor those
    after it before (Floyd & Rivest 1975)."""
    while right > left:
        if right - left > _SAMPLED:
            n, i = right - left + 1, k - left + 1
            z = np.log(n)
            s = 0.5 * np.exp(2.0 * z / 3.0)
            d = 0.5 * np.sqrt(z * s * (n - s) / n) * (1.0 if 2 * i > n else -1.0)
            low = max(left, np.int64(k - i * s / n + d))
            high = min(right, np.int64(k + (n - i) * s / n + d))
            _select(rows, low, high, k, axis)
        pivot = rows[k, axis]
        i, j = left, right
        _swap(rows, left, k)
        if rows[right, axis] > pivot:
            _swap(rows, right, left)
        while i < j:
            _swap(rows, i, j)
            i += 1
            j -= 1
            while rows[i, axis] < pivot:
                i += 1
            while rows[j, axis] > pivot:
                j -= 1
        if rows[left, axis] == pivot:
            _swap(rows, left, j)
        else:
            j += 1
            _swap(rows, j, right)
        if j <= k:
            left = j + 1
        if k <= j:
            right = j - 1


@njit
def _halve(rows, first, leaves, box):
    """Halve a node at the median along the longest side of its box (6,); leaves of the lower half,
    and the axis."""
    axis = 0
    for c in range(1, 3):
        if box[3 + c] - box[c] > box[3 + axis] - box[axis]:
            axis = c
    lower = (leaves + 1) // 2
    low, middle = first * LEAF, (first + lower) * LEAF
    _select(rows, low, min((first + leaves) * LEAF, len(rows)) - 1, middle, axis)
    return lower, axis


@njit
def _sort(rows, first, leaves, box):
    """Order the rows of a node, and of all below it."""
    if leaves > 1:
        lower, axis = _halve(rows, first, leaves, box)
        at, kept = rows[(first + lower) * LEAF, axis], box[3 + axis]
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
                lower, axis = _halve(rows, first, leaves, boxes[level, node])
                at = rows[(first + lower) * LEAF, axis]
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
def _gap(nodes, node, middle, half, box_size):
    """Squared distance of a node's box from a leaf's, in the periodic box."""
    total = np.float32(0)
    for c in range(3):
        low, high = nodes[node, c], nodes[node, 3 + c]
        d = np.float32(0.5) * (low + high) - middle[c]
        d -= box_size * np.rint(d / box_size)
        d = abs(d) - (half[c] + np.float32(0.5) * (high - low))
        if d > 0:
            total += d * d
    return total


@njit(fastmath=_EXACT)
def _pack_leaf(flat, pitch, leaf, middle, half, shift, scale, box_size, packed, count):
    """Pack those of a leaf that are within the cut of another's box."""
    one, zero = np.float32(1), np.float32(0)
    o = np.uint64(leaf * LEAF)
    inverse = one / box_size
    dx = sixteen(flat, o) - middle[0]
    dy = sixteen(flat, o + np.uint64(pitch)) - middle[1]
    dz = sixteen(flat, o + np.uint64(2 * pitch)) - middle[2]
    dx = (dx - nearest(dx * inverse) * box_size + shift[0]) * scale
    dy = (dy - nearest(dy * inverse) * box_size + shift[1]) * scale
    dz = (dz - nearest(dz * inverse) * box_size + shift[2]) * scale
    # not a number stays what it is, and is not below the cut
    gx = absolute(dx) - half[0] * scale
    gy = absolute(dy) - half[1] * scale
    gz = absolute(dz) - half[2] * scale
    gx, gy, gz = not_below(gx, zero), not_below(gy, zero), not_below(gz, zero)
    key = gx * gx + gy * gy + gz * gz + (dx - dx)
    at = np.uint64(count)
    width = np.uint64(packed.shape[0] // 3)
    pack(packed, at, dx, key, one)
    pack(packed, at + width, dy, key, one)
    pack(packed, at + width + width, dz, key, one)
    return count + np.int64(count_below(key, one))


@njit(fastmath=_EXACT)
def _sum_packed(packed, count, tx, ty, tz, inverse_H, cloud):
    """What the packed sources give to a particle: -F of the module's docstring times the
    separation, in units of the cut."""
    one, tiny = np.float32(1), np.float32(1e-20)
    ax = spread(np.float32(0))
    ay, az = ax, ax
    width = packed.shape[0] // 3
    for s in range(0, count, 16):
        o = np.uint64(s)
        dx = sixteen(packed, o) - tx
        dy = sixteen(packed, o + np.uint64(width)) - ty
        dz = sixteen(packed, o + np.uint64(2 * width)) - tz
        r2 = dx * dx + dy * dy + dz * dz
        inverse = inverse_root(r2 + tiny)
        u = least(r2 * inverse * inverse_H, one)
        q = least(inverse, inverse_H)
        soft = u * np.float32(21) + np.float32(-90)
        soft = soft * u + np.float32(140)
        soft = soft * u + np.float32(-84)
        soft = soft * (u * u) + np.float32(14)
        smooth = r2 * cloud[-1] + cloud[-2]
        for k in range(len(cloud) - 3, -1, -1):
            smooth = smooth * r2 + cloud[k]
        f = where_below(r2, one, q * q * q * soft - smooth)
        ax, ay, az = ax + f * dx, ay + f * dy, az + f * dz
    return sum_of(ax), sum_of(ay), sum_of(az)


@njit(fastmath=_EXACT)
def _flush(packed, count, targets, targeted, inverse_H, cloud, sums):
    """Add what is packed to all targets of a leaf, after filling up with what is far away."""
    width = packed.shape[0] // 3
    for c in range(3):
        packed[c * width + count : c * width + (count + 15) // 16 * 16] = np.float32(1e3)
    for t in range(targeted):
        x, y, z = targets[0, t], targets[1, t], targets[2, t]
        gx, gy, gz = _sum_packed(packed, count, x, y, z, inverse_H, cloud)
        sums[0, t] += gx
        sums[1, t] += gy
        sums[2, t] += gz


@njit(fastmath=_EXACT)
def _sum_leaf(tree, reach, group, near, out, scale):
    """Sums of the particles of one group over all sources in reach; pairs visited."""
    x, nodes, spans = tree
    box_size, cut, inverse_H, cloud = reach
    places, targets, sums, middle, half = group
    packed, shift, images = near
    width, count, visited, node = packed.shape[0] // 3 - LEAF, 0, 0, 0
    flat, scaled = x.reshape(-1), np.float32(1) / cut
    furthest = cut * cut * np.float32(1.00001)
    while node < len(nodes):
        leaves = spans[node, 1]
        if _gap(nodes, node, middle, half, box_size) > furthest:
            node += 2 * leaves - 1
            continue
        node += 1
        if leaves > 1:
            continue
        for i in range(-images[0], images[0] + 1):
            shift[0] = i * box_size
            for j in range(-images[1], images[1] + 1):
                shift[1] = j * box_size
                for k in range(-images[2], images[2] + 1):
                    shift[2] = k * box_size
                    count = _pack_leaf(flat, x.shape[1], spans[node - 1, 0], middle, half, shift,
                                       scaled, box_size, packed, count)
                    if count > width:
                        visited += count * len(places)
                        _flush(packed, count, targets, len(places), inverse_H, cloud, sums)
                        count = 0
    visited += count * len(places)
    _flush(packed, count, targets, len(places), inverse_H, cloud, sums)
    for t in range(len(places)):
        for c in range(3):
            out[c, places[t]] = -scale * sums[c, t]
    return visited


@njit(fastmath=_EXACT)
def _gather(x, places, cut, box_size, targets, middle, half, images):
    """Targets of a group relative to the middle of their box, in units of the cut; and whether
    other images of a source than the next may be in reach."""
    for c in range(3):
        low = high = x[c, places[0]]
        for p in places:
            low, high = min(low, x[c, p]), max(high, x[c, p])
        middle[c], half[c] = np.float32(0.5) * (low + high), np.float32(0.5) * (high - low)
        images[c] = half[c] + cut > np.float32(0.5) * box_size
        for t in range(len(places)):
            targets[c, t] = (x[c, places[t]] - middle[c]) / cut


@njit(parallel=True, cache=True, fastmath=_EXACT)
def _pair_sums(x, nodes, spans, active, lengths, cloud, scale, out, threads):
    leaves = x.shape[1] // LEAF
    visited = 0
    for thread in prange(threads):
        tree, reach = (x, nodes, spans), (lengths[0], lengths[1], lengths[2], cloud)
        targets, sums = np.empty((3, LEAF), np.float32), np.empty((3, LEAF), np.float32)
        middle, half = np.empty(3, np.float32), np.empty(3, np.float32)
        near = (np.empty(3 * (PACKED + LEAF), np.float32), np.empty(3, np.float32),
                np.empty(3, np.int64))  # fmt: skip
        places = np.empty(LEAF, np.int64)
        mine = 0
        for leaf in range(thread, leaves, threads):
            found = 0
            for p in range(leaf * LEAF, min((leaf + 1) * LEAF, active.size)):
                places[found] = p
                found += active[p]
            if found:
                here = places[:found]
                _gather(x, here, lengths[1], lengths[0], targets, middle, half, near[2])
                sums[:] = np.float32(0)
                group = (here, targets, sums, middle, half)
                mine += _sum_leaf(tree, reach, group, near, out, scale)
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
    out : array (3, N or more) float32
        Overwritten, where active, with scale * sum_j F(r_ij) r_ij / r_ij, r_ij from j to i.

    Returns
    -------
    int
        Pairs visited.
    """
    lengths = (np.float32(box_size), np.float32(cut), np.float32(cut / support))
    clouds = tuple(np.float32(p) for p in cloud)
    scale32 = np.float32(scale / cut**2)
    return _pair_sums(*tree, active, lengths, clouds, scale32, out, get_num_threads())
