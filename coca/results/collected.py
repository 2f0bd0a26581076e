"""Parameters and summaries of an ensemble in one file, as packages for inference take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from coca.atomic_files import whole_hdf5
from coca.errors import FileError, reason
from coca.files.tables import RUN_RECORD
from coca.light_cone.healpix import check_healpy
from coca.light_cone.lensing import convergence
from coca.light_cone.map_statistics import LEVELS, MapStatistics, map_statistics
from coca.light_cone.shells import farthest_redshift, read_shell, shell_files
from coca.light_cone.sources import Sources
from coca.run.earlier import LIST

FILE = "summaries.hdf5"
"""Name of the file, in an ensemble's directory."""
FORMAT = "coca-summaries-1"


class Universe(NamedTuple):
    """What is kept of one member of an ensemble."""

    name: str
    record: dict[str, Any]
    """Its run.json."""
    k: np.ndarray
    """Array (K,), h/Mpc."""
    modes: np.ndarray
    """Array (K,)."""
    P: np.ndarray
    """Array (outputs, K), (Mpc/h)^3."""
    sky: MapStatistics | None
    """Statistics of its convergence, where sources are given."""

    @property
    def cosmology(self) -> dict[str, float]:
        """Keys of its cosmology with their values."""
        return {k: v for k, v in self.record["config"]["cosmology"].items() if v is not None}


def check_ensemble(directory: Path, sources: Sources | None) -> list[Path]:
    """Directories of the members of an ensemble that have finished.

    Raises
    ------
    CocaError
        There is none; or its members have no light cone to the sources, or healpy is missing, where
        sources are given.
    """
    try:
        listed = json.loads((directory / LIST).read_text())
    except (OSError, ValueError) as error:
        raise FileError(f"{directory / LIST}: wanted an ensemble's list: {reason(error)}") from None
    finished = [directory / name for name in listed if (directory / name / RUN_RECORD).is_file()]
    if not finished:
        raise FileError(f"{directory}: found no member that has finished, wanted one or more")
    if sources is not None:
        check_healpy("coca collect --sources")
        sources.check(farthest_redshift(shell_files(finished[0])))
    return finished


def read_universe(directory: Path, sources: Sources | None) -> Universe:
    """A member that has finished.

    Raises
    ------
    FileError
        A file is missing or cannot be read.
    """
    try:
        record = json.loads((directory / RUN_RECORD).read_text())
        count = len(record["config"]["output"]["redshifts"])
        tables = [np.loadtxt(directory / f"spectra_{i:03d}.txt", ndmin=2) for i in range(count)]
    except (OSError, ValueError, KeyError) as error:
        raise FileError(
            f"{directory}: cannot read what a run wrote there: {reason(error)}"
        ) from None
    sky = None
    if sources is not None:
        sky = map_statistics(convergence(map(read_shell, shell_files(directory)), sources))
    k, modes = tables[0][:, :2].T
    return Universe(directory.name, record, k, modes, np.array([t[:, 2] for t in tables]), sky)


def write_collected(path: Path, universes: list[Universe], sources: Sources | None) -> None:
    """Write parameters and summaries of universes of one box, whole or not at all.

    Parameters
    ----------
    path : Path
    universes : list of Universe
    sources : Sources or None
        Those of the convergence.
    """
    first = universes[0]
    names = [name for name, value in first.cosmology.items()
             if any(other.cosmology.get(name) != value for other in universes)]  # fmt: skip
    with whole_hdf5(path) as file:
        file.attrs.update(_about(first, names, sources))
        theta = [[other.cosmology[name] for name in names] for other in universes]
        file["parameters"] = np.array(theta, np.float64).reshape(len(universes), len(names))
        file["parameters"].attrs["names"] = names
        file["seed"] = np.array([other.record["seed"] for other in universes], np.int64)
        file["member"] = [other.name for other in universes]
        file["k"], file["modes"] = first.k, first.modes
        file["k"].attrs["units"] = "h/Mpc"
        file["power"] = np.array([other.P for other in universes])
        file["power"].attrs["units"] = "(Mpc/h)^3"
        if first.sky is not None:
            file["l"], file["levels"] = first.sky.l, LEVELS
            for name in ("C_l", "pdf", "peaks"):
                file[name] = np.array([getattr(other.sky, name) for other in universes])


def _about(first: Universe, names: list[str], sources: Sources | None) -> dict[str, Any]:
    """What all universes have in common."""
    config = first.record["config"]
    about = {
        "format": FORMAT,
        "method": first.record["method"],
        "force_evaluations": first.record["force_evaluations"],
        "redshifts": config["output"]["redshifts"],
        **{key: config[key] for key in ("box_size", "particles", "mesh")},
        **{key: value for key, value in first.cosmology.items() if key not in names},
    }
    return about | ({} if sources is None else {"source_mean_z": sources.mean_redshift})
