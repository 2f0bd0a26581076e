"""How commands end."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import coca
from coca.errors import CocaError, ConfigError, Terminated
from coca.parallel.mpi import world
from coca.parallel.ranks import Ranks


def in_parallel(work: Callable[[Ranks], int]) -> int:
    """Do `work` on all ranks that there are; the exit status.

    Whatever stops a rank ends the whole run, with one message: a line for what is the user's to
    mend, and a traceback for other errors.
    """
    try:
        ranks = world()
    except CocaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        return min(work(ranks), 1)
    except (CocaError, FloatingPointError) as error:
        return ranks.fail(f"error: {error}", 2)
    except KeyboardInterrupt as interrupted:
        return ranks.fail(str(interrupted) or "interrupted", 130)
    except Terminated as reason:
        return ranks.fail(str(reason), reason.status)
    except Exception:
        if ranks.size == 1:
            raise
        return ranks.fail(traceback.format_exc().rstrip(), 1)


def check_one_rank(ranks: Ranks, command: str) -> None:
    """Raise ConfigError if a command that has no parallel form is run on several ranks."""
    if ranks.size > 1:
        raise ConfigError(f"ranks: found {ranks.size}, wanted one for coca {command}")


def check_replaced(key: str, path: Path, overwrite: bool, own: bool) -> None:
    """Check that a file, of a configuration's key, is not replaced unasked.

    Parameters
    ----------
    key : str
    path : Path
    overwrite : bool
        It was asked for.
    own : bool
        What is there is gone on with, which needs no asking but for what ships with coca.

    Raises
    ------
    ConfigError
        The file is there.
    """
    ships = Path(coca.__file__).parent in path.resolve().parents
    if path.exists() and not overwrite and (ships or not own):
        what = "which ships with coca" if ships else "which is there already"
        raise ConfigError(
            f"{key}: found {path}, {what}, wanted another name, or --overwrite to replace it"
        )


@contextmanager
def on_interrupt(message: str) -> Iterator[None]:
    """Have Ctrl-C inside the block say what that means."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(message) from None
