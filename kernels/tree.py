"""Particles in the order of a tree that halves them, and boxes around its nodes.

A node is halved along the longest side of its particles, down to leaves of 16. Nodes stand in order
of depth: the m leaves of a node take the 2 m - 1 places that begin with its own, so that what is
out of reach is left out by going on after it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, prange

LEAF = 16
"""Particles of a leaf."""
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
        parts = np.flatnonzero(highest(self.spans, most))
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
def highest(spans, most):
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
