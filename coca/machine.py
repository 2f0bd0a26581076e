"""What this machine is and grants: processor, memory, and threads for numba, FFTW and torch."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path

import numba
import psutil

from coca.errors import ConfigError


def choose_threads(wanted: int | str) -> int:
    """Threads to use: as wanted, or for "auto" the cores granted to this process.

    Raises
    ------
    ConfigError
        More threads than numba can start here.
    """
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    most = numba.config.NUMBA_NUM_THREADS
    if wanted == "auto":
        return max(1, min(granted or 1, most))
    if wanted > most:
        raise ConfigError(f"threads: found {wanted}, wanted at most {most} on this machine")
    return wanted


def processor() -> str:
    """Name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def check_memory(keys: str, needed: int, wanted: str) -> None:
    """Raise ConfigError if a configuration's keys need more memory than this machine has."""
    total = psutil.virtual_memory().total
    if needed > total:
        raise ConfigError(
            f"{keys}: need {needed / 2**30:.1f} GiB of memory, this machine has "
            f"{total / 2**30:.1f} GiB; wanted {wanted}"
        )


def peak_memory() -> int:
    """Most bytes of memory this process has held."""
    try:  # resource usage would include the process that started this one
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
