"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coca.errors import ConfigError

WRITTEN = "snapshot|spectra|checkpoint|report|run|density|residual|time"
LEFTOVER = re.compile(rf"\.({WRITTEN})[^/]*-[a-z0-9_]{{8}}\.\w+")
"""Temporary files of `whole_file` for what a run writes."""


def check_directory(key: str, directory: Path) -> None:
    """Raise ConfigError if `directory`, of a configuration's key, cannot be written or made."""
    existing = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
