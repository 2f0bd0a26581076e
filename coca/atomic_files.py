"""Files that appear whole or not at all."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from coca.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

WRITTEN = "snapshot|ics|spectra|checkpoint|report|run|density|residual|time|sky|shell|lensing"
LEFTOVER = re.compile(rf"\.({WRITTEN})[^/]*-[a-z0-9_]{{8}}\.\w+")
"""Temporary files of `whole_file` for what a run writes."""


def user_cache() -> Path:
    """The directory, in the user's cache, of what is kept from run to run."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "coca"


def check_disk(
    keys: str, directory: Path, needed: int, wanted: str = "fewer or smaller outputs"
) -> None:
    """Raise ConfigError if a configuration's keys need more bytes than are free where `directory`,
    which has been checked, is or will be; `wanted` says what needs less."""
    free = shutil.disk_usage(_existing(directory)).free
    if needed > free:
        raise ConfigError(
            f"{keys}: found {_size(free)} free in {directory}, wanted "
            f"{_size(needed)} for what is written, or {wanted}"
        )


def _size(size: int) -> str:
    """Bytes, in units of them that leave something to be seen."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 / 10 else f"{size / 2**20:.1f} MiB"


def _existing(directory: Path) -> Path:
    """A directory, or the nearest above it that is there."""
    return next(p for p in (directory, *directory.absolute().parents) if p.exists())


def check_directory(key: str, directory: Path) -> None:
    """Raise ConfigError if `directory`, of a configuration's key, cannot be written or made."""
    try:
        existing = _existing(directory)
        writable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    except OSError:  # a name too long, or a directory that cannot be searched
        writable = False
    if not writable:
        raise ConfigError(f"{key}: found {directory}, wanted a directory that can be written")


def remove_leftovers(directory: Path) -> None:
    """Remove temporary files of a run that was killed while it wrote."""
    for path in directory.rglob(".*-????????.*"):
        if LEFTOVER.fullmatch(path.name):
            path.unlink()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_hdf5(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that takes its place at `path` when the block ends well.

    Its structure has checksums, as all of HDF5 1.10 and later has; data sets have them where they
    are made with fletcher32.

    Raises
    ------
    OSError
        The disk is full, or the like.
    """
    with whole_file(path) as temporary, _Unfailing(temporary, "w+") as raw:
        with h5py.File(raw, "w", libver="v110") as file:
            yield file
        if raw.failure is not None:
            raise raw.failure


class _Unfailing(io.FileIO):
    """A file that keeps the failure of a write to itself until it is asked: HDF5 cannot close a
    file of which it knows one, and then ends the process with a segmentation fault."""

    failure: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """All of the data, unless a write has failed."""
        whole = rest = memoryview(data).cast("B")
        while len(rest) and self.failure is None:
            with self._remembered():
                rest = rest[super().write(rest) :]
        return len(whole)

    def truncate(self, size: int | None = None) -> int:
        """Cut the file to a size, unless a write has failed."""
        with self._remembered():
            return super().truncate(size)
        return size

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        try:
            yield
        except OSError as failure:
            self.failure = self.failure or failure


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
