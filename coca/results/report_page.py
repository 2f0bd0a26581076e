"""The page of a report: a record and figures in one HTML file that loads nothing."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import jinja2

if TYPE_CHECKING:
    from coca.results.report_sky import SkySection


class Drawing(NamedTuple):
    """A figure as files beside the page and as text inside it."""

    file: str
    """Name of the PNG."""
    pdf: str
    """Name of the PDF."""
    base64: str
    """The PNG, encoded."""


class Row(NamedTuple):
    """Ratios to the reference's power and correlations with it at one wavenumber."""

    k: float
    """h/Mpc."""
    run: tuple[float, float]
    frame: tuple[float, float] | None


class OutputSection(NamedTuple):
    """A section on one redshift."""

    redshift: float
    D: float
    run_name: str
    frame_name: str | None
    """None where there is no frame that differs from the run."""
    difference: str | None
    """What the picture of a difference shows."""
    distance: float | None
    """Rms distance per component from the reference, Mpc/h."""
    rows: list[Row]
    """Empty without a reference."""
    drawings: dict[str, Drawing]
    """density and spectra."""


def render(
    record: dict,
    outputs: list[OutputSection],
    drawings: dict[str, Drawing],
    sky: SkySection | None,
    files: list[str],
    box: str,
) -> str:
    """The page, well-formed as XML as well.

    Parameters
    ----------
    record : dict
        From `coca.results.write.run_record`.
    outputs : list of OutputSection
        From early to late.
    drawings : dict
        time, residual where forces measured one, and sky of a light cone.
    sky : SkySection or None
        Of a run with a light cone.
    files : list of str
        Names of all files of the run, relative to the page.
    box : str
        Box, particles, seed and cosmology, in a line.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("coca.results"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["value"] = shown
    return environment.get_template("report.html").render(
        record=record,
        config=record["config"],
        command=shlex.join(record["command"]),
        sections=sections(record["config"]),
        outputs=outputs,
        drawings=drawings,
        sky=sky,
        files=files,
        box=box,
        total=sum(record["timings"].values()),
    )


def sections(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A configuration's keys by section, those of none first, of "run"."""
    single = {key: value for key, value in config.items() if not isinstance(value, dict)}
    return {"run": single} | {key: value for key, value in config.items() if key not in single}


def shown(value: Any) -> str:
    """A value as in YAML."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
