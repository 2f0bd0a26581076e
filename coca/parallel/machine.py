"""What this machine is and grants: processor, memory, and threads for numba, FFTW and torch."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

import psutil

from coca.errors import ConfigError
from coca.parallel.ranks import Node, granted_cores

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
"""Options of glibc's mallopt, see malloc.h."""


def sleep_at_barriers() -> None:
    """Have OpenMP's threads sleep where they wait for one another, unless the user says otherwise.

    Spinning threads take the cores from those they wait for on a machine that does other work too:
    an N-body run of many short steps takes six times as long then. OpenMP reads the environment
    when numba's or torch's library is loaded.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def choose_threads(wanted: int | Literal["auto"], node: Node | None = None) -> int:
    """Threads to use: as wanted, or for "auto" the cores granted to this rank, or process; they
    sleep where they wait for one another.

    Raises
    ------
    ConfigError
        More threads than numba can start here.
    """
    sleep_at_barriers()
    most = most_threads()
    if wanted == "auto":
        cores = node.cores if node else len(granted_cores())
        return max(1, min(int(cores), most))
    if wanted > most:
        raise ConfigError(f"threads: found {wanted}, wanted at most {most} on this machine")
    return wanted


def most_threads() -> int:
    """Threads that numba can start: those that its variable says, or the cores of the process. So
    it is told before numba, which takes a while to load, is needed."""
    said = os.environ.get("NUMBA_NUM_THREADS", "")
    return int(said) if said.isdecimal() else len(granted_cores())


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


@cache
def processor_flags() -> frozenset[str]:
    """What the processor can do beside the usual, in Linux' names; none where it does not say."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return frozenset(next(line for line in lines if line.startswith("flags")).split())
    return frozenset()


def check_memory(keys: str, needed: int, wanted: str, ranks: int = 1) -> None:
    """Raise ConfigError if a configuration's keys need more memory than this machine has, with
    so many ranks on it."""
    total = psutil.virtual_memory().total
    if needed * ranks > total:
        each = f" for {ranks} ranks" if ranks > 1 else ""
        raise ConfigError(
            f"{keys}: need {needed * ranks / 2**30:.1f} GiB of memory{each}, this machine has "
            f"{total / 2**30:.1f} GiB; wanted {wanted}"
        )


def keep_freed_memory(large: bool) -> None:
    """Let memory that is freed serve the next run of this process instead of giving it back.

    In small boxes fresh pages of memory cost as much as a force or more, in large ones a sixth of
    what steps cost beside their forces. Only glibc's allocator has to be told.

    Parameters
    ----------
    large : bool
        Arrays above 32 MiB, too. What they leave is taken by smaller ones: the most memory that is
        held over many runs grows by a twentieth, with the network's arrays among them by a sixth.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_TRIM_THRESHOLD, -1)  # never
        if large:
            mallopt(M_MMAP_MAX, 0)
        else:
            mallopt(M_MMAP_THRESHOLD, 2**25)


def peak_memory() -> int:
    """Most bytes of memory this process has held."""
    try:  # resource usage would include the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
