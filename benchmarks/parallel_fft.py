"""Our transform beside mpi4py-fft's on all ranks: mpiexec -n 2 python benchmarks/parallel_fft.py N

Prints JSON: milliseconds of a real transform, the mean of there and back, by library. mpi4py-fft
is left out where it is not installed (it builds with FFTW's headers).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np

from coca.parallel.domain import Box
from coca.parallel.mpi import world
from coca.parallel.ranks import Ranks

ROUNDS = 9


def main() -> None:
    """Time both, in turns."""
    ranks, n = world(), int(sys.argv[1])
    calls = {"coca": ours(ranks, n)}
    with suppress(ImportError):
        calls["mpi4py-fft"] = theirs(n)
    seconds = {name: [] for name in calls}
    for _ in range(ROUNDS + 1):
        for name, call in calls.items():
            ranks.gather(None)
            start = time.perf_counter()
            call()
            ranks.gather(None)
            seconds[name].append(0.5e3 * (time.perf_counter() - start))
    if ranks.rank == 0:
        print(json.dumps({name: float(np.median(values[1:])) for name, values in seconds.items()}))


def ours(ranks: Ranks, n: int) -> Callable[[], None]:
    """Our transform and its inverse in place, as the force takes them."""
    fft = Box(1.0, 1, ranks).transform(n)
    modes = fft.empty_k()
    modes[:] = 0

    def call():
        fft.forward(fft.mesh(modes), modes)
        fft.backward(modes, fft.mesh(modes))

    return call


def theirs(n: int) -> Callable[[], None]:
    """A transform and its inverse by mpi4py-fft, in slabs, with measured plans."""
    from mpi4py import MPI
    from mpi4py_fft import PFFT, newDistArray

    fft = PFFT(MPI.COMM_WORLD, [n] * 3, dtype=np.float32, slab=True)
    field, modes = newDistArray(fft, False), newDistArray(fft, True)
    field[:] = 0

    def call():
        fft.backward(fft.forward(field, modes), field)

    return call


if __name__ == "__main__":
    main()
