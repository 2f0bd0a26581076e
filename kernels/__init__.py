"""Numba kernels: arrays and scalars in, arrays out. No configuration, no files, no MPI.

Conventions. Particle arrays have shape (3, N) float32, positions in Mpc/h, unwrapped.
Meshes have planes (m, p >= m) float32 along x and cell i starts at i * cell. Kernels run on
`numba.get_num_threads()` threads, unless they say otherwise.

A module of kernels is imported when it is first used, as `kernels.NAME`.
"""

from importlib import import_module
from types import ModuleType


def __getattr__(name: str) -> ModuleType:
    try:
        return import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from error
