"""The command `coca analyse`: statistics of snapshots."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from coca.atomic_files import check_directory
from coca.configuration.loading import make_config
from coca.configuration.sections import OutputConfig, PDFConfig, Statistic
from coca.errors import ConfigError, FileError
from coca.files.snapshot_reader import read_header
from coca.parallel.machine import check_memory, choose_threads
from coca.parallel.ranks import Ranks
from coca.run.memory import statistics_memory
from coca.statistics.snapshot_tables import Written, analyse


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Write the statistics on the first rank; the exit status."""
    written = ranks.once(lambda: analyse_files(options))
    if ranks.rank == 0:
        for line in (*(f"wrote {path}" for path in written.paths), *written.remarks):
            print(line)
    return 0


def analyse_files(options: argparse.Namespace) -> Written:
    """Check everything, then do what a command line says."""
    wanted = _wanted(options)
    if options.mesh is not None and (options.mesh < 16 or options.mesh % 2):
        raise ConfigError(f"--mesh: found {options.mesh}, wanted an even number from 16 on")
    out = options.out or options.snapshots[0].parent
    check_directory("--out", out)
    names = [path.stem for path in options.snapshots]
    if len(set(names)) < len(names):
        names = [f"{path.absolute().parent.name}_{path.stem}" for path in options.snapshots]
    if len(set(names)) < len(names):
        raise ConfigError(f"SNAPSHOT: found {', '.join(names)}, wanted different names")
    headers = [read_header(path) for path in options.snapshots]
    mesh = options.mesh or default_mesh(headers[0].particles)
    needed = max(statistics_memory(header.particles, mesh) for header in headers)
    check_memory("--mesh, particles", needed, "a coarser mesh or fewer particles")
    _check_boxes(options.snapshots, [header.box_size for header in headers])
    try:
        wanted.pdf.check("--pdf-radii", headers[0].box_size)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    try:
        out.mkdir(parents=True, exist_ok=True)
        return analyse(
            dict(zip(names, options.snapshots, strict=True)), out, wanted, mesh,
            choose_threads("auto"),
        )  # fmt: skip
    except OSError as error:
        raise FileError(f"--out: cannot write {out}: {error.strerror or error}") from None


def _wanted(options: argparse.Namespace) -> OutputConfig:
    """What a configuration's `output` would say."""
    statistics = tuple(options.statistics.split(","))
    unknown = [name for name in statistics if name not in get_args(Statistic)]
    if unknown:
        raise ConfigError(
            f"--statistics: found {unknown[0]}, wanted some of {', '.join(get_args(Statistic))}"
        )
    smoothing = {"window": options.pdf_window}
    if options.pdf_radii is not None:
        smoothing["radii"] = _numbers("--pdf-radii", options.pdf_radii)
    return OutputConfig(
        statistics=statistics,
        pdf=make_config(smoothing, PDFConfig, "--pdf"),
        halo_particles=options.halo_particles,
    )


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option}: found {text}, wanted numbers and commas") from None


def default_mesh(particles: int) -> int:
    """Twice the particles per dimension."""
    return max(16, 2 * round(particles ** (1 / 3)))


def _check_boxes(paths: list[Path], sizes: list[float]) -> None:
    for path, size in zip(paths, sizes, strict=True):
        if abs(size / sizes[0] - 1) > 1e-6:
            raise FileError(f"snapshot: {path}: found a box of {size:g}, wanted {sizes[0]:g} Mpc/h")
