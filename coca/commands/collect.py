"""The command `coca collect`: parameters and summaries of an ensemble in one file."""

from __future__ import annotations

import argparse

from coca.atomic_files import check_directory
from coca.commands.lens import sources_of
from coca.commands.shared import check_one_rank
from coca.errors import ConfigError, FileError
from coca.parallel.ranks import Ranks
from coca.results.collected import FILE, check_ensemble, read_universe, write_collected


def main(options: argparse.Namespace, ranks: Ranks) -> int:
    """Check everything, then read all members; the exit status."""
    check_one_rank(ranks, "collect")
    sources = None if options.sources is None else sources_of(options.sources)
    path = options.out or options.directory / FILE
    check_directory("--out", path.parent)
    if path.exists() and not options.overwrite:
        raise ConfigError(f"--out: found {path}, wanted --overwrite to replace it, or another file")
    members = check_ensemble(options.directory, sources)
    universes = [read_universe(member, sources) for member in members]
    try:
        write_collected(path, universes, sources)
    except OSError as error:
        raise FileError(f"--out: cannot write {path}: {error.strerror or error}") from None
    print(f"wrote {path}: {len(universes)} universes")
    return 0
