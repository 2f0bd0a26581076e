"""Maps and tables of lensing, and their picture, in files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from coca.atomic_files import whole_file, whole_hdf5
from coca.errors import ConfigError
from coca.files.tables import write_table
from coca.light_cone.healpix import check_healpy, write_maps
from coca.light_cone.lensing import Convergence
from coca.light_cone.lensing_figures import draw_map, draw_power
from coca.light_cone.sky import (
    AXES,
    AngularPower,
    angular_power,
    n_side_of,
    shear,
)

FOLDER = "lensing"
"""Where files of lensing are, in a run's directory."""
FORMAT = "coca-lensing-1"
TABLES, MAPS = ("C_l.txt", "C_l.csv"), "lensing.hdf5"
NAMES = ("convergence.fits", "shear.fits", MAPS, *TABLES, "lensing.png", "lensing.pdf")
GALAXIES = "galaxies.hdf5"
"""Of `coca lens --galaxies`."""


def check_files(directory: Path, overwrite: bool) -> None:
    """Check that files can be written and replace none unasked.

    Raises
    ------
    ConfigError
        healpy is not installed, or one of the files is there.
    """
    check_healpy("coca lens")
    there = [directory / name for name in (*NAMES, GALAXIES) if (directory / name).exists()]
    if there and not overwrite:
        raise ConfigError(
            f"--out: found {there[0]}, wanted --overwrite to replace it, or another directory"
        )


def write_lensing(directory: Path, convergence: Convergence) -> list[Path]:
    """Write the convergence, its shear, its C_l beside theory, and their figure.

    Part of the sky has no shear, which depends on what is outside.

    Parameters
    ----------
    directory : Path
        It is made where it is not there; older files of the same names do not stay.
    convergence : Convergence

    Raises
    ------
    ConfigError
        camb is not installed, or does not take the cosmology.
    """
    power = angular_power(convergence)
    directory.mkdir(parents=True, exist_ok=True)
    for name in (*NAMES, GALAXIES):
        (directory / name).unlink(missing_ok=True)
    maps = {
        "kappa": np.where(
            convergence.footprint.pixels(n_side_of(convergence.kappa)),
            convergence.kappa,
            _unseen(),
        )
    }
    if convergence.footprint.name == "full":
        maps["gamma1"], maps["gamma2"] = shear(convergence.kappa)
    paths = [*_write_maps(directory, convergence, maps), *(directory / name for name in TABLES)]
    for path in paths[-2:]:
        write_table(path, _columns(power), _title(convergence))
    figures = [directory / name for name in NAMES[-2:]]
    _write_figure(figures, convergence, maps["kappa"], power)
    return [*paths, *figures]


def _unseen() -> float:
    """HEALPix's value of pixels that nothing is known of."""
    import healpy

    return float(healpy.UNSEEN)


def _title(convergence: Convergence) -> str:
    near, far = convergence.z
    return (
        f"coca C_l of the Born convergence, matter at z = {near:.4g} to {far:.4g}, "
        f"{described(convergence)}, box {convergence.box_size:g} Mpc/h"
    )


def described(convergence: Convergence) -> str:
    """Where its sources are."""
    z = convergence.sources.z
    if len(z) == 1:
        return f"sources at z = {z[0]:.4g}"
    return f"sources of mean z = {convergence.sources.mean_redshift:.4g}"


def _columns(power: AngularPower) -> dict[str, tuple[str, np.ndarray]]:
    names = {
        "l": power.l,
        "C_l": power.measured,
        "shot_noise": power.shot_noise,
        "pixel_window": power.window,
        "C_l_without_window": power.signal,
        "C_l_without_window_and_noise": power.corrected,
        "theory": power.theory,
        "theory_without_modes_beyond_box": power.theory_in_box,
    }
    return {name: ("1", values) for name, values in names.items()}


def _attributes(convergence: Convergence) -> dict[str, str | float | int]:
    about: dict[str, str | float | int] = {
        "format": FORMAT,
        "n_side": n_side_of(convergence.kappa),
        "ordering": "RING",
        "lower_z": convergence.z[0],
        "upper_z": convergence.z[1],
        "box_size": convergence.box_size,
        "source_mean_z": convergence.sources.mean_redshift,
        "shot_noise": convergence.shot_noise,
        "shear_axes": AXES,
    }
    return about | convergence.footprint.attributes | dict(convergence.cosmology.known())


def _write_maps(
    directory: Path, convergence: Convergence, maps: dict[str, np.ndarray]
) -> Iterator[Path]:
    """Write maps in HDF5, and as HEALPix does in FITS, float32 there."""
    about = _attributes(convergence)
    with whole_hdf5(directory / MAPS) as file:
        file.attrs.update(about)
        file["source_z"], file["source_share"] = convergence.sources.z, convergence.sources.share
        for name, values in maps.items():
            file.create_dataset(name, data=values, compression="gzip", fletcher32=True)
    yield directory / MAPS
    del about["format"]  # that of the HDF5 file
    for path, names in ((NAMES[0], ["kappa"]), (NAMES[1], ["gamma1", "gamma2"])):
        held = [name for name in names if name in maps]
        if held:
            single = {name: maps[name].astype(np.float32) for name in held}
            write_maps(directory / path, single, about)
            yield directory / path


def _write_figure(
    paths: list[Path], convergence: Convergence, kappa: np.ndarray, power: AngularPower
) -> None:
    """Draw once, and write in the format of each path."""
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(9.6, 3.3), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.25, 1.0))
        draw_map(figure, left, kappa)
        draw_power(right, power)
        figure.suptitle(_title(convergence), fontsize=9)
        for path in paths:
            with whole_file(path) as temporary:
                figure.savefig(temporary, dpi=200, format=path.suffix[1:])
