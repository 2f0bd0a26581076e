"""Real three-dimensional Fourier transforms in two passes over memory.

A pass over planes transforms y and z, a pass over columns transforms x; each piece fits in a
core's cache. Whatever multiplies the modes happens in the pass over columns, so that a
convolution takes three passes where separate transforms and products take seven. FFTW plans
only single planes and blocks of columns, which takes a fraction of a second even when timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import pyfftw

from coca import wisdom

BLOCK_BYTES = 2**18
"""Size of a block of columns: a quarter of a common second-level cache."""

Multiply = Callable[[np.ndarray, int], None]
"""Multiplies a block (n, width) of columns in place, given the number of its first; it must
release the interpreter lock to be shared, and may meet columns beyond the last."""


class Workers:
    """Threads that share the pieces of one pass; the calling thread is one of them.

    Parameters
    ----------
    number : int
    """

    def __init__(self, number: int):
        self.number = number
        self._pool = ThreadPoolExecutor(max(1, number - 1), "transform")

    def share(self, work: Callable[[int, int], None], pieces: int) -> None:
        """Call work(worker, piece) for every piece; `work` must release the interpreter lock."""
        pending = count()

        def loop(worker):
            while (piece := next(pending)) < pieces:
                work(worker, piece)

        others = [self._pool.submit(loop, worker) for worker in range(1, self.number)]
        loop(0)
        for other in others:
            other.result()


class Transform:
    """Transforms of fields of n^3 cells, unnormalised both ways.

    The modes are those of numpy's rfftn, shape (n, n, n//2+1). A column is one pair of
    wavenumbers along y and z; columns are numbered as the last two axes are laid out.

    Parameters
    ----------
    n : int
        Cells per dimension.
    workers : Workers
    planning : {"estimate", "measure"}

    Attributes
    ----------
    shape, shape_k : tuple of int
        Of a field and of its modes.
    """

    def __init__(self, n: int, workers: Workers, planning: str):
        self.shape, self.shape_k = (n, n, n), (n, n, n // 2 + 1)
        self._workers = workers
        self._planning = planning
        self._width = max(8, BLOCK_BYTES // (8 * n) // 8 * 8)
        self._blocks = [
            pyfftw.zeros_aligned((n, self._width), "complex64") for _ in range(workers.number)
        ]
        self._planes: dict[tuple, tuple[list[pyfftw.FFTW], tuple]] = {}
        with self._wisdom():
            self._along_x = {
                direction: [self._plan(block, block, (0,), direction) for block in self._blocks]
                for direction in ("FFTW_FORWARD", "FFTW_BACKWARD")
            }

    def empty(self, *lead: int) -> np.ndarray:
        """Aligned float32 field (*lead, n, n, n), not initialised."""
        return pyfftw.empty_aligned((*lead, *self.shape), "float32")

    def empty_k(self, *lead: int) -> np.ndarray:
        """Aligned complex64 modes (*lead, n, n, n//2+1), not initialised."""
        return pyfftw.empty_aligned((*lead, *self.shape_k), "complex64")

    def mesh(self, modes: np.ndarray) -> np.ndarray:
        """The memory of modes as a field (n, n, 2 (n//2+1)) float32, of which [..., :n] counts."""
        return modes.view(np.float32)

    def forward(
        self, field: np.ndarray, out: np.ndarray | None = None, multiply: Multiply | None = None
    ) -> np.ndarray:
        """Modes sum_x f(x) exp(-ikx), times a factor.

        Parameters
        ----------
        field : array (n, n, n) float32
            Kept, unless it is `mesh(out)`, which transforms in place.
        out : array (n, n, n//2+1) complex64, optional
        multiply : callable, optional
        """
        out = self.empty_k() if out is None else out
        self._over_planes(field, out, "FFTW_FORWARD")
        self._over_columns(out, out, ("FFTW_FORWARD", multiply))
        return out

    def backward(
        self,
        modes: np.ndarray,
        out: np.ndarray | None = None,
        multiply: Multiply | None = None,
        work: np.ndarray | None = None,
    ) -> np.ndarray:
        """Field sum_k f_k exp(ikx) of modes times a factor.

        Parameters
        ----------
        modes : array (n, n, n//2+1) complex64
            Destroyed, unless there is `work`.
        out : array (n, n, n) float32, optional
            May be the `mesh` of the modes or of `work`.
        multiply : callable, optional
        work : array (n, n, n//2+1) complex64, optional
            Destroyed in place of the modes.
        """
        out = self.empty() if out is None else out
        work = modes if work is None else work
        self._over_columns(modes, work, (multiply, "FFTW_BACKWARD"))
        self._over_planes(out, work, "FFTW_BACKWARD")
        return out

    def convolve(self, modes: np.ndarray, multiply: Multiply) -> None:
        """Transform the field in `mesh(modes)`, multiply its modes and transform back, in place."""
        field = self.mesh(modes)
        self._over_planes(field, modes, "FFTW_FORWARD")
        self._over_columns(modes, modes, ("FFTW_FORWARD", multiply, "FFTW_BACKWARD"))
        self._over_planes(field, modes, "FFTW_BACKWARD")

    def multiply(self, modes: np.ndarray, multiply: Multiply) -> None:
        """Multiply modes (n, n, n//2+1) in place."""
        self._over_columns(modes, modes, (multiply,))

    def _over_columns(self, source, target, steps) -> None:
        """Take all columns of `source` through the steps, a block at a time, into `target`."""
        n, columns = self.shape[0], math.prod(self.shape_k[1:])
        source, target = source.reshape(n, columns), target.reshape(n, columns)

        def piece(worker, number):
            first = number * self._width
            width = min(self._width, columns - first)
            block = self._blocks[worker]
            block[:, :width] = source[:, first : first + width]
            for step in steps:
                if isinstance(step, str):
                    self._along_x[step][worker].execute()
                elif step is not None:
                    step(block, first)
            target[:, first : first + width] = block[:, :width]

        self._workers.share(piece, -(-columns // self._width))

    def _over_planes(self, field: np.ndarray, modes: np.ndarray, direction: str) -> None:
        n = self.shape[0]
        field = field[..., :n]
        plans, scratch = self._plane_plans(field, modes, direction)
        ends = (field, modes) if direction == "FFTW_FORWARD" else (modes, field)

        def piece(worker, i):
            plans[worker].update_arrays(ends[0][i], ends[1][i])
            plans[worker].execute()

        self._workers.share(piece, n)
        for plan in plans:
            plan.update_arrays(*scratch)  # a plan keeps its arrays alive

    def _plane_plans(self, field, modes, direction) -> tuple[list[pyfftw.FFTW], tuple]:
        """Plans, one a worker, for planes with these strides and alignment, in place or not;
        and the arrays they were made with. Other plans round differently: fields of `empty`
        give the same bits every time."""
        aligned = _aligned(field) and _aligned(modes)
        key = (direction, field.strides, aligned, np.shares_memory(field, modes, max_work=1))
        if key not in self._planes:
            scratch = pyfftw.empty_aligned(self.shape_k[1:], "complex64")
            if key[-1]:
                plane = self.mesh(scratch)[:, : field.shape[-1]]
            else:
                plane = pyfftw.empty_aligned(self.shape[1:], "float32")
            ends = (plane, scratch) if direction == "FFTW_FORWARD" else (scratch, plane)
            with self._wisdom():
                plans = [
                    self._plan(*ends, (0, 1), direction, aligned)
                    for _ in range(self._workers.number)
                ]
            self._planes[key] = plans, ends
        return self._planes[key]

    def _plan(self, source, target, axes, direction, aligned=True) -> pyfftw.FFTW:
        flags = [f"FFTW_{self._planning.upper()}"] + ([] if aligned else ["FFTW_UNALIGNED"])
        return pyfftw.FFTW(source, target, axes=axes, direction=direction, flags=flags, threads=1)

    def _wisdom(self):
        return wisdom.kept(self._planning == "measure")


def _aligned(planes: np.ndarray) -> bool:
    """Whether every plane starts where FFTW likes it to."""
    step = pyfftw.simd_alignment
    return planes.ctypes.data % step == 0 and planes.strides[0] % step == 0
