"""What the commands share: a configuration with --set, and how they end."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable

from coca.config_file import load_config
from coca.errors import CocaError, Terminated
from coca.ranks import Ranks, world


def run_configured(
    arguments: list[str] | None,
    program: str,
    description: str,
    kind: type,
    work: Callable,
    *,
    example: str,
    override: str,
    interrupted: str,
) -> int:
    """A command line that does `work` with one configuration file; returns the exit status.

    Parameters
    ----------
    arguments : list of str or None
        None: those of the process.
    program, description : str
        For the help.
    kind : type
        Of the configuration.
    work : callable
        Gets the configuration.
    example, override : str
        A file and a --set to show in the help.
    interrupted : str
        What to say after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("config", help=f"YAML file; see {example}")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"override a value of the file, for example {override}",
    )
    options = parser.parse_args(arguments)
    return _exit_status(lambda: work(load_config(options.config, options.set, kind)), interrupted)


def in_parallel(work: Callable[[Ranks], int], errors: tuple[type[Exception], ...]) -> int:
    """Do `work` on all ranks that there are; the exit status.

    Whatever stops a rank ends the whole run, with one message: a line for `errors`, which are the
    user's to mend, and a traceback for others.
    """
    try:
        ranks = world()
    except CocaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        return min(work(ranks), 1)
    except errors as error:
        return ranks.fail(f"error: {error}", 2)
    except KeyboardInterrupt:
        return ranks.fail("interrupted", 130)
    except Terminated as reason:
        return ranks.fail(str(reason), 143)
    except Exception:
        if ranks.size == 1:
            raise
        return ranks.fail(traceback.format_exc().rstrip(), 1)


def _exit_status(work: Callable[[], None], interrupted: str) -> int:
    """0, or 2 after a CocaError and 130 after Ctrl-C, which get one line each."""
    try:
        work()
    except CocaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 0
