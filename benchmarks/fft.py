"""Real transforms of a mesh by every library at hand, in turns, beside `coca.parallel.fft`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module

import numpy as np
import pyfftw
import scipy.fft

from benchmarks.timing import in_turns, machine_record, ratio, show, timing
from coca.parallel.domain import Box
from coca.parallel.machine import choose_threads

Pair = tuple[Callable[[], object], Callable[[], object]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--mesh", type=int, default=256, help="cells per dimension")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--rounds", type=int, default=9)


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of each library and direction, ours first."""
    threads = choose_threads(options.threads or "auto")
    rng = np.random.default_rng(1)
    field = pyfftw.empty_aligned((options.mesh,) * 3, "float32")
    field[:] = rng.standard_normal(field.shape, np.float32)
    modes = scipy.fft.rfftn(field, workers=threads)
    calls, skipped = {}, []
    for name, make in LIBRARIES.items():
        try:
            forward, backward = make(field, modes, threads)
        except ImportError as error:
            skipped.append({"name": name, "skipped": str(error)})
            continue
        np.testing.assert_allclose(forward(), modes, atol=1e-4 * np.abs(modes).max())
        calls[name, "forward"], calls[name, "backward"] = forward, backward
    seconds = in_turns(calls, options.rounds)
    common = {"mesh": options.mesh} | machine_record(threads)
    rows = [
        {
            "name": name,
            "direction": direction,
            "seconds": timing(values),
            "over_ours": ratio(values, seconds["coca", direction]),
        }
        | common
        for (name, direction), values in seconds.items()
    ]
    return rows + [row | common for row in skipped]


def ours(field: np.ndarray, modes: np.ndarray, threads: int) -> Pair:
    """`coca.parallel.fft.Transform`."""
    fft = Box(1.0, threads).transform(len(field))
    there, back, out = fft.empty_k(), fft.empty_k(), fft.empty()
    back[:] = 0
    return lambda: fft.forward(field, there), lambda: fft.backward(back, out)


def fftw(planning: str) -> Callable[[np.ndarray, np.ndarray, int], Pair]:
    """FFTW's three-dimensional plans through pyfftw."""

    def make(field: np.ndarray, modes: np.ndarray, threads: int) -> Pair:
        there = pyfftw.empty_aligned(modes.shape, "complex64")
        source = pyfftw.empty_aligned(field.shape, "float32")
        options = {"axes": (0, 1, 2), "flags": (planning,), "threads": threads}
        forward = pyfftw.FFTW(source, there, **options)
        back = pyfftw.zeros_aligned(modes.shape, "complex64")
        out = pyfftw.empty_aligned(field.shape, "float32")
        backward = pyfftw.FFTW(back, out, direction="FFTW_BACKWARD", **options)
        source[:], back[:] = field, 0
        return lambda: (forward.execute(), there)[1], backward.execute

    return make


def pocketfft(field: np.ndarray, modes: np.ndarray, threads: int) -> Pair:
    """SciPy's transforms."""
    shape = field.shape
    return (
        lambda: scipy.fft.rfftn(field, workers=threads),
        lambda: scipy.fft.irfftn(modes, shape, workers=threads),
    )


def ducc(field: np.ndarray, modes: np.ndarray, threads: int) -> Pair:
    """ducc0.fft."""
    library = import_module("ducc0.fft")
    n = len(field)
    return (
        lambda: library.r2c(field, nthreads=threads),
        lambda: library.c2r(modes, lastsize=n, forward=False, nthreads=threads),
    )


def mkl(field: np.ndarray, modes: np.ndarray, threads: int) -> Pair:
    """mkl_fft."""
    library = import_module("mkl_fft")
    shape = field.shape
    return lambda: library.rfftn(field), lambda: library.irfftn(modes, shape)


LIBRARIES = {
    "coca": ours,
    "pyfftw, estimate": fftw("FFTW_ESTIMATE"),
    "pyfftw, measure": fftw("FFTW_MEASURE"),
    "scipy": pocketfft,
    "ducc0": ducc,
    "mkl_fft": mkl,
}


def table(rows: list[dict]) -> str:
    """Medians with quartiles."""
    timed = [row for row in rows if "seconds" in row]
    lines = [
        f"mesh {rows[0]['mesh']}^3, {rows[0]['processor']}, {rows[0]['threads']} threads;"
        " milliseconds, median (quartiles)",
        "| | forward | backward | forward over ours | backward over ours |",
        "|" + " --- |" * 5,
    ]
    for name in dict.fromkeys(row["name"] for row in timed):
        pair = [row for row in timed if row["name"] == name]
        cells = [show(row["seconds"], 1e-3, 1) for row in pair]
        cells += [show(row["over_ours"]) for row in pair]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += [f"{row['name']}: skipped, {row['skipped']}" for row in rows if "skipped" in row]
    return "\n".join(lines)
