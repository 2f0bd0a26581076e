"""N-body against theory: EuclidEmulator2, a mass function, tree level; box, spacing, softening.

Runs of `method: nbody`, all with modes of fixed amplitude, most in pairs of opposite phases, so
that P / P_linear has no scatter to first order. Parts, of which --parts takes some:

    box, spacing, softening, cosmology
        P over linear P of the run's own modes, beside EuclidEmulator2's; numbers of haloes beside
        a fit (watson13 of colossus), as they are and with N (1 - N^-0.6) for the N particles
    start
        P and skewness at z = 9, 3, 0 for starts at z = 9, 19, 49, 99, of P3M and of PM with 128
        BullFrog steps, beside linear theory and tree level of the same modes

With --resume, what truth.json in --out has is not run again; it is written after every run.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import starts, theory
from benchmarks.problem import COSMOLOGY
from benchmarks.rows import heading, read_rows, write_rows
from benchmarks.timing import machine_record
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import LinearPower, linear_power
from coca.gravity.p3m import P3M
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.integration import reference
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads
from coca.particles import Snapshot
from coca.statistics.haloes import LINKING_LENGTH, friends
from coca.statistics.spectra import particle_spectra

SEED = 31
COSMOLOGIES = {
    "fiducial": COSMOLOGY,
    "light": Cosmology(0.27, 0.045, 0.70, 0.98, 0.76),
    "heavy": Cosmology(0.36, 0.054, 0.64, 0.94, 0.87),
    "early": Cosmology(0.35, 0.045, 0.69, 0.98, 0.93),
}
"""Within EuclidEmulator2's range."""


class Box(NamedTuple):
    """A run, or a pair of runs."""

    part: str
    n_side: int
    box_size: float
    cosmology: str = "fiducial"
    spacings: float = 40.0
    """Softening lengths in a particle spacing."""
    signs: tuple[bool, ...] = (False, True)
    """Whether phases are turned."""


BOXES = (
    Box("box", 32, 128.0),
    Box("box", 48, 192.0),
    Box("box", 64, 256.0),
    Box("spacing", 24, 96.0, signs=(False,)),
    Box("spacing", 48, 96.0, signs=(False,)),
    Box("spacing", 96, 96.0, signs=(False,)),
    Box("spacing", 96, 192.0),
    Box("softening", 64, 128.0),
    Box("softening", 64, 128.0, spacings=20.0, signs=(False,)),
    Box("softening", 64, 128.0, spacings=80.0, signs=(False,)),
    *(Box("cosmology", 64, 256.0, name) for name in list(COSMOLOGIES)[1:]),
)
REDSHIFTS = (1.0, 0.5, 0.0)
START = 19.0
CELLS = 1.5
"""Cells for each Mpc/h, along a dimension, of the mesh of spectra."""
CENTRES = np.array([0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.5, 1.75, 2.0])
"""Middles of the bands of k, h/Mpc."""
SHOWN = (0.1, 0.2, 0.5, 1.0, 2.0)
GOOD = (0.01, 0.02, 0.05)
HALO_EDGES = np.array([20, 50, 100, 300, 1000, 100_000]) - 0.5
"""Particles of haloes."""
FEWEST = 10
"""Haloes of which a ratio is shown."""

PARTS = ("box", "spacing", "softening", "cosmology", "start")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--scale", type=float, default=1.0, help="of particles and boxes, to try")
    parser.add_argument("--resume", action="store_true", help="keep the rows of --out")
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each run and redshift."""
    threads = choose_threads(options.threads or "auto")
    file = options.out / "truth.json" if options.out else None
    rows = read_rows(file) if options.resume and file and file.exists() else []
    known = {row["run"] for row in rows}
    for box in (scaled(box, options.scale) for box in BOXES if box.part in options.parts):
        for turned in box.signs:
            if name_of(box, turned) not in known:
                rows += boost_rows(box, turned, threads)
                keep(file, rows)
    for spacing in starts.SPACINGS if "start" in options.parts else ():
        n = 2 * round(starts.PARTICLES * options.scale / 2)
        if f"start {n} {spacing:g}" not in known:
            rows += starts.measure(Domain(n * spacing, n, threads), SEED)
            keep(file, rows)
    return rows


def scaled(box: Box, scale: float) -> Box:
    """A box with fewer particles as far apart."""
    n = 2 * round(box.n_side * scale / 2)
    return box._replace(n_side=n, box_size=n * box.box_size / box.n_side)


def name_of(box: Box, turned: bool) -> str:
    """What no other run is called."""
    way = " turned" if turned else ""
    return f"{box.n_side} {box.box_size:g} {box.cosmology} {box.spacings:g}{way}"


def keep(file: Path | None, rows: list[dict]) -> None:
    """Write what there is so far."""
    if file:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_rows(file, rows)


def boost_rows(box: Box, turned: bool, threads: int) -> list[dict]:
    """A row for each redshift of one run."""
    cosmology = COSMOLOGIES[box.cosmology]
    domain = Domain(box.box_size, box.n_side, threads)
    power = linear_power(cosmology, "camb")
    conditions = from_seed(domain, power, SEED, True, turned)
    force = P3M(domain, 2 * domain.n_side, domain.cell / box.spacings)
    outputs, begin = [theory.growth(cosmology, z) for z in REDSHIFTS], time.perf_counter()
    snapshots = list(
        reference.nbody_run(
            domain, cosmology, conditions, force, theory.growth(cosmology, START), outputs
        )
    )
    common = box._asdict() | {"run": name_of(box, turned), "turned": turned}
    common |= {"seconds": time.perf_counter() - begin} | machine_record(threads)
    del common["signs"], force
    print(common["run"], f"{common['seconds']:.0f} s", flush=True)
    return [
        common
        | {"z": z}
        | bands(domain, cosmology, power, conditions, z, snapshot)
        | haloes(domain, cosmology, z, snapshot)
        for z, snapshot in zip(REDSHIFTS, snapshots, strict=True)
    ]


def bands(
    domain: Domain, cosmology: Cosmology, power: LinearPower, conditions: InitialConditions,
    z: float, snapshot: Snapshot,
) -> dict:  # fmt: skip
    """Boost of the run and of the emulator, with the same weights, in bands of k."""
    found = particle_spectra(
        domain, 2 * round(CELLS * domain.box_size / 2), domain.add_lattice(snapshot.disp)
    )
    linear = snapshot.D**2 * theory.linear_shells(domain, power, conditions, found.k)
    edges = np.sqrt(CENTRES[1:] * CENTRES[:-1])
    edges = np.array([CENTRES[0] ** 2 / edges[0], *edges, CENTRES[-1] ** 2 / edges[-1]])
    band = np.digitize(found.k, edges) - 1
    row = {"boost": sums(band, found.modes * found.P_a) / sums(band, found.modes * linear)}
    row["noise"] = sums(band, found.modes * domain.cell**3) / sums(band, found.modes * linear)
    try:
        k, boost = theory.boost(cosmology, z)
        wanted = sums(band, found.modes * linear * np.interp(found.k, k, boost))
        row["emulator"] = wanted / sums(band, found.modes * linear)
    except ImportError as error:
        row["skipped"] = str(error)
    return {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in row.items()}


def sums(band: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums over the shells of each band; NaN where there are none."""
    inside = [values[band == i] for i in range(len(CENTRES))]
    return np.array([part.sum() if len(part) else np.nan for part in inside])


def haloes(domain: Domain, cosmology: Cosmology, z: float, snapshot: Snapshot) -> dict:
    """Numbers of haloes of the run and of the fit."""
    x = np.mod(domain.add_lattice(snapshot.disp), np.float32(domain.box_size))
    x[x >= domain.box_size] = 0.0
    sizes = np.bincount(friends(x, domain.box_size, LINKING_LENGTH * domain.cell))
    row = {"haloes": np.histogram(sizes, HALO_EDGES)[0].tolist()}
    where = cosmology, z, domain.box_size, domain.n_side
    try:
        row["fit"] = theory.expected_haloes(*where, HALO_EDGES).tolist()
        weights = theory.corrected(HALO_EDGES)
        row["fit_corrected"] = theory.expected_haloes(*where, weights).tolist()
    except ImportError as error:
        row["fit_skipped"] = str(error)
    return row


def table(rows: list[dict]) -> str:
    """All tables of which there are rows."""
    boxes = [row for row in rows if row["part"] != "start"]
    rows_of_starts = [row for row in rows if row["part"] == "start"]
    lines = []
    if boxes:
        means = averages(boxes)
        lines += emulator_table(means) + same_modes_table(means) + halo_table(means)
    for name in ("P", "S3") if rows_of_starts else ():
        lines += starts.table(rows_of_starts, name)
    return "\n".join(lines)


def averages(rows: list[dict]) -> dict[tuple, dict[float, dict]]:
    """Means of pairs at each z, by n_side, box_size, cosmology and spacings."""
    groups: dict[tuple, dict[float, list[dict]]] = {}
    for row in rows:
        key = tuple(row[name] for name in ("n_side", "box_size", "cosmology", "spacings"))
        groups.setdefault(key, {}).setdefault(row["z"], []).append(row)
    return {key: {z: _mean(pair) for z, pair in by_z.items()} for key, by_z in groups.items()}


def _mean(pair: list[dict]) -> dict:
    names = ("boost", "emulator", "haloes", "fit", "fit_corrected")
    mean = {name: np.mean([row[name] for row in pair], axis=0) for name in names if name in pair[0]}
    first = next((row["boost"] for row in pair if not row["turned"]), None)
    return mean | {"runs": len(pair), "unpaired": np.array(first)}


def percent(errors: np.ndarray) -> str:
    """Errors at the wavenumbers that are shown."""
    at = [errors[int(np.argmin(np.abs(CENTRES - k)))] for k in SHOWN]
    return " / ".join("-" if np.isnan(value) else f"{100 * value:+.1f}" for value in at)


def reach(errors: np.ndarray) -> str:
    """The last band before the first whose error is above each of GOOD."""
    found = []
    for good in GOOD:
        bad = np.flatnonzero(np.abs(errors) >= good)
        first = bad[0] if len(bad) else len(errors)
        found.append(f"{CENTRES[first - 1]:g}" if first else "-")
    return " / ".join(found)


def emulator_table(means: dict[tuple, dict[float, dict]]) -> list[str]:
    """P over EuclidEmulator2's, of pairs: that of a single run scatters by some per cent."""
    shown = " / ".join(f"{k:g}" for k in SHOWN)
    columns = [f"z = {z:g}" for z in REDSHIFTS]
    columns[0] = f"P / EE2 - 1 [%], k = {shown}, {columns[0]}"
    lines = heading(["spacing", "box", "cosmology", "softening", *columns])
    for (n, size, cosmology, spacings), by_z in means.items():
        if all("emulator" in mean and mean["runs"] == 2 for mean in by_z.values()):
            errors = [percent(mean["boost"] / mean["emulator"] - 1) for mean in by_z.values()]
            lines.append(
                f"| {size / n:.3g} | {size:g} | {cosmology} | 1/{spacings:g} "
                f"| {' | '.join(errors)} |"
            )
    return lines


def same_modes_table(means: dict[tuple, dict[float, dict]]) -> list[str]:
    """P over that of the finest spacing in the same box, with the same phases, and over that of the
    usual softening."""
    shown = " / ".join(f"{k:g}" for k in SHOWN)
    reaches = " / ".join(f"{100 * good:g}" for good in GOOD)
    lines = heading(
        [
            "spacing",
            "box",
            "softening",
            "over",
            "z",
            f"P - 1 [%], k = {shown}",
            f"below {reaches} % to k",
        ]
    )
    for (n, size, cosmology, spacings), by_z in means.items():
        sizes = [key[0] for key in means if key[1:] == (size, cosmology, 40.0)]
        other = max(sizes, default=n) if spacings == 40 else n
        against = means.get((other, size, cosmology, 40.0), by_z)
        if against is by_z:
            continue
        name = f"{size / other:g} Mpc/h" if spacings == 40 else "1/40"
        for z, mean in by_z.items():
            errors = mean["unpaired"] / against[z]["unpaired"] - 1
            lines.append(
                f"| {size / n:g} | {size:g} | 1/{spacings:g} | {name} | {z:g} | {percent(errors)} "
                f"| {reach(errors)} |"
            )
    return lines


def halo_table(means: dict[tuple, dict[float, dict]]) -> list[str]:
    """Numbers of haloes at z = 0 over the fit's."""
    names = [f"{low + 0.5:g}-{high + 0.5:g}" for low, high in itertools.pairwise(HALO_EDGES[:-1])]
    names = " / ".join([*names, f"{HALO_EDGES[-2] + 0.5:g} and more"])
    lines = heading(
        ["spacing", "box", "cosmology", "softening", f"haloes of {names} particles, z = 0",
         "over the fit", "over the fit at N (1 - N^-0.6)"]
    )  # fmt: skip
    for (n, size, cosmology, spacings), by_z in means.items():
        mean = by_z[REDSHIFTS[-1]]
        if "fit" in mean:
            counts = " / ".join(f"{count:g}" for count in mean["haloes"])
            ratios = [_ratios(mean["haloes"], mean[name]) for name in ("fit", "fit_corrected")]
            lines.append(
                f"| {size / n:.3g} | {size:g} | {cosmology} | 1/{spacings:g} | {counts} "
                f"| {' | '.join(ratios)} |"
            )
    return lines


def _ratios(counts: np.ndarray, expected: np.ndarray) -> str:
    """Counts over expected ones, where these are large enough to say something."""
    pairs = zip(counts, expected, strict=True)
    return " / ".join(f"{a / b:.2f}" if a >= FEWEST else "-" for a, b in pairs)
