"""The command line: coca run | ics | analyse | lens | collect | train | fit, or python -m coca."""

from __future__ import annotations

import atexit
import gc
import sys
from importlib import import_module

from coca.commands.arguments import parse
from coca.commands.shared import in_parallel
from coca.parallel.ranks import Ranks

GARBAGE = 50_000
"""New objects after which Python looks for garbage among them: libraries make hundreds of thousands
when they are loaded, and none of it is garbage."""


def main(arguments: list[str] | None = None) -> int:
    """Do what a command line says.

    Parameters
    ----------
    arguments : list of str, optional
        By default those of the process.

    Returns
    -------
    int
        The exit status: 0, 2 for input that cannot be run, 130 after Ctrl-C, 143 after SIGTERM, and
        1 where members of an ensemble failed.
    """
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)  # the end of the process frees all there is, without a search

    def work(ranks: Ranks) -> int:
        options = parse(arguments, ranks.rank == 0)
        return import_module(f"coca.commands.{options.command}").main(options, ranks)

    return in_parallel(work)


if __name__ == "__main__":
    sys.exit(main())
