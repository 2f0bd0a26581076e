"""The command `coca lens`: convergence, shear and C_l of a run's light cone."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from coca.atomic_files import check_directory
from coca.commands.shared import check_one_rank
from coca.cosmology.linear_power import check_source
from coca.errors import ConfigError, FileError
from coca.light_cone.galaxies import GalaxySum, read_galaxies, write_galaxies
from coca.light_cone.lensing import ConvergenceSum, in_order
from coca.light_cone.lensing_files import FOLDER, GALAXIES, check_files, write_lensing
from coca.light_cone.shells import farthest_redshift, read_shell, shell_files
from coca.light_cone.sources import Sources, read_sources
from coca.parallel.ranks import Ranks


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Check everything, then write; the exit status."""
    check_one_rank(ranks, "lens")
    sources = sources_of(options.sources)
    out = options.out or options.directory / FOLDER
    check_directory("--out", out)
    check_files(out, options.overwrite)
    check_source("camb", None)
    paths = shell_files(options.directory)
    end = farthest_redshift(paths)
    sources.check(end)
    kappa, shears = ConvergenceSum(sources), None
    if options.galaxies is not None:
        galaxies = read_galaxies(options.galaxies)
        galaxies.check(end)
        shears = GalaxySum(galaxies)
    for shell in in_order(map(read_shell, paths)):
        kappa.add(shell)
        if shears is not None:
            shears.add(shell)
    try:
        written = write_lensing(out, kappa.total())
        if shears is not None:
            write_galaxies(out / GALAXIES, galaxies, shears.total())
            written.append(out / GALAXIES)
    except OSError as error:
        raise FileError(f"--out: cannot write {out}: {error.strerror or error}") from None
    for path in written:
        print(f"wrote {path}")
    return 0


def sources_of(text: str) -> Sources:
    """Sources at a redshift, or of a table's file.

    Raises
    ------
    ConfigError
        The redshift is none of a source.
    FileError
        The table is missing, or is none.
    """
    try:
        z = float(text)
    except ValueError:
        return read_sources(Path(text))
    if not 0.0 < z < math.inf:
        raise ConfigError(f"--sources: found {text}, wanted a redshift above 0, or a file of n(z)")
    return Sources.at(z)
