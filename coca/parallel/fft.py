"""Real three-dimensional Fourier transforms in two passes over memory.

A pass over planes transforms y and z, a pass over columns transforms x; each piece fits in a
core's cache. Whatever multiplies the modes happens in the pass over columns, so that a
convolution takes three passes where separate transforms and products take seven. FFTW plans
only single planes and blocks of columns, which takes a fraction of a second even when timed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import pyfftw

from coca.parallel import fftw_plans
from coca.parallel.ranks import Ranks

SWAP_BYTES = 2**24
"""Most that ranks swap at a time, but for single planes."""
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

        def loop(worker: int) -> None:
            while (piece := next(pending)) < pieces:
                work(worker, piece)

        others = [self._pool.submit(loop, worker) for worker in range(1, self.number)]
        loop(0)
        for other in others:
            other.result()


class Transform:
    """Transforms of fields of n^3 cells, unnormalised both ways.

    A rank has some planes along x of a field, and of its modes, which are those of numpy's rfftn,
    as many rows along y. A column is one pair of wavenumbers along y and z; columns are numbered
    as the last two axes of all modes are laid out.

    Parameters
    ----------
    n : int
        Cells per dimension, a multiple of the ranks.
    workers : Workers
    ranks : Ranks

    Attributes
    ----------
    shape, shape_k : tuple of int
        Of this rank's part of a field, (planes, n, n), and of its modes, (n, planes, n//2+1).
    first : int
        Number of its first plane of the field, and of its first row of modes.
    """

    def __init__(self, n: int, workers: Workers, ranks: Ranks):
        planes = n // ranks.size
        self.shape, self.shape_k = (planes, n, n), (n, planes, n // 2 + 1)
        self.first = ranks.rank * planes
        self._ranks = ranks
        self._workers = workers
        self._width = max(8, BLOCK_BYTES // (8 * n) // 8 * 8)
        self._blocks = [
            pyfftw.zeros_aligned((n, self._width), "complex64") for _ in range(workers.number)
        ]
        self._planes: dict[tuple, list[tuple[pyfftw.FFTW, tuple]]] = {}
        self._along_x = self._planned(self._column_plans)

    def empty(self, *lead: int) -> np.ndarray:
        """Aligned float32 field (*lead, planes, n, n), not initialised."""
        return pyfftw.empty_aligned((*lead, *self.shape), "float32")

    def empty_k(self, *lead: int) -> np.ndarray:
        """Aligned complex64 modes (*lead, n, planes, n//2+1), not initialised."""
        return pyfftw.empty_aligned((*lead, *self.shape_k), "complex64")

    def mesh(self, modes: np.ndarray) -> np.ndarray:
        """The memory of modes as a field (planes, n, 2 (n//2+1)), of which [..., :n] counts."""
        return self._by_planes(modes).view(np.float32)

    def modes(self, mesh: np.ndarray) -> np.ndarray:
        """The inverse of `mesh`."""
        return mesh.view(np.complex64).reshape(self.shape_k)

    def forward(
        self, field: np.ndarray, out: np.ndarray | None = None, multiply: Multiply | None = None
    ) -> np.ndarray:
        """Modes sum_x f(x) exp(-ikx), times a factor.

        Parameters
        ----------
        field : array (planes, n, n) float32
            Kept, unless it is `mesh(out)`, which transforms in place.
        out : array (n, planes, n//2+1) complex64, optional
        multiply : callable, optional
        """
        out = self.empty_k() if out is None else out
        self._over_planes(field, out, "FFTW_FORWARD")
        self._swap(out)
        woven = self._woven(out)
        self._over_columns(woven, woven, ("FFTW_FORWARD", multiply))
        self._reorder(out, self._ranks.size)
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
        modes : array (n, planes, n//2+1) complex64
            Destroyed, unless there is `work`.
        out : array (planes, n, n) float32, optional
            May be the `mesh` of the modes or of `work`.
        multiply : callable, optional
        work : array (n, planes, n//2+1) complex64, optional
            Destroyed in place of the modes.
        """
        out = self.empty() if out is None else out
        if work is None:
            work = modes
            self._reorder(work, self.shape[0])
            source = self._woven(work)
        else:
            source = self._in_order(modes)
        self._over_columns(source, self._woven(work), (multiply, "FFTW_BACKWARD"))
        self._swap(work)
        self._over_planes(out, work, "FFTW_BACKWARD")
        return out

    def convolve(self, modes: np.ndarray, multiply: Multiply) -> None:
        """Transform the field in `mesh(modes)`, multiply its modes and transform back, in place."""
        field, woven = self.mesh(modes), self._woven(modes)
        self._over_planes(field, modes, "FFTW_FORWARD")
        self._swap(modes)
        self._over_columns(woven, woven, ("FFTW_FORWARD", multiply, "FFTW_BACKWARD"))
        self._swap(modes)
        self._over_planes(field, modes, "FFTW_BACKWARD")

    def multiply(self, modes: np.ndarray, multiply: Multiply) -> None:
        """Multiply modes (n, planes, n//2+1) in place."""
        self._over_columns(self._in_order(modes), self._in_order(modes), (multiply,))

    # After the transforms of its planes a rank has, of every row along y, its own planes. Ranks
    # swap these in pairs and in place, so that a rank has all planes of its own rows, but woven:
    # those of rank s where its own plane's row for s was.

    def _by_planes(self, modes: np.ndarray) -> np.ndarray:
        """The memory of modes as planes (planes, n, n//2+1)."""
        return modes.reshape(*self.shape[:2], self.shape_k[2])

    def _in_order(self, modes: np.ndarray) -> np.ndarray:
        """Modes as (ranks, planes of each, columns)."""
        return modes.reshape(self._ranks.size, self.shape[0], -1)

    def _woven(self, modes: np.ndarray) -> np.ndarray:
        """Woven modes as (ranks, planes of each, columns)."""
        return modes.reshape(self.shape[0], self._ranks.size, -1).transpose(1, 0, 2)

    def _swap(self, modes: np.ndarray) -> None:
        """Exchange rows with every other rank, one after the other."""
        if self._ranks.size == 1:
            return
        woven = self._woven(modes)
        planes, columns = woven.shape[1:]
        most = min(planes, max(1, SWAP_BYTES // (8 * columns)))
        sent, received = np.empty((2, most, columns), "complex64")
        for partner in self._ranks.partners():
            for low in range(0, planes, most):
                piece = woven[partner, low : low + most]
                self._copy(piece, sent)
                self._ranks.swap(sent[: len(piece)], partner, received[: len(piece)], "transposes")
                self._copy(received[: len(piece)], piece)

    def _copy(self, source: np.ndarray, target: np.ndarray) -> None:
        def piece(worker: int, i: int) -> None:
            target[i] = source[i]

        self._workers.share(piece, len(source))

    def _reorder(self, modes: np.ndarray, stride: int) -> None:
        """Fill place k of the n planes of modes from place k * stride mod n - 1, in place.

        With the planes of a rank as stride, modes in order become woven; with the number of ranks
        woven ones come in order. Both are transpositions.
        """
        planes, last = modes.reshape(len(modes), -1), len(modes) - 1
        done = np.zeros(len(planes), bool)
        if stride in (1, len(planes)):
            return
        for start in range(1, last):
            if done[start]:
                continue
            place, first = start, planes[start].copy()
            while not done[place]:
                done[place] = True
                source = place * stride % last
                planes[place] = first if source == start else planes[source]
                place = source

    def _over_columns(
        self, source: np.ndarray, target: np.ndarray, steps: tuple[str | Multiply | None, ...]
    ) -> None:
        """Take all columns of `source` through the steps, a block at a time, into `target`; both
        (ranks, planes, columns)."""
        parts, planes, columns = source.shape
        offset = self.first * self.shape_k[2]
        blocks = [block.reshape(parts, planes, self._width) for block in self._blocks]

        def piece(worker: int, number: int) -> None:
            first = number * self._width
            width = min(self._width, columns - first)
            blocks[worker][..., :width] = source[..., first : first + width]
            for step in steps:
                if isinstance(step, str):
                    self._along_x[step][worker].execute()
                elif step is not None:
                    step(self._blocks[worker], offset + first)
            target[..., first : first + width] = blocks[worker][..., :width]

        self._workers.share(piece, -(-columns // self._width))

    def _over_planes(self, field: np.ndarray, modes: np.ndarray, direction: str) -> None:
        """Transform y and z of every plane; where planes do not start as FFTW likes it, in a copy.

        Plans are the same for both, since all ranks have to make them together.
        """
        field, modes = field[..., : self.shape[1]], self._by_planes(modes)
        plans = self._plane_plans(field, modes, direction)
        source, target = (field, modes) if direction == "FFTW_FORWARD" else (modes, field)
        aligned = _aligned(field) and _aligned(modes)

        def piece(worker: int, i: int) -> None:
            plan, scratch = plans[worker]
            if aligned:
                plan.update_arrays(source[i], target[i])
                plan.execute()
            else:
                scratch[0][:] = source[i]
                plan.execute()
                target[i] = scratch[1]

        self._workers.share(piece, len(field))
        for plan, scratch in plans:
            plan.update_arrays(*scratch)  # a plan keeps its arrays alive

    def _plane_plans(
        self, field: np.ndarray, modes: np.ndarray, direction: str
    ) -> list[tuple[pyfftw.FFTW, tuple]]:
        """A plan for each worker, for planes with these strides, in place or not; and the arrays
        it was made with."""
        in_place = np.may_share_memory(field, modes)
        key = (direction, field.strides[1:], in_place)
        if key not in self._planes:
            self._planes[key] = self._planned(
                lambda flags: [
                    self._plane_plan(field.shape[1:], modes.shape[1:], direction, in_place, flags)
                    for _ in range(self._workers.number)
                ]
            )
        return self._planes[key]

    def _column_plans(self, flags: tuple[str, ...]) -> dict[str, list[pyfftw.FFTW]]:
        """Plans along x for each worker."""
        return {
            direction: [self._plan(block, block, (0,), direction, flags) for block in self._blocks]
            for direction in ("FFTW_FORWARD", "FFTW_BACKWARD")
        }

    def _plane_plan(
        self,
        shape: tuple[int, ...],
        shape_k: tuple[int, ...],
        direction: str,
        in_place: bool,
        flags: tuple[str, ...],
    ) -> tuple[pyfftw.FFTW, tuple]:
        modes = pyfftw.empty_aligned(shape_k, "complex64")
        if in_place:
            field = modes.view(np.float32)[:, : shape[1]]
        else:
            field = pyfftw.empty_aligned(shape, "float32")
        ends = (field, modes) if direction == "FFTW_FORWARD" else (modes, field)
        return self._plan(*ends, (0, 1), direction, flags), ends

    def _plan(
        self,
        source: np.ndarray,
        target: np.ndarray,
        axes: tuple[int, ...],
        direction: str,
        flags: tuple[str, ...],
    ) -> pyfftw.FFTW:
        return pyfftw.FFTW(
            source,
            target,
            axes=axes,
            direction=direction,
            flags=("FFTW_MEASURE", *flags),
            threads=1,
        )

    def _planned(self, make: Callable[[tuple[str, ...]], fftw_plans.Plans]) -> fftw_plans.Plans:
        return fftw_plans.plans(make, self._ranks)


def _aligned(planes: np.ndarray) -> bool:
    """Whether every plane starts where FFTW likes it to."""
    step = pyfftw.simd_alignment
    return planes.ctypes.data % step == 0 and planes.strides[0] % step == 0
