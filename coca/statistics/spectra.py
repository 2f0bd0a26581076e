"""Statistics of particle distributions: power spectra and cross-correlation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.errors import ConfigError, short
from coca.gravity.mesh import Mesh
from coca.parallel.domain import Box, Domain, Grid


class Spectra(NamedTuple):
    """Shell averages of two fields a and b; shells int(|k| / kf), the zero mode left out."""

    k: np.ndarray
    """Mean wavenumber of the modes in each shell, h/Mpc."""
    modes: np.ndarray
    """Number of modes, both halves of Fourier space counted."""
    P_a: np.ndarray
    """Power of a, (Mpc/h)^3, shot noise included."""
    P_b: np.ndarray
    """Power of b; equal to P_a where there is no b."""
    P_ab: np.ndarray
    """Cross power."""

    @property
    def r(self) -> np.ndarray:
        """Cross-correlation coefficient P_ab / sqrt(P_a P_b)."""
        return self.P_ab / np.sqrt(self.P_a * self.P_b)

    @property
    def ratio(self) -> np.ndarray:
        """P_a / P_b."""
        return self.P_a / self.P_b

    def at(self, k: float) -> Spectra:
        """Every column linearly interpolated to wavenumber `k` in h/Mpc; beyond the shells it is
        that of the last one.

        Raises
        ------
        ConfigError
            The wavenumber is no number.
        """
        if np.asarray(k).dtype.kind not in "fiu":
            raise ConfigError(f"k: found {short(k)}, wanted a wavenumber in h/Mpc")
        return Spectra(*(np.array(np.interp(k, self.k, column)) for column in self))


def density_modes(box: Box, x: np.ndarray, mesh: int, ordered: bool = True) -> np.ndarray:
    """Modes of the density contrast of particles, painted with CIC.

    Parameters
    ----------
    box : Box
    x : array (3, N) float32
        Positions in Mpc/h.
    mesh : int
        Cells per dimension.
    ordered : bool
        Whether they are this rank's particles in Lagrangian order; else any, in any order.

    Returns
    -------
    array (mesh, rows, mesh//2+1) complex64
        delta(x) = sum_k delta_k exp(ikx), not divided by the CIC window.
    """
    density = Mesh(box, mesh)
    density.paint(x, ordered)
    delta_k = box.transform(mesh).forward(density.field, density.modes)
    delta_k *= np.float32(1.0 / box.sum(x.shape[1]))
    if box.first:
        delta_k[0, 0, 0] = 0.0
    return delta_k


def interlaced_modes(grid: Grid, x: np.ndarray) -> np.ndarray:
    """Modes of the density contrast without the largest part of aliasing.

    The mean of two meshes half a cell apart along the diagonal: waves that are off by an odd number
    of sampling wavenumbers in all come with opposite signs (Hockney & Eastwood 1981; Sefusatti et
    al. 2016).

    Parameters
    ----------
    grid : Grid
    x : array (3, N) float32
        Positions in Mpc/h, anywhere.

    Returns
    -------
    array (m, m, m//2+1) complex64
        As of `density_modes`.
    """
    n, half = grid.cells, np.float32(0.5 * grid.cell)
    modes = density_modes(grid, x + half, n, ordered=False)
    i = np.fft.fftfreq(n, 1.0 / n)
    phases = np.exp(1j * np.pi * i / n).astype(np.complex64)
    modes *= phases[:, None, None]
    modes *= phases[:, None]
    modes *= np.exp(1j * np.pi * np.arange(n // 2 + 1) / n).astype(np.complex64)
    modes += density_modes(grid, x, n, ordered=False)
    modes *= np.float32(0.5)
    return modes


def spectra(
    box: Box, a_k: np.ndarray, b_k: np.ndarray | None = None, window_order: int = 1
) -> Spectra:
    """Spectra of particles' density modes, corrected for the CIC window.

    Parameters
    ----------
    box : Box
    a_k, b_k : array (m, rows, m//2+1) complex64
        From `density_modes`; b is a by default.
    window_order : int
        Powers of the CIC window by which each is divided; 0 for fields that were not painted.

    Returns
    -------
    Spectra
        Shells 1 to m//2 - 1. Shot noise is not subtracted: particles that started on a
        lattice have none on large scales.
    """
    b_k = a_k if b_k is None else b_k
    first = box.transform(len(a_k)).first
    sums = box.sum(kernels.fourier.binned_power(a_k, b_k, first, box.kf, window_order))
    modes, k, *power = sums[:, 1:-1]
    volume = box.box_size**3
    return Spectra(k / modes, modes.astype(np.int64), *(volume * p / modes for p in power))


def particle_spectra(
    domain: Domain, mesh: int, x: np.ndarray, reference: np.ndarray | None = None
) -> Spectra:
    """Spectra of particles at `x` and, if given, at `reference`; see `spectra`."""
    a_k = density_modes(domain, x, mesh)
    return spectra(
        domain, a_k, None if reference is None else density_modes(domain, reference, mesh)
    )
