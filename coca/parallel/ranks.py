"""The ranks that share a run as one of them sees them, and the run of a single rank.

`coca.parallel.mpi` has the ranks of MPI. `OneRank` needs no MPI and sends nothing.
What is sent is counted in bytes by what it is for.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np

from coca.errors import CocaError

T = TypeVar("T")
Summed = TypeVar("Summed", int, float, np.ndarray)


class Node(NamedTuple):
    """A rank's place among those that share its machine."""

    rank: int
    ranks: int
    cores: float
    """Cores for each of them: those granted, where several ranks are granted one, in parts."""


class Arrivals(ABC):
    """Rows that are on their way from other ranks."""

    counts: np.ndarray
    """Rows from each rank."""

    @abstractmethod
    def wait(self) -> np.ndarray:
        """The rows, by rank."""


class Ranks(ABC):
    """The ranks of a run as one of them sees them.

    Attributes
    ----------
    rank, size : int
    node : Node
    sent : Counter
        Bytes that this rank has sent to others, by what they were for.
    """

    rank: int
    size: int
    node: Node
    sent: Counter

    @abstractmethod
    def gather(self, value: T) -> list[T]:
        """Every rank's value, on every rank; for small things."""

    @abstractmethod
    def broadcast(self, value: T) -> T:
        """The first rank's value."""

    @abstractmethod
    def sum(self, values: Summed) -> Summed:
        """Sum over ranks of a number or an array, the same bits on every rank."""

    @abstractmethod
    def shift(self, array: np.ndarray, hop: int, what: str) -> np.ndarray:
        """Send an array to the rank `hop` further on; what came from the one as far back."""

    @abstractmethod
    def swap(self, array: np.ndarray, partner: int, out: np.ndarray, what: str) -> None:
        """Send an array to a rank that sends one of the same size here, into `out`."""

    @abstractmethod
    def exchange(
        self, rows: np.ndarray, counts: np.ndarray, expected: np.ndarray | None, what: str
    ) -> Arrivals:
        """Begin to send every rank its rows.

        Parameters
        ----------
        rows : array (N, c)
            By destination; must stay as they are until the arrivals are waited for.
        counts : array (size,) int64
            Rows to each rank.
        expected : array (size,) int64, optional
            Rows from each rank, where known.
        """

    @abstractmethod
    def split(self, groups: int) -> Ranks:
        """This rank's group, of as many groups of equal size, each of consecutive ranks."""

    @abstractmethod
    def fail(self, message: str, status: int) -> int:
        """Say why this rank cannot go on, and end the whole run; the exit status, if all can."""

    @contextmanager
    def together(self, *errors: type[Exception]) -> Iterator[None]:
        """Raise on every rank one of `errors` that the block, without communication, raised on
        any: that of the first rank."""
        failure = None
        try:
            yield
        except errors as error:
            failure = error
        failures = [found for found in self.gather(failure) if found is not None]
        if failures:
            raise failures[0]

    def once(self, work: Callable[[], T]) -> T:
        """Do `work` on the first rank; its result, or its CocaError or OSError, on every one."""
        results: list[T] = []
        with self.together(CocaError, OSError):
            if self.rank == 0:
                results.append(work())
        return self.broadcast(results)[0]

    def partners(self) -> Iterator[int]:
        """Every other rank once, in an order in which all ranks come in pairs."""
        for turn in range(self.size):
            partner = (turn - self.rank) % self.size
            if partner != self.rank:
                yield partner

    def ghost_planes(
        self, planes: np.ndarray, below: int, above: int, what: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """The planes (array[0], array[1], ...) just below and above this rank's, periodically."""
        return self._reach(planes, below, 1, what), self._reach(planes, above, -1, what)

    def _reach(self, planes: np.ndarray, wanted: int, hop: int, what: str) -> np.ndarray:
        """`wanted` planes from ranks before (hop 1) or after (hop -1) this one, in order."""
        own, parts, hops = len(planes), [planes[:0]], 0
        while wanted > 0:
            hops, take = hops + 1, min(own, wanted)
            part = planes[own - take :] if hop > 0 else planes[:take]
            part = self.shift(np.ascontiguousarray(part), hop * hops, what)
            parts = [part, *parts] if hop > 0 else [*parts, part]
            wanted -= take
        return np.concatenate(parts)


def granted_cores() -> set[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


class _Here(Arrivals):
    def __init__(self, rows: np.ndarray, counts: np.ndarray):
        self._rows, self.counts = rows, counts

    def wait(self) -> np.ndarray:
        return self._rows


class OneRank(Ranks):
    """A run of one process."""

    def __init__(self) -> None:
        self.rank, self.size, self.sent = 0, 1, Counter()
        self.node = Node(0, 1, len(granted_cores()))

    def gather(self, value: T) -> list[T]:
        """Every rank's value, on every rank."""
        return [value]

    def broadcast(self, value: T) -> T:
        """The first rank's value."""
        return value

    def sum(self, values: Summed) -> Summed:
        """Sum over ranks, the same bits on every rank."""
        return values

    def shift(self, array: np.ndarray, hop: int, what: str) -> np.ndarray:
        """What the rank as far back sends, for an array sent on."""
        return array

    def swap(self, array: np.ndarray, partner: int, out: np.ndarray, what: str) -> None:
        """An array's partner, into `out`."""
        out[...] = array

    def exchange(
        self, rows: np.ndarray, counts: np.ndarray, expected: np.ndarray | None, what: str
    ) -> Arrivals:
        """Begin to send every rank its rows."""
        return _Here(rows, counts)

    def split(self, groups: int) -> Ranks:
        """This rank's group."""
        return self

    def fail(self, message: str, status: int) -> int:
        """Say why this rank cannot go on; the exit status."""
        print(message, file=sys.stderr)
        return status
