"""Particles where they cross the light cone of an observer, painted while a run goes on.

A particle is followed along its own trajectory: between two times that the cone asks for, on the
cubic through its positions and velocities. It crosses where its distance from the observer is that
from which light arrives today, chi(D) = |x(D) - x_o|. The universe beyond the box is its periodic
copies. A particle whose distance is just chi at the end of one interval crosses in that one and in
no other: nothing is counted twice or left out where intervals, shells and copies meet.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coca import kernels
from coca.cosmology.distance import comoving_distance, distance_slope
from coca.errors import FileError
from coca.light_cone.geometry import NEARBY, Cone
from coca.light_cone.shells import Shell, shell_path, write_shell
from coca.parallel.domain import Domain
from coca.particles import Snapshot

CANDIDATES = 4_000_000
"""About as many particles are tried at once at most."""


class LightCone:
    """Takes particles at the times of a cone, and writes its shells as they are complete.

    Parameters
    ----------
    cone : Cone
    domain : Domain
    directory : Path
        The run's.
    momentum : bool
        Sum radial velocities too.
    """

    def __init__(self, cone: Cone, domain: Domain, directory: Path, momentum: bool = False):
        self.cone, self.domain, self.directory = cone, domain, directory
        self.times = cone.times()
        self._edges = cone.edges()
        self._before: Snapshot | None = None
        self._reach = np.zeros(0)
        self.counts = np.zeros(cone.pixels, np.int32)
        self.momentum = np.zeros(cone.pixels if momentum else 0)

    @property
    def pending(self) -> list[float]:
        """Times that have not been seen."""
        seen = -1.0 if self._before is None else self._before.D
        return [D for D in self.times if seen + NEARBY < D]

    @property
    def memory(self) -> dict[str, np.ndarray]:
        """What a checkpoint has to keep, to be given to `restore`."""
        if self._before is None:
            return {}
        D, disp, vel = self._before
        arrays = {"D": np.array([D]), "disp": disp, "vel": vel}
        arrays |= {"counts": self.counts, "momentum": self.momentum}
        return {f"light_cone/{name}": array for name, array in arrays.items()}

    def restore(self, memory: dict[str, np.ndarray]) -> None:
        """Go on from a checkpoint, whose arrays of a cone are taken from `memory`.

        Raises
        ------
        FileError
            A shell that was complete then has gone.
        """
        if "light_cone/D" not in memory:
            return
        names = ("D", "disp", "vel", "counts", "momentum")
        D, disp, vel, counts, momentum = (memory.pop(f"light_cone/{name}") for name in names)
        self._before = Snapshot(float(D[0]), disp, vel)
        self._reach = self._row_reach(self._before)
        self.counts, self.momentum = counts, momentum
        self.domain.once(self.check_files)

    def check_files(self) -> None:
        """Raise FileError if a shell that is complete is not there."""
        seen = 1.0 if self._before is None else self._before.D
        for i, D in enumerate(self._edges[1:]):
            path = shell_path(self.directory, self.cone.shells - 1 - i)
            if seen + NEARBY >= D and not path.exists():
                raise FileError(
                    f"light_cone: {path} is missing, which was written before the run was killed; "
                    "wanted it, or no --resume"
                )

    def see(self, snapshot: Snapshot) -> None:
        """Take the particles at the next time, or pass over one that is none of the cone's."""
        if not self.pending or abs(snapshot.D - self.pending[0]) > NEARBY:
            return
        before, self._before = self._before, snapshot
        reach, self._reach = self._reach, self._row_reach(snapshot)
        if before is None:
            return
        self._paint(before, snapshot, np.maximum(reach, self._reach))
        edges = [i for i, D in enumerate(self._edges) if abs(D - snapshot.D) <= NEARBY]
        if edges:
            self._finish(self.cone.shells - edges[0])

    def _row_reach(self, snapshot: Snapshot) -> np.ndarray:
        return kernels.light_cone.row_reach(snapshot.disp, self.domain.lattice)

    def _paint(self, before: Snapshot, after: Snapshot, reach: np.ndarray) -> None:
        """Add those that cross between two times to the maps."""
        path, unit = [], []
        for D in (before.D, after.D):
            chi = float(comoving_distance(self.cone.cosmology, self.cone.cosmology.a_of_D(D)))
            path += [max(chi, 0.0) if D < 1.0 - NEARBY else 0.0]
            path += [float(distance_slope(self.cone.cosmology, D))]
            unit.append(float(self.cone.cosmology.velocity_unit(D)))
        domain, H = self.domain, after.D - before.D
        box = (domain.first_plane, domain.n_side, domain.cell)
        for planes in self._planes(path[0] + float(np.max(reach))):
            pixel, at, _ = find_crossings(
                tuple(before[1:]), tuple(after[1:]), reach, box, planes, self.cone.observer, H,
                tuple(path), self.cone.octant, self.cone.n_side,
            )  # fmt: skip
            speed = at[:, 6] * (unit[0] + (unit[1] - unit[0]) * at[:, 7].astype(np.float64))
            kernels.light_cone.paint(pixel, speed, domain.threads, self.counts, self.momentum)

    def _planes(self, widest: float) -> list[np.ndarray]:
        """Copies of this rank's lattice planes within a distance of the observer, in batches."""
        domain = self.domain
        cell, x = domain.cell, float(self.cone.observer[0])
        planes = np.arange(np.ceil((x - widest) / cell), np.floor((x + widest) / cell) + 1)
        own = planes.astype(np.int64) % domain.n_side - domain.first_plane
        planes = planes[(own >= 0) & (own < domain.lattice[0])].astype(np.int64)
        sites = np.pi * (widest / cell) ** 2
        batches = int(np.ceil(len(planes) * sites / max(CANDIDATES, sites)))
        return np.array_split(planes, batches) if batches else []

    def _finish(self, number: int) -> None:
        """Write the shell that is complete, and begin the next."""
        counts = self.domain.sum(self.counts)
        momentum = self.domain.sum(self.momentum) if self.momentum.size else None
        shell = self.shell(number, counts, momentum)
        self.domain.once(lambda: write_shell(self.directory, shell))
        self.counts, self.momentum = np.zeros_like(self.counts), np.zeros_like(self.momentum)

    def shell(self, number: int, counts: np.ndarray, momentum: np.ndarray | None) -> Shell:
        """A shell with its maps."""
        z, chi = self.cone.z, self.cone.chi
        return Shell(
            number, self.cone.shells, (float(z[number]), float(z[number + 1])),
            (float(chi[number]), float(chi[number + 1])), self.cone.cosmology,
            self.domain.box_size, self.domain.particles, self.cone.octant, counts, momentum,
        )  # fmt: skip


def find_crossings(
    before: tuple[np.ndarray, ...],
    after: tuple[np.ndarray, ...],
    reach: np.ndarray,
    box: tuple[int, int, float],
    planes: np.ndarray,
    observer: np.ndarray,
    H: float,
    path: tuple[float, ...],
    octant: bool,
    n_side: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels, places and numbers of particles that cross; see `coca.kernels.light_cone`, its
    `candidates` and `crossings`."""
    planes = np.ascontiguousarray(planes)
    rows, ends = kernels.light_cone.candidates(reach, box, planes, observer, path[0], path[2])
    found = int(ends[-1])
    pixel, particle = np.full(found, -1), np.empty(found, np.int64)
    at = np.empty((found, 8), np.float32)
    out = (pixel, at, particle)
    kernels.light_cone.crossings(
        rows, ends, before, after, box, observer, H, path, octant, n_side, out
    )
    kept = pixel >= 0
    return pixel[kept], at[kept], particle[kept]
