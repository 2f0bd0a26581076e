"""The periodic box as one rank sees it: its slab of the mesh and of the particle lattice.

Everything that differs between ranks is here; the physics asks the domain and never a
communicator. A box on one rank is one slab.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np
import pyfftw

from coca import kernels
from coca.errors import CocaError, ConfigError
from coca.parallel.fft import Transform, Workers
from coca.parallel.particle_exchange import ParticleExchange, exchange_particles
from coca.parallel.ranks import OneRank, Ranks, Summed, T


class Box:
    """A periodic box that ranks share in slabs along x of equal thickness.

    Parameters
    ----------
    box_size : float
        Side of the box in Mpc/h.
    threads : int
        Threads for numba and FFTW, set for the whole process.
    ranks : Ranks, optional
        Who shares the box; by default nobody.
    """

    def __init__(self, box_size: float, threads: int = 1, ranks: Ranks | None = None):
        import numba  # takes a while, which a dry run need not

        self.ranks = ranks or OneRank()
        self.box_size, self.threads = box_size, threads
        self.kf = 2.0 * np.pi / box_size
        numba.set_num_threads(threads)
        self._workers = Workers(threads)
        self._transforms: dict[int, Transform] = {}

    @property
    def lattice(self) -> tuple[int, int, int] | None:
        """Lagrangian lattice of this rank's particles, where there is one."""
        return None

    def transform(self, n: int) -> Transform:
        """Fourier transforms of a mesh of n^3 cells over the box."""
        if n not in self._transforms:
            self._transforms[n] = Transform(n, self._workers, self.ranks)
        return self._transforms[n]

    @property
    def first(self) -> bool:
        """Whether this is the rank that speaks for all."""
        return self.ranks.rank == 0

    def exchange_particles(
        self, x: np.ndarray, cells: int, cloud: tuple[int, ...]
    ) -> ParticleExchange:
        """Send particles at `x` to the ranks in whose slabs of a mesh they are, see
        `coca.parallel.particle_exchange`."""
        return exchange_particles(self.ranks, x, cells / self.box_size, cells, cloud)

    def ghost_planes(
        self, planes: np.ndarray, below: int, above: int, what: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The planes just below and above this rank's, an array (planes, ...), periodically."""
        return self.ranks.ghost_planes(planes, below, above, what)

    def shift(self, planes: np.ndarray, hop: int, what: str) -> np.ndarray:
        """What the rank `hop` further back hands on, as this one does with `planes`."""
        return self.ranks.shift(planes, hop, what)

    def sum(self, value: Summed) -> Summed:
        """Sum of a number or an array over all ranks, the same bits on each."""
        return self.ranks.sum(value)

    def once(self, work: Callable[[], T]) -> T:
        """What `work` gives on the first rank, on every one."""
        return self.ranks.once(work)

    def together(self) -> AbstractContextManager[None]:
        """Let a CocaError or OSError that the block raises on any rank be raised on all; it must
        not communicate."""
        return self.ranks.together(CocaError, OSError)


class Grid(Box):
    """A mesh over the box, of which statistics are taken on one rank.

    Parameters
    ----------
    box_size : float
        Side of the box in Mpc/h.
    cells : int
        Cells per dimension.
    threads : int
        Threads for numba and FFTW, set for the whole process.
    """

    def __init__(self, box_size: float, cells: int, threads: int = 1):
        super().__init__(box_size, threads)
        self.cells, self.cell = cells, box_size / cells


class Domain(Box):
    """This rank's part of the box and of the particles, which started on a cubic lattice.

    Parameters
    ----------
    box_size : float
        Side of the box in Mpc/h.
    n_side : int
        Particles per dimension, in the whole box.
    threads : int
        Threads for numba and FFTW, set for the whole process.
    ranks : Ranks, optional
        Who shares the box; by default nobody.

    Raises
    ------
    ConfigError
        The ranks do not divide the lattice.
    """

    def __init__(self, box_size: float, n_side: int, threads: int = 1, ranks: Ranks | None = None):
        ranks = ranks or OneRank()
        check_ranks(n_side, ranks.size, f"particles = {n_side}")
        super().__init__(box_size, threads, ranks)
        self.n_side, self.cell = n_side, box_size / n_side

    @property
    def particles(self) -> int:
        """Number of particles in the whole box."""
        return self.n_side**3

    @property
    def lattice(self) -> tuple[int, int, int]:
        """Lagrangian lattice of this rank's particles."""
        return (self.n_side // self.ranks.size, self.n_side, self.n_side)

    @property
    def own_particles(self) -> int:
        """Number of this rank's particles."""
        return self.particles // self.ranks.size

    @property
    def first_plane(self) -> int:
        """Number along x of the first plane of this rank's lattice."""
        return self.ranks.rank * self.lattice[0]

    @property
    def first_particle(self) -> int:
        """Lagrangian index of this rank's first particle."""
        return self.ranks.rank * self.own_particles

    def empty_particles(self) -> np.ndarray:
        """Array (3, particles of this rank) float32, in Lagrangian order, not initialised."""
        return pyfftw.empty_aligned((3, self.own_particles), "float32")

    def add_lattice(self, disp: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Positions q + disp in Mpc/h of particles that started at q = cell * (i, j, l)."""
        out = np.empty_like(disp) if out is None else out
        kernels.particles.positions(disp, self.lattice, self.first_plane, self.cell, out)
        return out

    def send_home(self, rows: np.ndarray, index: np.ndarray, what: str) -> np.ndarray:
        """Rows (M, c) of particles with Lagrangian indices (M,), each on its particle's rank."""
        home = index // self.own_particles
        counts = np.bincount(home, minlength=self.ranks.size)
        return self.ranks.exchange(rows[np.argsort(home, kind="stable")], counts, None, what).wait()

    def rms(self, vectors: np.ndarray) -> float:
        """Rms length of particle vectors (3, N), over all particles of the box."""
        squares = np.einsum("cp,cp->", vectors, vectors, dtype=np.float64)
        return float(np.sqrt(self.sum(float(squares)) / self.particles))


def check_ranks(planes: int, ranks: int, what: str) -> None:
    """Raise ConfigError if planes, which `what` describes, cannot be shared among the ranks."""
    if planes % ranks:
        most = max(count for count in range(1, min(planes, ranks) + 1) if planes % count == 0)
        raise ConfigError(
            f"ranks: found {ranks}, wanted a divisor of {what}; the largest below is {most}"
        )


@contextmanager
def own_threads() -> Iterator[None]:
    """Leave numba's number of threads, which domains set, as it was before the block."""
    import numba  # see Box

    before = numba.get_num_threads()
    try:
        yield
    finally:
        numba.set_num_threads(before)
