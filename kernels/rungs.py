"""Particles with time steps of their own, halves of halves of a common step.

A particle on rung r takes 2^r steps; time is counted in ticks, 2^depth a common step.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(parallel=True, cache=True)
def choose_active(rungs, targets, tick, depth, active):
    """Mark the targets whose step begins or ends at a tick; arrays (M,) of bool, rungs int8."""
    for p in prange(rungs.size):
        active[p] = targets[p] and tick & ((1 << (depth - rungs[p])) - 1) == 0


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def kick(v, steady, short, active, rungs, tick, depth, factors, inverse_D, phase):
    """End the steps of the active and begin their next.

    Half a step kicks v <- m v - (1 - m) a, with m the ratio of mu before to that after.

    Parameters
    ----------
    v : array (3, M or more) float32
    steady : array (3, M or more) float32
        The mesh's g / D.
    short : array (4, M or more) float32
        The pairs' g, and their frequency squared.
    active : array (M,) bool
    rungs : array (M,) int8
        Overwritten for the active.
    tick, depth : int
    factors : array (2, depth + 1) float32
        m of ending and of beginning half a step, for each rung.
    inverse_D : float
    phase : float
        Times the frequency squared, what must be at most one on rung 0 and at most 4^r on rung r.
    """
    one, quarter = np.float32(1), np.float32(0.25)
    inverse, phase32 = np.float32(inverse_D), np.float32(phase)
    for p in prange(rungs.size):
        if not active[p]:
            continue
        y, rung = phase32 * short[3, p], 0
        while rung < depth and (y > one or tick & ((1 << (depth - rung)) - 1)):
            y *= quarter
            rung += 1
        before, after = factors[0, rungs[p]], factors[1, rung]
        for c in range(3):
            a = steady[c, p] + inverse * short[c, p]
            at = before * v[c, p] - (one - before) * a
            v[c, p] = after * at - (one - after) * a
        rungs[p] = rung


@njit(parallel=True, cache=True, fastmath={"contract", "nsz"})
def drift(start, v, time, moved, x):
    """moved += time * v and x = start + moved, arrays (3, M or more) float32."""
    t = np.float32(time)
    for p in prange(v.shape[1]):
        for c in range(3):
            moved[c, p] += t * v[c, p]
            x[c, p] = start[c, p] + moved[c, p]
