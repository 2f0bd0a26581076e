"""Many runs from one configuration: seeds, or a table of cosmologies, shared among MPI ranks.

A member's results are in a directory of its own. One whose record is there, of the same
configuration, is finished: a restart leaves it alone, and one of another configuration stops the
ensemble before any work. One that fails is reported and does not
stop the others. An error that is none of coca's, on one of several ranks that share a member, ends
the job, since the other ranks wait for that one: a restart does such members last.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coca.configuration.loading import make_config
from coca.configuration.run import Config
from coca.configuration.sections import EnsembleConfig, replaced
from coca.errors import CocaError, ConfigError, FileError, Terminated, reason, short
from coca.files.tables import RUN_RECORD, write_json
from coca.parallel.machine import keep_freed_memory
from coca.parallel.ranks import Ranks
from coca.run.earlier import (
    LIST,
    check_directory_for,
    check_ensemble_directory,
    finished,
)
from coca.run.progress import Progress

COSMOLOGY = ("Omega_m", "Omega_b", "h", "n_s", "sigma_8", "A_s", "w0", "wa", "m_nu")


class Member(NamedTuple):
    """One run of an ensemble."""

    name: str
    """Name of its directory."""
    config: Config


def members(config: Config, options: EnsembleConfig) -> list[Member]:
    """All runs that an ensemble of a configuration asks for.

    Raises
    ------
    CocaError
        There is no output.directory, the table cannot be read or does not fit, or its values are no
        cosmology.
    """
    rows = _rows(config.seed, options)
    width = max(4, len(str(len(rows) - 1)))
    return [_member(config, f"{i:0{width}d}", row) for i, row in enumerate(rows)]


def _member(config: Config, name: str, row: dict[str, float]) -> Member:
    values = config.model_dump(exclude={"ensemble"})
    values["seed"] = int(row["seed"])
    given = {key: row[key] for key in COSMOLOGY if key in row}
    values["cosmology"] = replaced(values["cosmology"], given)
    values["output"]["directory"] = config.output.needed_directory() / name
    return Member(name, make_config(values, name=f"ensemble, member {name}"))


def _rows(first: int, options: EnsembleConfig) -> list[dict[str, float]]:
    if options.seeds is not None:
        return [{"seed": seed} for seed in options.seeds]
    if options.table is not None:
        names, table = _table(options.table)
        rows = [dict(zip(names, map(float, row), strict=True)) for row in table]
        return [{"seed": first + i} | row for i, row in enumerate(rows)]
    return [{"seed": first + i} for i in range(options.realisations or 0)]


def _table(path: Path) -> tuple[list[str], np.ndarray]:
    known = (*COSMOLOGY, "seed")
    try:
        with path.open() as file:
            names = file.readline().replace("#", " ").replace(",", " ").split()
            lines = [line.replace(",", " ") for line in file if line.strip()]
    except (OSError, ValueError) as error:
        raise FileError(f"ensemble.table: cannot read {path}: {reason(error)}") from None
    table = _numbers(path, lines, len(names))
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        raise FileError(
            f"ensemble.table: {path}: found names {names} in the first line, wanted some of "
            f"{', '.join(known)}, each once"
        )
    if not table.size or table.shape[1] != len(names) or not np.isfinite(table).all():
        raise FileError(
            f"ensemble.table: {path}: found an array {table.shape}, wanted rows of {len(names)} "
            "finite numbers"
        )
    seeds = table[:, names.index("seed")] if "seed" in names else np.zeros(1)
    if (seeds != np.floor(seeds)).any() or seeds.min() < 0 or seeds.max() > 2**53:
        raise FileError(f"ensemble.table: {path}: wanted integers from 0 to 2^53 as seed")
    return names, table


def _numbers(path: Path, lines: list[str], columns: int) -> np.ndarray:
    """The rows of a table; each that is none is named by its number."""
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append([float(word) for word in line.partition("#")[0].split()])
        except ValueError:
            raise FileError(
                f"ensemble.table: cannot read {path}: row {number}: found {short(line.strip())}, "
                "wanted numbers"
            ) from None
        if rows[-1] and len(rows[-1]) != columns:
            raise FileError(
                f"ensemble.table: {path}: row {number}: found {len(rows[-1])} numbers, wanted "
                f"rows of {columns}, as there are names"
            )
    return np.array([row for row in rows if row], np.float64).reshape(-1, max(columns, 1))


def run_ensemble(
    directory: Path,
    ranks: Ranks,
    work: WorkLeft,
    progress: Progress,
    run: Callable[[Config, Ranks], str],
) -> int:
    """Run all members that are not finished; groups of ranks take turns at them.

    Parameters
    ----------
    directory : Path
        Of the list of what became of them.
    ranks : Ranks
        All there are.
    work : WorkLeft
        From `work_left`.
    progress : Progress
        Silent on all ranks but the first of a group.
    run : callable
        Does one run on a group of ranks and says in a line how it went.

    Returns
    -------
    int
        How many members failed, or were left when the ensemble was told to end.
    """
    keep_freed_memory(large=all(member.config.frame != "emulator" for member in work.todo))
    group, results = ranks.split(work.groups), dict(work.results)
    number = ranks.rank // group.size
    for member in work.todo[number :: work.groups]:
        group.sent.clear()
        try:
            group.once(partial(_make, member.config.output.needed_directory()))
            results[member.name] = run(member.config, group)
        except Terminated as told:
            results[member.name] = group.once(partial(_how_it_ended, member.config, told))
            break
        except (CocaError, FloatingPointError, OSError) as error:  # raised on all of a group
            results[member.name] = f"failed: {error}"
        except Exception as error:
            if group.size > 1:
                raise
            results[member.name] = f"failed: {type(error).__name__}: {error}"
        progress.say(f"member {member.name}: {results[member.name]}")
    results = _conclude(directory, ranks, results)
    failed = {name: text for name, text in results.items() if text.startswith("failed")}
    left = sum(member.name not in results for member in work.todo)
    if ranks.rank == 0:
        _say(work, failed, left, progress)
    return len(failed) + left


def _how_it_ended(config: Config, told: Terminated) -> str:
    """A line on a run that was told to end; it may have finished before that took effect."""
    return how_it_went(config) if finished(config) else f"failed: {told}"


def _make(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)


class WorkLeft(NamedTuple):
    """What is left of an ensemble."""

    groups: int
    """Number of groups of ranks; each does one member at a time."""
    todo: list[Member]
    """Those that were begun before come last."""
    results: dict[str, str]
    """How it went with those that are finished."""


def work_left(
    config: Config,
    options: EnsembleConfig,
    ranks: Ranks,
    resume: bool = False,
    overwrite: bool = False,
) -> WorkLeft:
    """What is left to do: with `overwrite` everything, otherwise what is not finished.

    Raises
    ------
    CocaError
        The ranks cannot be split so, or see `members`; or directories hold what would be replaced:
        other runs, or checkpoints that `resume` goes on with.
    """
    each = options.ranks_per_simulation
    if ranks.size % each:
        raise ConfigError(
            f"ranks: found {ranks.size}, wanted a multiple of ensemble.ranks_per_simulation = "
            f"{each}"
        )
    everyone = members(config, options)
    directory = config.output.needed_directory()
    done, begun = ranks.once(lambda: _found(directory, everyone, resume, overwrite))
    todo = [member for member in everyone if member.name not in done]
    todo.sort(key=lambda member: member.name in begun)
    return WorkLeft(ranks.size // each, todo, done)


def _found(
    directory: Path, everyone: list[Member], resume: bool, overwrite: bool
) -> tuple[dict[str, str], set[str]]:
    """How it went with finished members, and names of those whose directories are there."""
    check_ensemble_directory(directory, {member.name for member in everyone}, overwrite)
    done = {}
    for name, config in everyone:
        if not overwrite and finished(config):
            done[name] = how_it_went(config)
        else:
            check_directory_for(config, resume, overwrite)
    return done, {m.name for m in everyone if m.config.output.needed_directory().is_dir()}


def how_it_went(config: Config) -> str:
    """A line on a finished run, from its record."""
    record = json.loads((config.output.needed_directory() / RUN_RECORD).read_text())
    return "; ".join([record.get("trust", "finished"), *record.get("warnings", ())])


def _conclude(directory: Path, ranks: Ranks, results: dict[str, str]) -> dict[str, str]:
    """Write what became of every member that was run, and return it."""
    merged = {name: text for part in ranks.gather(results) for name, text in part.items()}
    merged = dict(sorted(merged.items()))

    def write() -> None:
        directory.mkdir(parents=True, exist_ok=True)
        write_json(directory / LIST, merged)

    ranks.once(write)
    return merged


def _say(work: WorkLeft, failed: dict[str, str], left: int, progress: Progress) -> None:
    new, before = len(work.todo) - len(failed) - left, len(work.results)
    told = f", {left} left: told to end" if left else ""
    progress.say(
        f"{len(work.todo) + before} members: {new} run, {before} finished before, "
        f"{len(failed)} failed{told}"
    )
    for name, text in failed.items():
        progress.say(f"  {name} {text}")
