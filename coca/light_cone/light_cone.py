"""Particles where they cross the light cone of an observer, painted while a run goes on.

A particle is followed along its own trajectory: between two times that the cone asks for, on the
cubic through its positions and velocities, which within a step is the trajectory itself. It crosses
where its distance from the observer is that from which light arrives today, chi(D) = |x(D) - x_o|.
The cone is passed in pieces, of a shell or of 100 Mpc/h. The universe beyond the box is its
periodic copies. A particle whose distance is just chi at the end of one piece crosses in that one
and in no other: nothing is counted twice or left out where pieces, shells and copies meet.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from coca import kernels
from coca.cosmology.background import NEARBY
from coca.cosmology.distance import comoving_distance, distance_slope
from coca.errors import FileError
from coca.light_cone.cone_particles import Crossings, particle_files, write_particles
from coca.light_cone.filling import Filling
from coca.light_cone.geometry import REDSHIFT_REACH, Cone
from coca.light_cone.replicas import (
    PERIODIC,
    Replica,
    View,
    replicas_between,
    view_of,
    view_of_replica,
)
from coca.light_cone.shells import Shell, shell_path, write_fits, write_shell
from coca.parallel.domain import Domain
from coca.particles import Snapshot

CANDIDATES = 4_000_000
"""About as many particles are tried at once at most."""


Cubics = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Displacements and dx/dD, arrays (3, N), at both ends of cubics."""


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
    fits : bool
        Write shells as FITS too, which healpy does.
    particles : bool
        Write particles too.
    """

    def __init__(
        self,
        cone: Cone,
        domain: Domain,
        directory: Path,
        momentum: bool = False,
        fits: bool = False,
        particles: bool = False,
    ):
        self.cone, self.domain, self.directory, self.fits = cone, domain, directory, fits
        self.times = cone.times()
        """Ends of the pieces, growth factors; particles are asked for at them."""
        self._pieces, self._filling = cone.times(), cone.filling()
        self._momentum, self._particles = momentum, particles
        self.velocities_apart = False
        """Whether velocities are read out beside the particles' ways, and are not their slopes:
        then they change evenly between two times."""
        self._before: Snapshot | None = None
        self._shells: dict[int, Filling] = {}

    def ask_at(self, boundaries: Sequence[float]) -> None:
        """Ask for particles at the boundaries of steps alone, growth factors, where trajectories
        within steps are cubics or nearly so. Not where velocities are wanted too: what is seen in
        haloes of those is not the cubic's derivative."""
        first = max(D for D in boundaries if self.times[0] + NEARBY >= D)
        last = min(D for D in boundaries if self.times[-1] - NEARBY <= D)
        self.times = [D for D in boundaries if first <= D <= last]

    @property
    def has_velocities(self) -> bool:
        """Whether velocities are wanted, not only where particles are."""
        return self._momentum or self._particles or self.cone.redshift_space

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
        D, disp, vel, _ = self._before
        arrays = {"D": np.array([D]), "disp": disp, "vel": vel}
        for number, shell in self._shells.items():
            arrays |= {f"{number}/{name}": array for name, array in shell.arrays.items()}
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
        own = [name for name in memory if name.startswith("light_cone/")]
        arrays = {name.removeprefix("light_cone/"): memory.pop(name) for name in own}
        D, disp, vel = (arrays.pop(name) for name in ("D", "disp", "vel"))
        self._before = Snapshot(float(D[0]), disp, vel)
        for number in {name.split("/")[0] for name in arrays}:
            own = [name for name in arrays if name.startswith(f"{number}/")]
            filling = Filling.of({name.split("/")[1]: arrays[name] for name in own})
            self._shells[int(number)] = filling
        self.domain.once(self.check_files)

    def check_files(self) -> None:
        """Raise FileError if a shell that is complete is not there."""
        seen = 1.0 if self._before is None else self._before.D
        complete = [i for D in self._pieces[1:] if seen + NEARBY >= D for i in self._complete(D)]
        for path in (path for number in complete for path in self._files(number)):
            if not path.exists():
                raise FileError(
                    f"light_cone: {path} is missing, which was written before the run was "
                    "killed; wanted it, or no --resume"
                )

    def _complete(self, D: float) -> list[int]:
        """Shells that are complete at D and were not before, from the farthest on."""
        at = self._number(D)
        if abs(self._pieces[at + 1] - D) > NEARBY:
            return []
        later = {i for numbers in self._filling[at + 1 :] for i in numbers}
        return sorted(set(self._filling[at]) - later, reverse=True)

    def _number(self, D: float) -> int:
        """Number of the piece that has D in it or at its end, from the farthest."""
        return bisect_left(self._pieces, D - NEARBY) - 1

    def _files(self, number: int) -> list[Path]:
        """All files of a shell but FITS."""
        ranks = self.domain.ranks.size
        files = [shell_path(self.directory, number)]
        if self._particles:
            files += particle_files(self.directory, number, ranks)
        return files

    def see(self, snapshot: Snapshot) -> None:
        """Take the particles at the next time, or pass over one that is none of the cone's."""
        if not self.pending or abs(snapshot.D - self.pending[0]) > NEARBY:
            return
        before, self._before = self._before, snapshot._replace(slopes=None)
        if before is None:
            return
        H, slopes = snapshot.D - before.D, snapshot.slopes or (before.vel, snapshot.vel)
        cubics = (before.disp, slopes[0]), (snapshot.disp, slopes[1])
        reach = kernels.light_cone.row_reach(*cubics, H, self.domain.lattice)
        within = [D for D in self._pieces if before.D + NEARBY < D < snapshot.D - NEARBY]
        ends = [before.D, *within, snapshot.D]
        first, last = self._pieces[0] - NEARBY, self._pieces[-1] + NEARBY
        for piece in itertools.pairwise(D for D in ends if first <= D <= last):
            self._paint(before.D, H, cubics, piece, reach)
            for number in self._complete(piece[1]):
                self._finish(number)

    def _paint(
        self, start: float, H: float, cubics: Cubics, piece: tuple[float, float], reach: np.ndarray
    ) -> None:
        """Add those that cross in a piece of the time H from `start` to the maps."""
        path, parts = self._path(piece), tuple((D - start) / H for D in piece)
        domain, numbers = self.domain, self._filling[self._number(piece[1])]
        box = (domain.first_plane, domain.n_side, domain.cell)
        for replica, observer, view in self._replicas(
            path[0], path[2], float(reach.max(initial=0.0))
        ):
            counts = kernels.light_cone.candidates(
                reach, box, observer, path[0], path[2], view.window
            )
            for rows in batches(counts, CANDIDATES):
                pixel, particle, motion, at = find_crossings(
                    *cubics, reach, counts, box, rows, observer, H, parts, path, view,
                    self.cone.n_side, self._units(start, H), self.has_velocities, self._particles,
                    self.velocities_apart,
                )  # fmt: skip
                for number, inside in self._parted(numbers, pixel, motion[:, 1]):
                    seen = np.flatnonzero(inside >= 0) if self._particles else np.zeros(0, int)
                    D = start + H * motion[seen, 2].astype(np.float64)
                    new = self._crossings(particle[seen], at[seen], D, replica)
                    self._shell(number).add(inside, motion[:, 0], new, domain.threads)

    def _replicas(
        self, far: float, near: float, reach: float
    ) -> Iterator[tuple[Replica, np.ndarray, View]]:
        """Copies of the box between two radii of the cone, with the observer in their coordinates
        and what is seen of them; or the box, for all its periodic copies."""
        cone, box_size = self.cone, self.domain.box_size
        if cone.replica_seed is None:
            yield PERIODIC, cone.observer, view_of(cone.footprint, far)
            return
        ends = near - reach, far + reach
        for replica in replicas_between(cone.replica_seed, cone.observer, box_size, *ends):
            observer = replica.observer(cone.observer, box_size)
            yield (
                replica, observer,
                view_of_replica(cone.footprint, replica, observer, box_size, far),
            )  # fmt: skip

    def _units(self, start: float, H: float) -> tuple[float, ...]:
        """What a radial dx/dD of 1 is at both ends of an interval: in km/s; and what it adds to
        distances in redshift space, v / (aH) in Mpc/h, with the most that it may add."""
        cosmology, ends = self.cone.cosmology, (start, start + H)
        units = [float(cosmology.velocity_unit(D)) for D in ends]
        shifts = [D * float(cosmology.f1(cosmology.a_of_D(D))) for D in ends]
        return (*units, *shifts, REDSHIFT_REACH)

    def _parted(
        self, numbers: list[int], pixel: np.ndarray, seen_at: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Shells with the pixels of particles that are in them, -1 of those that are not, by their
        distances in redshift space."""
        if not self.cone.redshift_space:
            yield numbers[0], pixel
            return
        edges = self.cone.chi.astype(np.float32)
        for number in numbers:
            inside = (seen_at >= edges[number]) & (seen_at < edges[number + 1])
            yield number, np.where(inside, pixel, np.int32(-1))

    def _shell(self, number: int) -> Filling:
        """A shell that is being filled."""
        if number not in self._shells:
            empty = Filling.none(self.cone.pixels, self._momentum, self._particles)
            self._shells[number] = empty
        return self._shells[number]

    def _crossings(
        self, particle: np.ndarray, at: np.ndarray, D: np.ndarray, replica: Replica
    ) -> Crossings:
        """Particles of a copy by their numbers on this rank, where they cross and at which D."""
        cosmology, values = self.cone.cosmology, np.empty((len(D), 7), np.float32)
        values[:, :3] = replica.to_sky(at[:, :3])
        values[:, 3:6] = replica.to_sky(at[:, 3:6]) * cosmology.velocity_unit(D)[:, None]
        values[:, 6] = cosmology.a_of_D(D)
        return Crossings((self.domain.first_particle + particle).astype(np.uint64), values)

    def _path(self, piece: tuple[float, float]) -> tuple[float, ...]:
        """Radius of the cone and its derivative in the part of a piece, at both ends."""
        cosmology, path = self.cone.cosmology, []
        for D in piece:
            path += [float(comoving_distance(cosmology, cosmology.a_of_D(D)))]
            path += [float(distance_slope(cosmology, D)) * (piece[1] - piece[0])]
        return tuple(path)

    def _finish(self, number: int) -> None:
        """Write a shell that is complete."""
        filled = self._shell(number)
        counts = self.domain.sum(filled.counts)
        momentum = None
        if self._momentum:
            momentum = self.domain.sum(filled.momentum).astype(np.float32)
        shell = self.shell(number, counts, momentum)
        if self.fits:
            self.domain.once(lambda: write_fits(self.directory, shell))
        if filled.crossings is not None:
            self._write_particles(shell, filled.crossings)
        self.domain.once(lambda: write_shell(self.directory, shell))
        del self._shells[number]

    def _write_particles(self, shell: Shell, crossings: Crossings) -> None:
        """Every rank those that it has."""
        ranks = self.domain.ranks
        paths = particle_files(self.directory, shell.number, ranks.size)
        total = int(self.domain.sum(len(crossings.ids)))
        with self.domain.together():
            write_particles(paths[ranks.rank], shell, crossings, ranks.size, total)

    def shell(self, number: int, counts: np.ndarray, momentum: np.ndarray | None) -> Shell:
        """A shell with its maps."""
        z, chi = self.cone.z, self.cone.chi
        return Shell(
            number, self.cone.shells, (float(z[number]), float(z[number + 1])),
            (float(chi[number]), float(chi[number + 1])), self.cone.cosmology,
            self.domain.box_size, self.domain.particles, self.cone.footprint, counts, momentum,
            self.cone.redshift_space, self.cone.replica_seed,
        )  # fmt: skip


def batches(counts: np.ndarray, most: int) -> list[tuple[int, int]]:
    """Ranges of rows that together have at most so many candidates, or are single, of all rows that
    have any."""
    found, begin, total = [], 0, 0
    ends = np.cumsum(counts)
    while begin < len(counts) and ends[-1] > total:
        end = max(int(np.searchsorted(ends, total + most, "right")), begin + 1)
        found.append((begin, end))
        begin, total = end, int(ends[end - 1])
    return found


def find_crossings(
    before: tuple[np.ndarray, ...],
    after: tuple[np.ndarray, ...],
    reach: np.ndarray,
    counts: np.ndarray,
    box: tuple[int, int, float],
    rows: tuple[int, int],
    observer: np.ndarray,
    H: float,
    parts: tuple[float, ...],
    path: tuple[float, ...],
    view: View,
    n_side: int,
    units: tuple[float, ...],
    motion: bool,
    places: bool,
    evenly: bool = False,
) -> tuple[np.ndarray, ...]:
    """Pixels of particles that may cross, -1 of those that do not, and where asked for numbers and
    motion of all, and with these their places; see `coca.kernels.light_cone`, its `candidates` and
    `crossings`."""
    ends = np.concatenate([[0], np.cumsum(counts[slice(*rows)])])
    found = int(ends[-1])
    moving, placed = found if motion else 0, found if places else 0
    out = (
        np.empty(found, np.int32), np.empty(moving, np.int64), np.zeros((moving, 3), np.float32),
        np.zeros((placed, 6), np.float32),
    )  # fmt: skip
    kernels.light_cone.crossings(
        rows, ends, reach, before, after, box, observer, H, parts, path,
        (view.window, view.turn, view.cube), n_side, units, evenly, out,
    )  # fmt: skip
    return out
