"""FFTW's wisdom, kept between runs: plans are timed once a machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import pyfftw

from coca.atomic_files import user_cache, whole_file
from coca.parallel.machine import processor
from coca.parallel.ranks import Ranks

Plans = TypeVar("Plans")


def plans(make: Callable[[tuple[str, ...]], Plans], ranks: Ranks) -> Plans:
    """Plans that `make` gives with more flags: timed once a machine.

    Wisdom of which nothing is missing is not looked through again.
    """
    if ranks.size == 1:
        _load_once()
        with suppress(RuntimeError):
            return make(("FFTW_WISDOM_ONLY",))
    with kept(ranks):
        return make(())


@contextmanager
def kept(ranks: Ranks) -> Iterator[None]:
    """Use wisdom of earlier runs inside the block, and keep what it adds.

    Without a directory that can be written, or with a damaged file, plans are timed anew. The
    first rank times them; the others enter the block when it has left it, and take its plans.
    """
    if ranks.rank == 0:
        with _saved():
            yield
        ranks.gather(None)
        ranks.broadcast(_export())
    else:
        ranks.gather(None)  # asleep, not to disturb what is timed
        pyfftw.import_wisdom((b"", ranks.broadcast(b""), b""))
        yield


@contextmanager
def _saved() -> Iterator[None]:
    _load_once()
    before = _export()
    yield
    if _export() != before:
        with suppress(OSError):
            _save()


def path() -> Path:
    """The file of this processor's wisdom, in the user's cache."""
    name = hashlib.sha256(processor().encode()).hexdigest()[:12]
    return user_cache() / f"fftw-{name}.wisdom"


@cache
def _load_once() -> None:
    """Only once: what another process timed differently since would change our plans."""
    _load()


def _load() -> None:
    with suppress(OSError):
        pyfftw.import_wisdom((b"", path().read_bytes(), b""))


def _export() -> bytes:
    return pyfftw.export_wisdom()[1]


def _save() -> None:
    """Write what is known here with what others have written meanwhile; ours prevails."""
    path().parent.mkdir(parents=True, exist_ok=True)
    ours = _export()
    pyfftw.forget_wisdom()
    _load()
    pyfftw.import_wisdom((b"", ours, b""))
    with whole_file(path()) as temporary:
        temporary.write_bytes(_export())
    pyfftw.forget_wisdom()
    pyfftw.import_wisdom((b"", ours, b""))
