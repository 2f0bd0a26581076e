"""What an output directory holds already, and whether a run may write there.

Results are never replaced unasked, and nothing of an older run stays beside a new one. A run is
known by run.json, its record, when it has finished, and by checkpoint.json until then. Only where
one of them is are files taken for coca's: those that the record lists, and those with the names
that coca gives. Such names where neither is are somebody's, and a run goes elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from coca.atomic_files import check_directory, remove_leftovers
from coca.configuration.loading import make_config
from coca.configuration.run import Config
from coca.errors import CocaError, ConfigError, short
from coca.files.tables import RUN_RECORD

INDEX = "checkpoint.json"
"""The configuration of a run that is under way, and which checkpoint to go on from."""
LIST = "ensemble.json"
"""What became of every member of an ensemble."""
STATISTICS = (
    "power|momentum|displacement|(halo_)?multipoles|bispectrum(_equilateral|_squeezed)?|pdf|haloes"
    r"|mass_function|density|redshift_space|with_snapshot_\d{3}"
)
RESULTS = re.compile(
    r"snapshot_\d{3}(\.\d+)?\.hdf5|spectra_\d{3}\.(txt|csv)|report\.(html|png|pdf)"
    rf"|snapshot_\d{{3}}_({STATISTICS})\.(txt|csv|png|pdf|hdf5)"
    r"|report/(density|spectra|residual|time|sky)(_\d{3})?\.(png|pdf)"
)
"""Names that coca gives to results of a run, seen from its directory."""
CHECKPOINT = re.compile(r"checkpoint-[01]\.\d+\.hdf5")
FREE = ("threads", "device", "ensemble", "output.checkpoint_minutes", "output.directory")
"""Keys that change no result."""
MOST_NAMED = 3
"""Most differences that a message has."""


class Earlier(NamedTuple):
    """What a directory holds of a run."""

    directory: Path
    config: dict[str, Any] | None
    """The configuration of the run that is there; None without one, and where its record cannot be
    read."""
    finished: bool
    """Whether the record of a run is there."""
    saved: bool
    """Whether a run is under way and has saved what it did so far."""
    results: tuple[str, ...]
    """Names of files that are results, or are called so."""
    listed: tuple[str, ...]
    """Names of files that its record lists."""

    @property
    def known(self) -> bool:
        """There is a run, and not just files."""
        return self.finished or (self.directory / INDEX).is_file()

    @property
    def empty(self) -> bool:
        """There is nothing that a run could lose."""
        return not (self.finished or self.saved or self.results)


def look_into(directory: Path) -> Earlier:
    """What a directory holds; one that is not there holds nothing."""
    record, index = _read(directory / RUN_RECORD), _read(directory / INDEX)
    known = (record if record is not None else index) or {}
    config, files = known.get("config"), known.get("files")
    listed = [name for name in files if isinstance(name, str)] if isinstance(files, list) else []
    return Earlier(
        directory,
        config if isinstance(config, dict) else None,
        record is not None,
        (index or {}).get("slot") is not None,
        tuple(name for name in _names(directory) if RESULTS.fullmatch(name)),
        tuple(name for name in listed if _is_inside(name) and (directory / name).is_file()),
    )


def _read(path: Path) -> dict[str, Any] | None:
    """A record, empty where it cannot be read; None where it is not there."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(directory: Path) -> list[str]:
    """Files in a directory and in its report/."""
    paths = [*directory.glob("*"), *directory.glob("report/*")]
    return sorted(str(path.relative_to(directory)) for path in paths if path.is_file())


def _is_inside(name: str) -> bool:
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def differences(found: dict[str, Any], config: Config) -> list[str]:
    """Keys that give another result than in a configuration that was recorded, with both values.

    One that cannot be read by this version differs as a whole.
    """
    try:
        there = make_config(found)
    except CocaError:
        return ["its configuration is of another version"]
    old, new = (dict(_flat(c.model_dump(mode="json"))) for c in (there, config))
    keys = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    return [
        f"{key}: {short(old.get(key))} there, {short(new.get(key))} here"
        for key in keys
        if not any(key == free or key.startswith(f"{free}.") for free in FREE)
    ]


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def finished(config: Config) -> bool:
    """Whether the same run is there with its record."""
    there = look_into(config.output.needed_directory())
    return there.finished and there.config is not None and not differences(there.config, config)


def check_directory_for(config: Config, resume: bool = False, overwrite: bool = False) -> bool:
    """Whether the same run has finished, where a run is to go on with what is there.

    Parameters
    ----------
    config : Config
    resume : bool
        Go on with what is there.
    overwrite : bool
        Replace what is there.

    Raises
    ------
    ConfigError
        The directory holds what this run would replace or mix with.
    """
    directory = config.output.needed_directory()
    check_directory("output.directory", directory)
    there = look_into(directory)
    _check_strangers(there)
    if overwrite:
        _check_inputs(config, there)
        return False
    if (there.directory / LIST).is_file():
        raise _refused(there, "the members of an ensemble", "--overwrite to replace them")
    if there.empty and not (resume and there.known):
        return False
    if there.config is None:
        raise _refused(there, "a run whose record is damaged", "--overwrite to replace it")
    changed = differences(there.config, config)
    if changed:
        named = "; ".join(changed[:MOST_NAMED]) + ("; ..." if len(changed) > MOST_NAMED else "")
        wanted = "the same with --resume" if resume else "--overwrite to replace it"
        raise _refused(there, f"a run of another configuration ({named})", wanted)
    if there.finished and not resume:
        raise _refused(there, "this same run, finished", "--overwrite to do it again")
    if not resume:
        raise _refused(there, "this same run, unfinished", "--resume, or --overwrite to begin anew")
    return there.finished


def check_ensemble_directory(directory: Path, names: set[str], overwrite: bool = False) -> None:
    """Check a directory for members of an ensemble.

    Raises
    ------
    ConfigError
        It holds a single run, or an ensemble with other members than `names`.
    """
    check_directory("output.directory", directory)
    there = look_into(directory)
    _check_strangers(there)
    if overwrite:
        return
    if not there.empty:
        raise _refused(there, "a single run", "--overwrite to replace it")
    others = sorted(set(_read(directory / LIST) or {}) - names)
    if others:
        what = f"an ensemble with member {others[0]}, which this one has not,"
        raise _refused(there, what, "--overwrite to replace it")


def _refused(there: Earlier, what: str, wanted: str) -> ConfigError:
    return ConfigError(
        f"output.directory: found {what} in {there.directory}, wanted {wanted}, or another "
        "directory"
    )


def _check_strangers(there: Earlier) -> None:
    """Raise ConfigError if files are called as a run's where no run is."""
    if there.results and not there.known:
        raise ConfigError(
            f"output.directory: found {there.results[0]} in {there.directory} and no {RUN_RECORD} "
            "which says that coca wrote it, wanted another directory"
        )


def _check_inputs(config: Config, there: Earlier) -> None:
    """Raise ConfigError if a file that a run reads would be removed for it."""
    ours = {path.resolve() for path in own_files(there)}
    inputs = {
        "initial_conditions": config.initial_conditions.given,
        "linear_power.file": config.linear_power.file,
        "emulator.weights": config.emulator.weights,
        "table": config.table,
    }
    for key, path in inputs.items():
        if path is not None and path.resolve() in ours:
            raise ConfigError(
                f"{key}: found {path}, which --overwrite would remove, wanted another "
                "output.directory"
            )


def own_files(there: Earlier) -> list[Path]:
    """What coca wrote of a run, its record last; nothing where no run is."""
    if not there.known:
        return []
    kept = [name for name in _names(there.directory) if CHECKPOINT.fullmatch(name)]
    names = dict.fromkeys([*there.results, *there.listed, *kept, RUN_RECORD, INDEX])
    return [there.directory / name for name in names if (there.directory / name).is_file()]


def remove_earlier(directory: Path) -> None:
    """Remove what coca wrote of a run, or of an ensemble's, and no file else."""
    members = _read(directory / LIST)
    for name in members or {}:
        if _is_inside(name):
            _remove(directory / name)
            _remove_empty(directory / name)
    _remove(directory)
    (directory / LIST).unlink(missing_ok=True)


def _remove(directory: Path) -> None:
    there = look_into(directory)
    if there.known:
        for path in own_files(there):
            path.unlink()
        remove_leftovers(directory)
        _remove_empty(directory / "report")


def _remove_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
