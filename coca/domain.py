"""The periodic box as one process sees it: Fourier transforms, particle lattice, global sums.

Everything that would differ between processes is here; the physics asks the domain and
never a communicator.
"""

from __future__ import annotations

from functools import cached_property

import numba
import numpy as np
import pyfftw

import kernels.particles


class Transform:
    """Real Fourier transforms of one mesh size, planned once, unnormalised both ways.

    Attributes
    ----------
    shape, shape_k : tuple of int
        (n, n, n) of the real field and (n, n, n//2+1) of its modes.
    """

    def __init__(self, n: int, threads: int, planning: str):
        self.shape, self.shape_k = (n, n, n), (n, n, n // 2 + 1)
        aligned = n**3 * 4 % pyfftw.simd_alignment == 0
        flags = (f"FFTW_{planning.upper()}",) + (() if aligned else ("FFTW_UNALIGNED",))
        options = dict(axes=(0, 1, 2), flags=flags, threads=threads)
        real, modes = self.empty(), self.empty_k()
        self._forward = pyfftw.FFTW(real, modes, **options)
        self._backward = pyfftw.FFTW(modes, real, direction="FFTW_BACKWARD", **options)

    def empty(self, *lead: int) -> np.ndarray:
        """Aligned float32 array (*lead, n, n, n), not initialised."""
        return pyfftw.empty_aligned((*lead, *self.shape), "float32")

    def empty_k(self, *lead: int) -> np.ndarray:
        """Aligned complex64 array (*lead, n, n, n//2+1), not initialised."""
        return pyfftw.empty_aligned((*lead, *self.shape_k), "complex64")

    def forward(self, field: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Modes sum_x f(x) exp(-ikx); `field` is kept."""
        out = self.empty_k() if out is None else out
        self._forward.update_arrays(field, out)
        self._forward.execute()
        return out

    def backward(self, field_k: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Field sum_k f_k exp(ikx); `field_k` is destroyed."""
        out = self.empty() if out is None else out
        self._backward.update_arrays(field_k, out)
        self._backward.execute()
        return out


class Domain:
    """One process that holds the whole box.

    Parameters
    ----------
    box_size : float
        Side of the box in Mpc/h.
    n : int
        Particles per dimension.
    threads : int
        Threads for numba and FFTW, set for the whole process.
    planning : {"estimate", "measure"}
        FFTW plans: chosen at once and always the same, or timed (seconds; faster in long runs).
    """

    def __init__(self, box_size: float, n: int, threads: int = 1, planning: str = "estimate"):
        self.box_size, self.n, self.threads = box_size, n, threads
        self.planning = planning
        self.cell = box_size / n
        self.kf = 2.0 * np.pi / box_size
        numba.set_num_threads(threads)
        self._transforms: dict[int, Transform] = {}

    def transform(self, n: int) -> Transform:
        """Fourier transforms of a mesh of n^3 cells over the box."""
        if n not in self._transforms:
            self._transforms[n] = Transform(n, self.threads, self.planning)
        return self._transforms[n]

    @cached_property
    def particles(self) -> int:
        """Number of particles in the whole box."""
        return self.n**3

    def empty_particles(self) -> np.ndarray:
        """Array (3, particles of this process) float32, in Lagrangian order, not initialised."""
        return pyfftw.empty_aligned((3, self.n**3), "float32")

    def add_lattice(self, disp: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Positions q + disp in Mpc/h of particles that started at q = cell * (i, j, l)."""
        out = np.empty_like(disp) if out is None else out
        kernels.particles.positions(disp, self.n, self.cell, out)
        return out

    def sum(self, value: float) -> float:
        """Sum of `value` over all processes."""
        return value

    def rms(self, vectors: np.ndarray) -> float:
        """Rms length of particle vectors (3, N), over all particles of the box."""
        squares = np.einsum("cp,cp->", vectors, vectors, dtype=np.float64)
        return float(np.sqrt(self.sum(squares) / self.particles))
