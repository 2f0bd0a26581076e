"""What the commands share: a configuration with --set, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from coca.config import load_config
from coca.errors import CocaError


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
    return exit_status(lambda: work(load_config(options.config, options.set, kind)), interrupted)


def exit_status(
    work: Callable[[], None], interrupted: str, errors: tuple[type[Exception], ...] = (CocaError,)
) -> int:
    """0, or 2 after one of `errors` and 130 after Ctrl-C, which get one line each."""
    try:
        work()
    except errors as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 0
