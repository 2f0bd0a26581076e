"""Bispectrum of thin shells by Fourier transforms (Scoccimarro 2000, Sefusatti et al. 2016)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.files.snapshot_reader import Particles
from coca.parallel.domain import Grid
from coca.statistics.fields import wavenumbers_of_modes, window
from coca.statistics.spectra import density_modes

SHELLS = 16
"""Most shells of one kind of triangle."""


class Bispectrum(NamedTuple):
    """Averages over triangles k1 + k2 + k3 = 0 with sides in shells int(|k| / kf)."""

    k1: np.ndarray
    """Mean wavenumber of the modes in the first side's shell, h/Mpc."""
    k: np.ndarray
    """The same of the other two sides."""
    triangles: np.ndarray
    """Number of ordered triangles, both halves of Fourier space counted."""
    B: np.ndarray
    """Bispectrum, (Mpc/h)^6, shot noise included."""
    Q: np.ndarray
    """Reduced bispectrum B / (P1 P2 + P2 P3 + P3 P1)."""


class WaveShell(NamedTuple):
    """Modes of one shell, on the mesh."""

    k: float
    """Mean wavenumber, h/Mpc."""
    P: float
    """Mean power, (Mpc/h)^3."""
    delta: np.ndarray
    """Their density contrast, array (m, m, m) float32."""
    ones: np.ndarray
    """The field of as many modes of amplitude one."""


class Shells:
    """The shells of a density field.

    Parameters
    ----------
    grid : Grid
    delta_k : array (m, m, m//2+1) complex64
        Divided by the CIC window in place.
    """

    def __init__(self, grid: Grid, delta_k: np.ndarray):
        self._grid, self._delta_k = grid, delta_k
        for w in window(grid):
            delta_k /= w
        self._k = wavenumbers_of_modes(grid)

    def __getitem__(self, shell: int) -> WaveShell:
        grid, fft = self._grid, self._grid.transform(self._grid.cells)
        inside = (self._k >= shell) & (self._k < shell + 1)
        modes = fft.empty_k()
        modes[...] = inside
        twice = np.where(np.arange(grid.cells // 2 + 1) % (grid.cells // 2), 2.0, 1.0)
        counts = inside * twice
        k = grid.kf * float((self._k * counts).sum() / counts.sum())
        ones = fft.backward(modes)
        modes[...] = np.where(inside, self._delta_k, 0)
        P = grid.box_size**3 * float((np.abs(modes) ** 2 * counts).sum() / counts.sum())
        return WaveShell(k, P, fft.backward(modes), ones)


def chosen_shells(grid: Grid, first: int) -> list[int]:
    """At most SHELLS shells, about evenly spaced in their logarithm, to a third of the mesh, beyond
    which triangles close around the mesh."""
    last = grid.cells // 3 - 1
    return sorted({int(s) for s in np.rint(np.geomspace(first, last, SHELLS))})


def equilateral(grid: Grid, particles: Particles) -> Bispectrum:
    """Bispectrum of triangles with three sides in one shell."""
    shells = Shells(grid, density_modes(grid, particles.x, grid.cells, ordered=False))
    return _table([_triangle(grid, s, s) for s in map(shells.__getitem__, chosen_shells(grid, 2))])


def squeezed(grid: Grid, particles: Particles, soft: int = 1) -> Bispectrum:
    """Bispectrum of triangles with one side in the shell `soft` and two in another."""
    shells = Shells(grid, density_modes(grid, particles.x, grid.cells, ordered=False))
    long = shells[soft]
    return _table(
        [_triangle(grid, long, shells[number]) for number in chosen_shells(grid, 4 * soft)]
    )


def _triangle(grid: Grid, a: WaveShell, b: WaveShell) -> tuple[float, ...]:
    """k1, k, triangles, B and Q of triangles with one side in `a` and two in `b`."""
    cells = grid.cells**3
    triangles = np.rint(_sum(a.ones, b.ones) / cells)
    B = grid.box_size**6 * _sum(a.delta, b.delta) / cells / triangles
    return a.k, b.k, triangles, B, B / (2 * a.P * b.P + b.P**2)


def _sum(a: np.ndarray, b: np.ndarray) -> float:
    """Sum of a b^2, a plane at a time in double precision."""
    planes = zip(a, b, strict=True)
    return sum(float(np.sum(p.astype(np.float64) * q.astype(np.float64) ** 2)) for p, q in planes)


def _table(rows: list[tuple[float, ...]]) -> Bispectrum:
    k1, k, triangles, B, Q = np.array(rows).T
    return Bispectrum(k1, k, triangles.astype(np.int64), B, Q)
