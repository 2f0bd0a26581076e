"""Checkpoints: what a run has done so far, kept in its output directory until it has finished.

A run evolves particles once or more: with each method until one is not rejected, with more steps
where the tolerance asks for them, and for the reference. Its course follows from what the forces
showed. So a checkpoint holds what each finished evolution showed, and of the one that is under way
the state after its last step; modes, displacements and network are computed again, to the same
bits.

Every rank writes a file, into one of two slots in turn, and the first rank then an index with the
files' checksums: a set of files counts when the index says so, and the one before stays until then.
The index is there from the start, and says which run's directory it is.
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import h5py
import numpy as np

from coca import __version__
from coca.atomic_files import remove_leftovers, whole_file, whole_hdf5
from coca.configuration.run import Config
from coca.errors import FileError, Terminated, reason, unwritable
from coca.files.snapshot_header import DAMAGE
from coca.integration.kicks import Evaluation
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State
from coca.run.earlier import INDEX, look_into

STOP = 10**6
"""More than ranks that wish for a checkpoint: one that is told to stop."""


@dataclass
class Evolution:
    """How far particles have been evolved with some frame, steps and kicks."""

    done: int = 0
    """Steps taken."""
    evaluations: list[Evaluation] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    state: State | None = None
    """After the last step before the run was killed; None for one that begins."""
    memory: dict[str, np.ndarray] = field(default_factory=dict)
    """What the kick remembers, see `coca.integration.kicks.Kick`."""
    finished: bool = False
    failure: str | None = None
    """Why it was given up."""


ENDING = signal.SIGTERM, signal.SIGINT
"""Signals that tell a run to end."""


class Checkpoints(ABC):
    """What a run tells of its evolutions, and learns of those before it was killed."""

    @abstractmethod
    def open(self, domain: Domain) -> str | None:
        """Read what is there, if the run is to go on with it; a line on what was found.

        Raises
        ------
        FileError
            The checkpoint is damaged, or of another configuration or number of ranks.
        """

    @abstractmethod
    def begin(self) -> Evolution:
        """The next evolution of the run, as far as it has come; for a new one, its beginning."""

    @abstractmethod
    def step(self, state: State, kept: Sequence[Snapshot]) -> None:
        """Save the evolution, which is up to date after a step, if it is time to.

        Parameters
        ----------
        state : State
        kept : sequence of Snapshot
            Results of the evolution before this one that the run still needs.

        Raises
        ------
        Terminated
            The run was told to end; it is saved.
        """

    @abstractmethod
    def watching(self) -> AbstractContextManager[None]:
        """Inside the block SIGTERM and Ctrl-C let the run go on to the end of its step."""


class NoCheckpoints(Checkpoints):
    """A run that keeps no checkpoints."""

    def open(self, domain: Domain) -> None:
        """There is nothing to go on with."""

    def begin(self) -> Evolution:
        """An evolution at its beginning."""
        return Evolution()

    def step(self, state: State, kept: Sequence[Snapshot]) -> None:
        """Nothing is saved."""

    def watching(self) -> AbstractContextManager[None]:
        """Signals end the run at once."""
        return nullcontext()


class CheckpointFiles(Checkpoints):
    """The checkpoints of a run with an output directory.

    Parameters
    ----------
    config : Config
        Says where they are kept and how often they are written.
    resume : bool
        Go on with what is there.
    """

    def __init__(self, config: Config, resume: bool = False):
        self._directory = config.output.needed_directory()
        self._seconds = 60.0 * config.output.checkpoint_minutes
        self._config, self._resume = config, resume
        self._past: list[Evolution] = []
        self._evolutions: list[Evolution] = []
        self._last, self._slot = time.monotonic(), 0
        self._signal = 0  # that told the run to end

    def open(self, domain: Domain) -> str | None:
        """Read what is there, if the run is to go on with it; a line on what was found."""
        self._domain = domain
        index = domain.once(self._read_index) if self._resume else None
        if index is None:
            self._begin_index()
            nothing = "no checkpoint to resume from: the run starts at its beginning"
            return nothing if self._resume else None
        with domain.together():
            self._past = _read(self._file(index["slot"]), index["digests"][domain.ranks.rank])
        self._slot = 1 - index["slot"]
        running = self._past[-1]
        return f"resumed after {running.done} steps of evolution {len(self._past)}"

    def begin(self) -> Evolution:
        """The next evolution of the run, as far as it has come."""
        number = len(self._evolutions)
        evolution = self._past[number] if number < len(self._past) else Evolution()
        self._evolutions.append(evolution)
        return evolution

    def step(self, state: State, kept: Sequence[Snapshot]) -> None:
        """Save the evolution if it is time to, or if the run was told to end."""
        due = self._domain.first and time.monotonic() - self._last >= self._seconds
        wish = self._domain.sum(STOP * (self._signal > 0) + due)
        if wish:
            self._write(state, kept)
        if wish >= STOP:
            how = "interrupted" if self._signal == signal.SIGINT else "terminated"
            raise Terminated(
                f"{how}; saved in {self._directory}: the same command goes on with --resume",
                self._status(),
            )

    def end_if_told(self) -> None:
        """Raise Terminated if the run, whose results are written, was told to end after its last
        checkpoint: what would come next is not to begin."""
        if self._domain.sum(int(self._signal > 0)):
            raise Terminated("told to end, after the run had finished", self._status())

    def _status(self) -> int:
        """Exit status of a process that was told to end, on this rank or another."""
        return 128 + (self._signal or signal.SIGTERM)

    def give_up(self) -> None:
        """Remove the index where nothing has been saved or written, without communication."""
        there = look_into(self._directory)
        if not there.saved and not there.results:
            (self._directory / INDEX).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove all files, of a run that has finished, and what killed ones left."""

        def unlink() -> None:
            remove_leftovers(self._directory)
            (self._directory / INDEX).unlink(missing_ok=True)
            for path in self._directory.glob("checkpoint-[01].*.hdf5"):
                path.unlink()

        self._domain.once(unlink)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Inside the block SIGTERM and Ctrl-C let the run go on to the end of its step; again,
        they end it at once."""

        def note(number: int, stack: FrameType | None) -> None:
            self._signal = number
            signal.signal(number, before[number])

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {int(number): signal.getsignal(number) for number in ENDING}
        try:
            for number in ENDING:
                signal.signal(number, note)
            yield
        finally:
            for ending, handler in before.items():
                signal.signal(ending, handler)

    def _file(self, slot: int) -> Path:
        return self._directory / f"checkpoint-{slot}.{self._domain.ranks.rank}.hdf5"

    def _read_index(self) -> dict | None:
        path = self._directory / INDEX
        try:
            index = json.loads(path.read_text())
            found, ranks = index["fingerprint"], len(index["digests"])
            if index["slot"] is None:
                return None
            slot = int(index["slot"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FileError(f"checkpoint: cannot use {path}: {reason(error)}") from None
        if found != fingerprint(self._config):
            raise FileError(
                f"checkpoint: {path} is of another configuration or version; wanted the same, or "
                "--overwrite, to start anew"
            )
        if ranks != self._domain.ranks.size:
            raise FileError(
                f"checkpoint: {path} is of {ranks} ranks, found {self._domain.ranks.size}"
            )
        return {"slot": slot, "digests": index["digests"]}

    def _begin_index(self) -> None:
        """Say whose directory it is, before there is a checkpoint.

        Raises
        ------
        FileError
            The directory cannot be written.
        """

        def begin() -> None:
            try:
                self._directory.mkdir(parents=True, exist_ok=True)
                self._write_index(None, [])
            except OSError as error:
                raise unwritable(self._directory, error) from None

        self._domain.once(begin)

    def _write_index(self, slot: int | None, digests: Sequence[str]) -> None:
        index = {
            "fingerprint": fingerprint(self._config),
            "slot": slot,
            "digests": digests,
            "config": self._config.model_dump(mode="json"),
        }
        with whole_file(self._directory / INDEX) as temporary:
            temporary.write_text(json.dumps(index))

    def _write(self, state: State, kept: Sequence[Snapshot]) -> None:
        """Write all files, the index last; then remove those of the other slot."""
        domain, slot = self._domain, self._slot
        with domain.together():
            digest = _write(self._file(slot), self._evolutions, state, kept)
        digests = domain.ranks.gather(digest)

        def write_index() -> None:
            self._write_index(slot, digests)
            for path in self._directory.glob(f"checkpoint-{1 - slot}.*.hdf5"):
                path.unlink()

        domain.once(write_index)
        self._slot, self._last = 1 - slot, time.monotonic()


def fingerprint(config: Config) -> str:
    """Checksum of everything that changes results: the configuration, and the code's version."""
    values = config.model_dump(mode="json", exclude={"threads", "device", "ensemble"})
    del values["output"]["checkpoint_minutes"], values["output"]["directory"]
    return hashlib.blake2b(json.dumps([__version__, values]).encode()).hexdigest()[:32]


def _write(path: Path, evolutions: list[Evolution], state: State, kept: Sequence[Snapshot]) -> str:
    """Write a rank's file; its checksum."""
    running = evolutions[-1]
    arrays = {f"memory/{name}": array for name, array in running.memory.items()}
    arrays |= {"state/e": state.e, "state/w": state.w}
    for group, snapshots in (("snapshots", running.snapshots), ("kept", kept)):
        for i, snapshot in enumerate(snapshots):
            arrays[f"{group}/{i}/disp"], arrays[f"{group}/{i}/vel"] = snapshot.disp, snapshot.vel
    record = {
        "evolutions": [
            {
                "done": evolution.done,
                "evaluations": [list(evaluation) for evaluation in evolution.evaluations],
                "finished": evolution.finished,
                "failure": evolution.failure,
            }
            for evolution in evolutions
        ],
        "D": state.D_e,
        "snapshots": [snapshot.D for snapshot in running.snapshots],
        "kept": [snapshot.D for snapshot in kept],
    }
    text = json.dumps(record)
    with whole_hdf5(path) as file:
        file["record"] = text
        for name, array in arrays.items():
            file[name] = array
    return _digest(text, arrays)


def _read(path: Path, digest: str) -> list[Evolution]:
    """The evolutions in a rank's file, the last one under way."""
    text, arrays = _contents(path)
    if _digest(text, arrays) != digest:
        raise FileError(f"checkpoint: {path} is damaged; wanted --overwrite, to start anew")
    record = json.loads(text)
    evolutions = [
        Evolution(
            row["done"],
            [Evaluation(*values) for values in row["evaluations"]],
            finished=row["finished"],
            failure=row["failure"],
        )
        for row in record["evolutions"]
    ]
    running = evolutions[-1]
    running.snapshots = _snapshots("snapshots", record, arrays)
    running.state = State(arrays["state/e"], arrays["state/w"], record["D"], record["D"])
    running.memory = {
        name.removeprefix("memory/"): array
        for name, array in arrays.items()
        if name.startswith("memory/")
    }
    if record["kept"]:
        evolutions[-2].snapshots = _snapshots("kept", record, arrays)
    return evolutions


def _contents(path: Path) -> tuple[str, dict[str, np.ndarray]]:
    """The record of a rank's file and its arrays, by their names in the file."""
    arrays = {}

    def take(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset) and name != "record":
            arrays[name] = item[:]

    try:
        with h5py.File(path) as file:
            file.visititems(take)
            return file["record"].asstr()[()], arrays
    except DAMAGE as error:
        raise FileError(f"checkpoint: cannot use {path}: {reason(error)}") from None


def _snapshots(group: str, record: dict, arrays: dict[str, np.ndarray]) -> list[Snapshot]:
    """Snapshots of a group of a rank's file."""
    return [
        Snapshot(D, arrays[f"{group}/{i}/disp"], arrays[f"{group}/{i}/vel"])
        for i, D in enumerate(record[group])
    ]


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(text.encode())
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.hexdigest()
