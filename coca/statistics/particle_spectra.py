"""Spectra of density, momentum and displacement, and multipoles in redshift space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.cosmology.background import Background
from coca.errors import FileError
from coca.files.snapshot_reader import Header, Particles
from coca.parallel.domain import Grid
from coca.particles import into_box
from coca.statistics.fields import momentum_modes
from coca.statistics.spectra import Spectra, density_modes, interlaced_modes, spectra


class Multipoles(NamedTuple):
    """Shell averages of (2 l + 1) P(k, mu) L_l(mu), averaged over lines of sight x, y and z."""

    k: np.ndarray
    """Mean wavenumber of the modes in each shell, h/Mpc."""
    modes: np.ndarray
    """Number of modes, both halves of Fourier space counted."""
    P0: np.ndarray
    """Monopole, (Mpc/h)^3, shot noise included."""
    P2: np.ndarray
    P4: np.ndarray


def power(grid: Grid, particles: Particles) -> Spectra:
    """Power spectrum of the density, see `coca.statistics.spectra.spectra`."""
    return spectra(grid, density_modes(grid, particles.x, grid.cells, ordered=False))


def momentum_power(grid: Grid, particles: Particles) -> Spectra:
    """Power of the momentum (1 + delta) u, summed over its components, (km/s)^2 (Mpc/h)^3."""
    parts = [
        spectra(grid, momentum_modes(grid, particles.x, particles.u[axis])) for axis in range(3)
    ]
    return _summed(parts)


def displacement_power(grid: Grid, particles: Particles) -> Spectra:
    """Power of the displacement x - q on the Lagrangian lattice, summed over its components.

    Parameters
    ----------
    grid : Grid
        Its mesh is not used.
    particles : Particles

    Returns
    -------
    Spectra
        In (Mpc/h)^5.

    Raises
    ------
    FileError
        See `displacement`.
    """
    disp = displacement(particles)
    lattice = Grid(grid.box_size, disp.shape[1], grid.threads)
    fft, n = lattice.transform(lattice.cells), lattice.cells
    parts = []
    for component in disp:
        modes = fft.forward(np.ascontiguousarray(component))
        modes *= np.float32(1.0 / n**3)
        parts.append(spectra(lattice, modes, window_order=0))
    return _summed(parts)


def displacement(particles: Particles) -> np.ndarray:
    """Displacements x - q of particles that their identifiers place on a lattice.

    Parameters
    ----------
    particles : Particles
        Identifiers (i n + j) n + l, from 0 or 1, of q = (i, j, l) box_size / n.

    Returns
    -------
    array (3, n, n, n) float32
        Mpc/h, each component within box_size/2 of its mean, which is the lattice's offset.

    Raises
    ------
    FileError
        The identifiers do not number a lattice, or not in this order.
    """
    header, x, _, ids = particles
    n, L = round(len(ids) ** (1 / 3)), header.box_size
    first = int(ids.min())
    if n**3 != len(ids) or first > 1 or not _once_each(ids, first):
        raise FileError(
            "displacement: ParticleIDs do not number a lattice, wanted each of n^3 numbers once, "
            "from 0 or 1"
        )
    disp = np.empty((3, n**3), np.float32)
    disp[:, ids.astype(np.int64) - first] = x
    disp = disp.reshape(3, n, n, n)
    q = (np.arange(n) * (L / n)).astype(np.float32)
    mean = np.zeros((3, 1, 1, 1), np.float32)
    for axis in range(3):
        disp[axis] -= q.reshape(np.roll((n, 1, 1), axis))
        mean[axis] = _mean_on_circle(disp[axis], L)
    disp -= np.float32(L) * np.rint((disp - mean) / np.float32(L))
    rms = float(np.sqrt(np.mean((disp - mean) ** 2, dtype=np.float64)))
    # without order it would be L / sqrt(12)
    if rms > L / 6:
        raise FileError(
            f"displacement: found {rms:.3g} Mpc/h rms along an axis, wanted ParticleIDs "
            "(i n + j) n + l of particles from q = (i, j, l) box / n"
        )
    return disp


def _mean_on_circle(values: np.ndarray, period: float) -> float:
    """Mean of values that are known but for a period."""
    turn = np.float32(2 * np.pi / period) * values
    mean = np.cos(turn).mean(dtype=np.float64) + 1j * np.sin(turn).mean(dtype=np.float64)
    return float(np.angle(mean)) * period / (2 * np.pi)


def _once_each(ids: np.ndarray, first: int) -> bool:
    if int(ids.max()) - first != len(ids) - 1:
        return False
    seen = np.zeros(len(ids), bool)
    seen[ids.astype(np.int64) - first] = True
    return bool(seen.all())


def multipoles(grid: Grid, particles: Particles) -> Multipoles:
    """Multipoles of the density at s = x + u / (a H) along the line of sight, plane-parallel, on
    interlaced meshes."""
    sums = np.zeros((5, grid.cells // 2 + 1))
    factor = np.float32(redshift_distortion(particles.header))
    for axis in range(3):
        s = particles.x.copy()
        s[axis] += factor * particles.u[axis]
        s_k = interlaced_modes(grid, s)
        sums += kernels.statistics.binned_multipoles(s_k, grid.kf, axis, 1)
    modes, k, *powers = sums[:, 1:-1]
    volume = grid.box_size**3
    poles = ((2 * l + 1) * volume * p / modes for l, p in zip((0, 2, 4), powers, strict=True))
    return Multipoles(k / modes, (modes / 3).astype(np.int64), *poles)


def redshift_space(particles: Particles) -> np.ndarray:
    """Redshift-space coordinate along each axis, s = x + u / (a H), in [0, box_size).

    For a line of sight along one axis, plane-parallel, it takes the place of that coordinate.

    Returns
    -------
    array (3, N) float32
        Comoving Mpc/h.
    """
    s = particles.x + np.float32(redshift_distortion(particles.header)) * particles.u
    return into_box(s, particles.header.box_size, out=s)


def redshift_distortion(header: Header) -> float:
    """1 / (a H) in comoving Mpc/h per km/s of peculiar velocity, for a flat universe."""
    E = Background(header.Omega_m, header.w0, header.wa).E(header.a)
    return 1.0 / (100.0 * E * header.a)


def _summed(parts: list[Spectra]) -> Spectra:
    """Spectra of a vector from those of its components."""
    P = np.sum([part.P_a for part in parts], axis=0)
    return Spectra(parts[0].k, parts[0].modes, P, P, P)
