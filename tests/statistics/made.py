"""Particles made by hand: lattices and waves."""

import numpy as np

from coca.files.snapshot_reader import Header, Particles

L = 64.0


HEADER = Header(L, 0.5, 0.3, 0.7, 0, 1e10)


def made(x, u=None, ids=None):
    x = np.mod(x, L).astype(np.float32)
    x[x >= L] = 0
    u = np.zeros_like(x) if u is None else u.astype(np.float32)
    ids = np.arange(x.shape[1], dtype=np.uint64) if ids is None else ids
    return Particles(HEADER._replace(particles=x.shape[1]), x, u, ids)


def lattice(n):
    return (np.indices((n, n, n)).reshape(3, -1)) * (L / n)


def wave(n, amplitude, axis=0):
    """Lattice, and amplitude sin(kf q) along an axis."""
    q = lattice(n)
    shift = np.zeros_like(q)
    shift[axis] = amplitude * np.sin(2 * np.pi / L * q[axis])
    return q, shift
