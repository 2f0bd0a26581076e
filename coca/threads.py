"""The number of threads, decided in one place for numba, FFTW and torch."""

from __future__ import annotations

import os

import numba

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
