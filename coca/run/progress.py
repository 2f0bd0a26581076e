"""The time that stages take, and what the user is told meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tqdm import tqdm

if TYPE_CHECKING:
    from numba.core.event import TimingListener

T = TypeVar("T")
HEARTBEAT_SECONDS = 30.0
"""Between lines on how far a run is, where no bar can be drawn."""


class Clock:
    """Wall seconds by stage. A stage inside another one stops the outer one's clock.

    Compilation by numba is not a stage: it happens inside whichever stage calls a kernel that
    is not in numba's cache yet.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.compiled: dict[str, float] = {}
        """Seconds of each stage in which numba compiled."""
        self._compiled_before = self._compiled_since = _compilation_seconds()
        self._stack: list[str] = []
        self._since = 0.0

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Charge the time inside the block to `stage`."""
        self._charge()
        self._stack.append(stage)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    def timed(self, stage: str, function: Callable[..., T]) -> Callable[..., T]:
        """The same function, its time counted as `stage`."""

        def run(*arguments: Any) -> T:
            with self(stage):
                return function(*arguments)

        return run

    @property
    def compilation(self) -> float:
        """Seconds in which numba compiled kernels since this clock was made."""
        return _compilation_seconds() - self._compiled_before

    def table(self) -> str:
        """A table of stages, seconds and shares, and what compilation took of them."""
        total = sum(self.seconds.values())
        rows = [
            f"  {stage:<20} {seconds:8.2f} s {100 * seconds / max(total, 1e-9):5.1f} %"
            for stage, seconds in self.seconds.items()
        ]
        rows.append(f"  {'total':<20} {total:8.2f} s")
        if self.compilation > 0.5:
            rows.append(f"  {self.compilation:.1f} s of it compiling, which later runs need not")
        return "\n".join(["time by stage", *rows])

    def _charge(self) -> None:
        now, compiled = time.perf_counter(), _compilation_seconds()
        if self._stack:
            stage = self._stack[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
            spent = compiled - self._compiled_since
            self.compiled[stage] = self.compiled.get(stage, 0.0) + spent
        self._since, self._compiled_since = now, compiled


@cache
def _compilation() -> TimingListener:
    from numba.core.event import TimingListener, register

    listener = TimingListener()
    register("numba:compile", listener)
    return listener


def _compilation_seconds() -> float:
    """Seconds in which numba compiled since this was first asked for."""
    return _compilation().duration if _compilation().done else 0.0


class Counter(Protocol):
    """What counts how often something was done."""

    def update(self, n: int = 1) -> Any:
        """So many more are done."""


class Heartbeat:
    """Says a line now and then of how far something is, and how long it will take.

    Parameters
    ----------
    say : callable
    what : str
    total : int
        Number of updates.
    """

    def __init__(self, say: Callable[[str], None], what: str, total: int):
        self._say, self._what, self._total = say, what, total
        self._done, self._before = 0, 0
        self._began = self._said = wall_seconds()

    def update(self, n: int = 1) -> None:
        """So many more are done; those of the first call at once are of an earlier run."""
        if self._done == 0 and n != 1:
            self._before = n
        self._done += n
        now = wall_seconds()
        here = self._done - self._before
        if here > 0 and now - self._said >= HEARTBEAT_SECONDS and self._done < self._total:
            each, self._said = (now - self._began) / here, now
            left = duration(each * (self._total - self._done))
            self._say(f"  {self._what}: {self._done} of {self._total}, about {left} left")


def wall_seconds() -> float:
    """Seconds since some moment."""
    return time.monotonic()


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def in_notebook() -> bool:
    """Whether a kernel of Jupyter runs this process."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


class Progress:
    """A bar on a terminal and in a notebook, plain lines otherwise.

    Parameters
    ----------
    quiet : bool or None
        Nothing; None: nothing but bars in a notebook, which go when they are full.
    """

    def __init__(self, quiet: bool | None = False):
        self.quiet = quiet is not False
        self._in_notebook = quiet is not True and in_notebook()

    def say(self, line: str) -> None:
        """Print a line beside the bar."""
        if not self.quiet:
            tqdm.write(line)

    @contextmanager
    def count(self, what: str, total: int) -> Iterator[Counter]:
        """A bar to update `total` times; where none can be drawn, lines now and then."""
        self.say(f"{what}: {total}")
        options: dict[str, Any] = {"disable": True if self.quiet else None}
        if self._in_notebook:  # whose output is no terminal, and takes a bar all the same
            options = {"disable": False, "file": sys.stdout, "leave": False}
        with tqdm(total=total, desc=what, **options) as bar:
            yield bar if not bar.disable else Heartbeat(self.say, what, total)
