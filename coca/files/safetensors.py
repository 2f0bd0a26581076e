"""Safetensors files with a checksum over every byte, for weights, tables and trainings.

The format holds numbers and text only: nothing that is read can run. The metadata's `sha256` is
that of the whole file with zeros in the place of its own digits; `checksum` says that there is one,
for when a bit of its name or digits has flipped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open

from coca.atomic_files import whole_file
from coca.errors import FileError, reason

BLANK = "0" * 64
SEALED = {"sha256": BLANK, "checksum": "sha256"}
MARK = b'"checksum":"sha256"'
SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')
BLOCK = 2**20
"""Bytes hashed at a time."""


def write_tensors(path: Path, save_file: Callable, tensors: dict, metadata: dict[str, str]) -> None:
    """Write tensors with their checksum, whole or not at all.

    Parameters
    ----------
    path : Path
        Its directory is made where it is missing.
    save_file : callable
        That of safetensors for the kind of the tensors.
    tensors : dict of str to array
    metadata : dict of str to str

    Raises
    ------
    FileError
        The file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            save_file(tensors, temporary, metadata | SEALED)
            place, _ = _seal(temporary)
            with temporary.open("r+b") as file:
                file.seek(place)
                file.write(_checksum(temporary, place).encode())
    except (OSError, SafetensorError) as error:
        raise FileError(f"cannot write {path}: {reason(error)}") from None


def read_tensors(path: Path, framework: str, device: str = "cpu") -> tuple[dict[str, str], dict]:
    """Metadata and tensors of a file of `write_tensors`, or of one without a checksum.

    Parameters
    ----------
    path : Path
    framework : {"numpy", "pt"}
        Kind of the tensors.
    device : str
        Where to put them.

    Raises
    ------
    OSError, SafetensorError
        The file cannot be read, or is no safetensors file.
    ValueError
        It is damaged.
    """
    place, wanted = _seal(path)
    if wanted is not None and _checksum(path, place) != wanted:
        raise ValueError("damaged, its checksum is not that of its bytes")
    with safe_open(path, framework, device) as file:
        metadata = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return {key: value for key, value in metadata.items() if key not in SEALED}, tensors


def _seal(path: Path) -> tuple[int, str | None]:
    """Where the checksum's digits are in a file, and what they say; None where it has none, and
    nothing where they are illegible."""
    with path.open("rb") as file:
        header = file.read(8)
        header += file.read(min(int.from_bytes(header, "little"), BLOCK))
    found = SEAL.search(header)
    if found:
        return found.start(1), found[1].decode()
    return 0, "" if MARK in header else None


def _checksum(path: Path, place: int) -> str:
    """SHA-256 of a file with zeros for the digits at `place`."""
    checksum = hashlib.sha256()
    with path.open("rb") as file:
        checksum.update(file.read(place))
        checksum.update(BLANK.encode())
        file.seek(place + len(BLANK))
        while block := file.read(BLOCK):
            checksum.update(block)
    return checksum.hexdigest()
