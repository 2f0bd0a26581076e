"""The one family of errors that a user meets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from reprlib import Repr

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80


class CocaError(Exception):
    """Bad input: the message names the key or file, what was found and what is wanted.

    It is one line, whatever stands in names and in the messages of libraries.
    """

    def __init__(self, message: str):
        line = " ".join(message.split())
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line))


class ConfigError(CocaError):
    """A configuration that cannot be run."""


class FileError(CocaError):
    """A file that is missing, damaged or does not fit the configuration."""


class CocaWarning(UserWarning):
    """What to mind of a run from Python."""


def unwritable(directory: object, error: OSError) -> FileError:
    """What is said of an output directory that a file system did not take a file for."""
    return FileError(f"output.directory: cannot write {directory}: {error.strerror or error}")


_OF_HDF5 = re.compile(r"['\"]?(?:Unable to|Can't) [^(]*\((.*)\)", re.S)
_SAID = {
    "file signature not found": "it is not HDF5",
    "truncated file": "it is cut short",
    "Error while deserializing header": "it is no safetensors file, or damaged",
}
"""Beginnings of what libraries say, and what is said of it."""


def reason(error: BaseException) -> str:
    """What a library says of a failure, at most 200 characters, without numbers of the system's
    errors and HDF5's own."""
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    said = " ".join(str(error).split()) or type(error).__name__
    inner = _OF_HDF5.match(said)
    said = inner[1] if inner else said
    return next((ours for theirs, ours in _SAID.items() if said.startswith(theirs)), said[:200])


class Terminated(Exception):
    """The run was told to end, and has saved its state.

    Parameters
    ----------
    message : str
    status : int
        Exit status of the process: 143 after SIGTERM, 130 after Ctrl-C.
    """

    def __init__(self, message: str, status: int = 143):
        super().__init__(message)
        self.status = status


def short(value: object) -> str:
    """A value as Python writes it, where that is long only its ends."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python does not write integers of very many digits
        return "a number of too many digits"


def as_path(argument: str, value: object) -> Path:
    """The path that a function's argument is.

    Raises
    ------
    ConfigError
        It is none.
    """
    try:
        path = Path(value)  # type: ignore[arg-type]
    except TypeError:
        path = None
    if path is None or "\0" in str(path):
        raise ConfigError(f"{argument}: found {short(value)}, wanted a path")
    return path
