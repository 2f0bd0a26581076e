"""The ranks of MPI: nothing else calls it."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import Any

import numpy as np

from coca.errors import ConfigError
from coca.parallel.ranks import Arrivals, Node, OneRank, Ranks, Summed, T, granted_cores

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Where launchers leave the number of processes they have started."""
GRACE = 2.0
"""Seconds in which a failing rank learns of others that fail too."""
CARRY = 0.5
"""Seconds for the launcher to carry a message on; it loses what is under way at an abort."""


class _OnTheWay(Arrivals):
    def __init__(self, request: Any, kept: Any, rows: np.ndarray, counts: np.ndarray):
        self._request, self._kept, self._rows, self.counts = request, kept, rows, counts

    def wait(self) -> np.ndarray:
        self._request.Wait()
        self._kept = None
        return self._rows


class MPIRanks(Ranks):
    """Ranks of an MPI communicator.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm
    node : Node, optional
        Where it is known.
    """

    def __init__(self, comm: Any, node: Node | None = None):
        self._comm, self._notices = comm, comm.Dup()
        self.rank, self.size, self.sent = comm.rank, comm.size, Counter()
        self.node = node or _node(comm)

    def gather(self, value: T) -> list[T]:
        """Every rank's value, on every rank. Waits asleep, not to take a core from those at
        work."""
        everybody, pause = self._comm.Ibarrier(), 1e-5
        while not everybody.Test():
            time.sleep(pause)
            pause = min(2 * pause, 0.01)
        return self._comm.allgather(value)

    def broadcast(self, value: T) -> T:
        """The first rank's value."""
        return self._comm.bcast(value)

    def sum(self, values: Summed) -> Summed:
        """Sum over ranks, the same bits on every rank."""
        own = np.array(values)
        total = np.empty_like(own)
        self._comm.Reduce(own, total)
        self._comm.Bcast(total)
        return total if isinstance(values, np.ndarray) else total.item()

    def shift(self, array: np.ndarray, hop: int, what: str) -> np.ndarray:
        """What the rank as far back sends, for an array sent on."""
        to, source = (self.rank + hop) % self.size, (self.rank - hop) % self.size
        if to == self.rank:
            return array
        received = np.empty_like(array)
        self.sent[what] += array.nbytes
        self._comm.Sendrecv(array, to, recvbuf=received, source=source)
        return received

    def swap(self, array: np.ndarray, partner: int, out: np.ndarray, what: str) -> None:
        """An array's partner, into `out`."""
        self.sent[what] += array.nbytes
        self._comm.Sendrecv(array, partner, recvbuf=out, source=partner)

    def exchange(
        self, rows: np.ndarray, counts: np.ndarray, expected: np.ndarray | None, what: str
    ) -> Arrivals:
        """Begin to send every rank its rows."""
        if expected is None:
            expected = np.empty_like(counts)
            self._comm.Alltoall(counts, expected)
            self.sent[what] += counts.nbytes
        received = np.empty((int(expected.sum()), *rows.shape[1:]), rows.dtype)
        width = rows[:1].size if len(rows) else received[:1].size
        self.sent[what] += rows.nbytes
        request = self._comm.Ialltoallv([rows, counts * width], [received, expected * width])
        return _OnTheWay(request, (rows, counts * width), received, expected)

    def split(self, groups: int) -> Ranks:
        """This rank's group."""
        return MPIRanks(self._comm.Split(self.rank * groups // self.size, self.rank), self.node)

    def fail(self, message: str, status: int) -> int:
        """Say why this rank cannot go on; the exit status.

        Where every rank fails, the first says so and all go home. Otherwise those that fail tell
        the ones behind them, the first of them speaks, and the run is aborted.
        """
        everybody = self._notices.Ibarrier()
        told = [self._notices.isend(None, other) for other in range(self.rank + 1, self.size)]
        end = time.monotonic() + GRACE
        while not (together := everybody.Test()) and time.monotonic() < end:
            time.sleep(0.01)
        if together and self.rank == 0:
            print(message, file=sys.stderr, flush=True)
        if together:
            return status
        if any(self._notices.iprobe(source=other) for other in range(self.rank)):
            time.sleep(10 * GRACE)  # whoever speaks for us ends the run before
        where = f"rank {self.rank} of {self.size}"
        print(f"{message} ({where})", file=sys.stderr, flush=True)
        time.sleep(CARRY)
        self._comm.Abort(status)
        del told  # kept until here
        return status


def world() -> Ranks:
    """All processes that a launcher has started for this run; without one, this process.

    Raises
    ------
    ConfigError
        A launcher has started several processes that cannot find one another.
    """
    started = max([int(os.environ[name]) for name in SIZES if os.environ.get(name, "").isdigit()]
                  or [0])  # fmt: skip
    if started < 2 and not (started == 0 and "PMIX_RANK" in os.environ):
        return OneRank()
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        if started < 2:
            return OneRank()
        raise ConfigError(
            f"mpi: {started} processes were started, but mpi4py does not work here "
            f"({' '.join(str(error).split())}); wanted pip install -e '.[mpi]', or mpi4py built "
            "with this machine's MPI"
        ) from None
    comm = MPI.COMM_WORLD
    if comm.size < started:
        raise ConfigError(
            f"mpi: {started} processes were started, but MPI finds {comm.size}: mpiexec or srun "
            "belongs to another MPI than mpi4py; wanted the launcher of the MPI that mpi4py uses"
        )
    return MPIRanks(comm) if comm.size > 1 else OneRank()


def _node(comm: Any) -> Node:
    from mpi4py import MPI

    local = comm.Split_type(MPI.COMM_TYPE_SHARED)
    cores = local.allgather(granted_cores())
    sharers = Counter(core for granted in cores for core in granted)
    share = sum(1.0 / sharers[core] for core in cores[local.rank])
    return Node(local.rank, local.size, share)
