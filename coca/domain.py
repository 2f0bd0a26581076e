"""The periodic box as one process sees it: Fourier transforms, particle lattice, global sums.

Everything that would differ between processes is here; the physics asks the domain and
never a communicator.
"""

from __future__ import annotations

import numba
import numpy as np
import pyfftw

import kernels.particles
from coca.transform import Transform, Workers


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
        FFTW plans: chosen at once, or timed and kept for later runs, see `coca.wisdom`.
    """

    def __init__(self, box_size: float, n: int, threads: int = 1, planning: str = "measure"):
        self.box_size, self.n, self.threads = box_size, n, threads
        self.planning = planning
        self.cell = box_size / n
        self.kf = 2.0 * np.pi / box_size
        numba.set_num_threads(threads)
        self._workers = Workers(threads)
        self._transforms: dict[int, Transform] = {}

    def transform(self, n: int) -> Transform:
        """Fourier transforms of a mesh of n^3 cells over the box."""
        if n not in self._transforms:
            self._transforms[n] = Transform(n, self._workers, self.planning)
        return self._transforms[n]

    @property
    def particles(self) -> int:
        """Number of particles in the whole box."""
        return self.n**3

    @property
    def lattice(self) -> tuple[int, int, int]:
        """Lagrangian lattice of this process's particles."""
        return (self.n,) * 3

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
