"""Tables of columns in text and in HDF5, and JSON records."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np

from coca.atomic_files import whole_file

RUN_RECORD = "run.json"
"""The record of a run, written last."""


def write_table(path: Path, columns: dict[str, tuple[str, np.ndarray]], title: str) -> None:
    """Write a table of columns.

    Parameters
    ----------
    path : Path
        Where it ends in .csv, numbers have commas between them, and the first line is of names
        alone; otherwise blanks, and lines of title and names are comments.
    columns : dict
        Name: unit and values (n,).
    title : str
    """
    names = [f"{name} [{unit}]" for name, (unit, _) in columns.items()]
    table = np.column_stack([values for _, values in columns.values()])
    style = {"header": f"{title}\ncolumns: {', '.join(names)}"}
    if path.suffix == ".csv":
        style = {"header": ",".join(names), "delimiter": ",", "comments": ""}
    with whole_file(path) as temporary:
        np.savetxt(temporary, table, fmt="%.8e", **style)


def write_columns(path: Path, columns: dict[str, tuple[str, np.ndarray]], attributes: dict) -> None:
    """Write columns as data sets of an HDF5 file, each with its unit as an attribute."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update(attributes)
        for name, (unit, values) in columns.items():
            file[name] = values
            file[name].attrs["Unit"] = unit


def write_json(path: Path, record: dict) -> None:
    """Write a record."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
