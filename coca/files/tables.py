"""Text tables of columns, and JSON records."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from coca.atomic_files import whole_file

RUN_RECORD = "run.json"
"""The record of a run, written last."""


def write_table(path: Path, columns: dict[str, tuple[str, np.ndarray]], title: str) -> None:
    """Write a text table; `columns` maps a name to its unit and values."""
    names = [f"{name} [{unit}]" for name, (unit, _) in columns.items()]
    header = f"{title}\ncolumns: {', '.join(names)}"
    table = np.column_stack([values for _, values in columns.values()])
    with whole_file(path) as temporary:
        np.savetxt(temporary, table, fmt="%.8e", header=header)


def write_json(path: Path, record: dict) -> None:
    """Write a record."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
