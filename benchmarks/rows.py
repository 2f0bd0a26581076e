"""The rows that a benchmark measured, in a file of a line for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from coca.atomic_files import whole_file

DIGITS = 8
"""Significant digits of numbers: 1 - r needs some that r shares with 1."""
ABSENT: dict = {}
"""What stands where a row has no value."""


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write rows, what all have in common once, whole or not at all."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    common = {name: rows[0][name] for name in names if _same(rows, name)}
    names = [name for name in names if name not in common]
    lines = ",\n".join(_text([row.get(name, ABSENT) for name in names]) for row in rows)
    with whole_file(path) as temporary:
        temporary.write_text(
            f'{{"common": {_text(common)},\n"names": {_text(names)},\n"rows": [\n{lines}\n]}}\n'
        )


def read_rows(path: Path) -> list[dict]:
    """The rows of a file of `write_rows`."""
    found = json.loads(path.read_text())
    names, common = found["names"], found["common"]
    pairs = (zip(names, row, strict=True) for row in found["rows"])
    return [common | {name: item for name, item in row if item != ABSENT} for row in pairs]


def listed(kind: Callable[[str], Any]) -> Callable[[str], list]:
    """Reads options of several values, or none, with commas between them."""
    return lambda text: [kind(item) for item in text.split(",") if item]


def heading(titles: list[str]) -> list[str]:
    """The first lines of a table."""
    return ["", f"| {' | '.join(titles)} |", "|" + " --- |" * len(titles)]


def _same(rows: list[dict], name: str) -> bool:
    return all(name in row and row[name] == rows[0][name] for row in rows)


def _text(value: Any) -> str:
    return json.dumps(_rounded(value), separators=(",", ":"))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
