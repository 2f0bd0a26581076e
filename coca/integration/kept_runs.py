"""Converged runs kept on disk, so that each is made once.

A run's file is named after a digest of all that defines it, so that fits and benchmarks of the same
configuration share it, and none takes another's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from coca.atomic_files import whole_file
from coca.errors import FileError, reason
from coca.particles import Snapshot

EDITION = 1
"""Raised where the same configuration comes to give other particles."""


class KeptRuns:
    """A directory of runs, one file each.

    Parameters
    ----------
    directory : Path
        Made when the first run is kept.
    """

    def __init__(self, directory: Path):
        self.directory = directory

    def path(self, identity: dict, outputs: Sequence[float]) -> Path:
        """The file of a run that `identity`, of JSON's types, defines, at growth factors."""
        text = json.dumps([EDITION, identity, [float(D) for D in outputs]], sort_keys=True)
        return self.directory / f"run-{hashlib.sha256(text.encode()).hexdigest()[:16]}.npy"

    def get(
        self,
        identity: dict,
        outputs: Sequence[float],
        particles: int,
        make: Callable[[], Iterable[Snapshot]],
    ) -> list[Snapshot]:
        """The snapshots of a run, mapped from disk; what is written to them stays in memory.

        Parameters
        ----------
        identity : dict
            All that defines the run but its outputs, of JSON's types.
        outputs : sequence of float
            Growth factors.
        particles : int
        make : callable
            Gives the run's snapshots at the outputs; called where there is no file.

        Raises
        ------
        FileError
            The file cannot be read, or holds another number of particles.
        """
        path, shape = self.path(identity, outputs), (len(outputs), 2, 3, particles)
        if not path.exists():
            self._keep(path, shape, make())
        try:
            arrays = np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
        except (OSError, EOFError, ValueError) as error:
            raise FileError(
                f"{path}: cannot read: {reason(error)}; remove it to make it anew"
            ) from None
        if arrays.shape != shape:
            raise FileError(f"{path}: found shape {arrays.shape}, wanted {shape}; remove it")
        return [
            Snapshot(float(D), disp, vel) for D, (disp, vel) in zip(outputs, arrays, strict=True)
        ]

    def _keep(self, path: Path, shape: tuple[int, int, int, int], run: Iterable[Snapshot]) -> None:
        """Write a run's snapshots as they come."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            arrays = open_memmap(temporary, "w+", np.float32, shape)
            for snapshot, (disp, vel) in zip(run, arrays, strict=True):
                disp[...], vel[...] = snapshot.disp, snapshot.vel
            arrays.flush()
