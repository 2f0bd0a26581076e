"""HEALPix maps by healpy, which is imported where it is used: runs without a sky need none."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from coca.atomic_files import whole_file
from coca.errors import ConfigError

KNOWN = ("n_side", "ordering")
"""What HEALPix's own keys of a header say."""


def check_healpy(what: str) -> None:
    """Raise ConfigError, which begins with what is asked for, if healpy is not installed."""
    if find_spec("healpy") is None:
        raise ConfigError(
            f"{what}: wanted healpy, which is not installed: pip install healpy, or "
            "coca's extra sky"
        )


def write_maps(path: Path, maps: Mapping[str, np.ndarray], about: Mapping[str, object]) -> None:
    """Write maps in ring order as a FITS file, whole or not at all.

    Parameters
    ----------
    path : Path
    maps : mapping of str to array (12 n_side^2,)
        Columns, each of its array's type.
    about : mapping
        Keys of the header, but for those that HEALPix has.
    """
    import healpy

    header = [(f"HIERARCH {key}", value) for key, value in about.items() if key not in KNOWN]
    with whole_file(path) as temporary:
        healpy.write_map(
            temporary, list(maps.values()), dtype=[array.dtype for array in maps.values()],
            column_names=list(maps), overwrite=True, extra_header=header,
        )  # fmt: skip
