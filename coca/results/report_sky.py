"""The section of a report on a run's light cone: its convergence, and C_l beside theory."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from coca.cosmology.linear_power import check_source
from coca.errors import ConfigError
from coca.light_cone.healpix import check_healpy
from coca.light_cone.lensing import convergence
from coca.light_cone.lensing_figures import draw_map, draw_power
from coca.light_cone.shells import read_shell, shell_files
from coca.light_cone.sky import angular_power
from coca.light_cone.sources import Sources
from coca.results.report_figures import WIDTH, Picture, add_panel, picture


class SkySection(NamedTuple):
    """What the report says of a light cone."""

    sources: float
    """Their redshift, the cone's end."""
    lacking: str | None
    """Why there is no figure."""


def draw_sky(directory: Path, z_max: float) -> tuple[SkySection, dict[str, Picture]]:
    """The section, and its figure where healpy and CAMB are there to make it.

    Parameters
    ----------
    directory : Path
        The run's, with its shells.
    z_max : float
        Where the cone ends, and all sources are put.
    """
    try:
        check_healpy("the convergence")
        check_source("camb", None)
        found = convergence(map(read_shell, shell_files(directory)), Sources.at(z_max))
        power = angular_power(found)
    except ConfigError as reason:
        return SkySection(z_max, str(reason)), {}

    def draw(figure: Figure) -> None:
        draw_map(figure, add_panel(figure, 0.06, 0.1, 3.4, 2.4), found.kappa)
        draw_power(add_panel(figure, 4.2, 0.12, WIDTH - 4.26, 2.5), power)

    return SkySection(z_max, None), {"sky": picture(draw, 3.1)}
