"""A second process that compiles, while this one does what needs none of it.

Numba compiles one function at a time in a process, on one core. What another process has compiled
it finds in its cache on disk. The other one is not of `multiprocessing`, which runs the main module
again: it works the same in scripts without a guard, in notebooks and in installed commands.
"""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LONGEST = 300.0
"""Seconds after which the second process is not waited for any longer."""
BEGIN = "import sys; sys.path[:] = {paths!r}; import {name}; {name}.run(sys.argv[1])"
"""What the second process does. It looks for modules where this one does, and so not in the working
directory, where Python's options -m and -c would have it look first."""
_running: list[subprocess.Popen] = []


def is_compiled(kernel: Any) -> bool:
    """Whether numba's cache on disk has something of a kernel as it is here, or needs nothing.

    The cache keeps what it has of another source, numba, Python or processor, and does not take it.
    Numba says only in private of what it would take; where it does not say, that is nothing.
    """
    if getattr(getattr(kernel, "stats", None), "cache_path", None) is None:
        return True  # numba is told not to compile, or not to keep anything
    with suppress(Exception):
        machine = kernel.targetctx.codegen().magic_tuple()
        return any(key[1] == machine for key in kernel._cache._cache_file._load_index())
    return False


@contextmanager
def compiling(module: str) -> Iterator[None]:
    """Run a module in a second process, which does not outlive the block.

    Parameters
    ----------
    module : str
        Its name; run as a program, it compiles. Where it cannot be run, nothing is said: what it
        does not compile is compiled by who calls it.
    """
    process = _start(module)
    if process is None:
        yield
        return
    _running.append(process)
    try:
        yield
    finally:
        _end(process)


def wait() -> None:
    """Let the second process, if there is one, come to its end; the time counts as compilation."""
    if not _running:
        return
    from numba.core.event import trigger_event

    with trigger_event("numba:compile", {}), suppress(subprocess.TimeoutExpired):
        _running[-1].wait(LONGEST)
    _end(_running[-1])


def run(module: str) -> None:
    """Be the second process, which runs a module as a program."""
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    runpy.run_module(module, run_name="__main__")


def _end_with_the_first() -> None:
    """The first process closes our input when it ends, however it does."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _start(module: str) -> subprocess.Popen | None:
    """The process, without a word to say; None where there can be none."""
    if not Path(sys.executable or "").stem.startswith("python"):  # of a program that embeds Python
        return None
    paths = [path or os.getcwd() for path in sys.path]
    try:
        return subprocess.Popen(
            [sys.executable, "-c", BEGIN.format(paths=paths, name=__name__), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return None


def _end(process: subprocess.Popen) -> None:
    """End a process that may have ended."""
    if process in _running:
        _running.remove(process)
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
