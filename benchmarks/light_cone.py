"""Light cones: counts of shells, C_l of the convergence beside theory, and cones of snapshots.

Runs of fitted steps. For each realisation, one JSON row of each part:

    counts      particles in each shell over those of a homogeneous universe, whole sky and octant
    power       C_l of the convergence over Limber's integral over HMcode2020 without modes beyond
                the box, in bands of l, the pixel window divided out, with shot noise and without
    snapshots   shells of as many snapshots, each of the one that is nearest in comoving distance,
                beside the same shells of the cone: share of the particles in another pixel, C_l
                over the cone's, and 1 - r of the convergence with the cone's
    seconds     of the run, and of the cone in it

Snapshots are outputs of the same run, so that nothing else differs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.problem import COSMOLOGY
from benchmarks.rows import heading, listed
from benchmarks.timing import machine_record
from coca.configuration.loading import make_config
from coca.configuration.run import Config
from coca.cosmology.background import redshift, scale_factor
from coca.cosmology.distance import comoving_distance, scale_factor_at
from coca.light_cone import sky as maps
from coca.light_cone.geometry import Cone, build_cone
from coca.light_cone.lensing import Convergence, convergence
from coca.light_cone.light_cone import LightCone
from coca.light_cone.shells import Shell, read_shell, shell_files
from coca.light_cone.sky import AngularPower, angular_power, footprint
from coca.light_cone.sources import Sources
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads
from coca.particles import Snapshot
from coca.run.plan import make_plan
from coca.run.simulation import run_plan

BANDS = ((30, 100), (100, 200), (200, 400), (400, 700), (700, 1000))
SHELLS = 16


class Sky(NamedTuple):
    """The shells of a cone and what they give."""

    shells: list[Shell]
    kappa: Convergence
    power: AngularPower


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--particles", type=int, default=128, help="per dimension")
    parser.add_argument("--box-size", type=float, default=500.0)
    parser.add_argument("--z-max", type=float, default=0.5, help="of the cone and of the sources")
    parser.add_argument("--n-side", type=int, default=512)
    parser.add_argument("--seeds", type=listed(int), default=[1, 2, 3, 4])
    parser.add_argument("--snapshots", type=listed(int), default=[4, 8, 16])
    parser.add_argument("--force-evaluations", type=int, default=4)
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of all realisations; of the first alone beside snapshots."""
    rows = []
    for i, seed in enumerate(options.seeds):
        with tempfile.TemporaryDirectory() as directory:
            found = measure_seed(
                options, seed, Path(directory), options.snapshots if i == 0 else []
            )
        rows += [row | {"seed": seed} | labels(options) for row in found]
        print(f"seed {seed}", flush=True)
    return rows


def labels(options: argparse.Namespace) -> dict:
    """What was run."""
    names = ("particles", "box_size", "z_max", "n_side", "force_evaluations")
    return {name: getattr(options, name) for name in names} | machine_record(
        options.threads or choose_threads("auto")
    )


def config_of(
    options: argparse.Namespace, seed: int, directory: Path, redshifts: list[float]
) -> Config:
    """A run with a cone and outputs."""
    values = {
        "cosmology": COSMOLOGY.known(),
        "box_size": options.box_size,
        "particles": options.particles,
        "mesh": 2 * options.particles,
        "seed": seed,
        "method": "fitted",
        "force_evaluations": options.force_evaluations,
        "light_cone": {"z_max": options.z_max, "n_side": options.n_side, "shells": SHELLS},
        "output": {"directory": str(directory), "redshifts": [*redshifts, 0.0]},
        "threads": options.threads or "auto",
    }
    return make_config(values)


def middles(options: argparse.Namespace, count: int) -> np.ndarray:
    """Redshifts of as many snapshots, in the middles of ranges of distance."""
    far = comoving_distance(COSMOLOGY, scale_factor(options.z_max))
    chi = far * (np.arange(count) + 0.5) / count
    return redshift(scale_factor_at(COSMOLOGY, chi))


def measure_seed(
    options: argparse.Namespace, seed: int, directory: Path, counts: list[int]
) -> list[dict]:
    """Rows of one realisation."""
    wanted = sorted({float(z) for count in counts for z in middles(options, count)}, reverse=True)
    config = config_of(options, seed, directory, wanted)
    simulation = run_plan(make_plan(config))
    sky = sky_of([read_shell(path) for path in shell_files(directory)], options)
    snapshots = dict(zip(wanted, simulation.snapshots, strict=False))
    seconds = dict(simulation.clock.seconds)
    rows = [counts_row(sky), power_row(sky)]
    rows.append({"part": "seconds", "cone": seconds["light cone"], "all": sum(seconds.values())})
    cone = build_cone(config.light_cone, COSMOLOGY, config.box_size)
    for count in counts:
        chosen = [snapshots[float(z)] for z in middles(options, count)]
        other = sky_of(frozen(cone, simulation.domain, chosen, directory / str(count)), options)
        rows.append(beside(sky, other) | {"snapshots": count})
    return rows


def sky_of(shells: list[Shell], options: argparse.Namespace) -> Sky:
    """The convergence of shells, and its power."""
    kappa = convergence(shells, Sources.at(options.z_max))
    return Sky(shells, kappa, angular_power(kappa))


def frozen(cone: Cone, domain: Domain, snapshots: list[Snapshot], directory: Path) -> list[Shell]:
    """Shells of particles at rest where the nearest snapshot has them; snapshots from near to far,
    an equal number of shells for each."""
    each, shells = cone.shells // len(snapshots), []
    for i, snapshot in enumerate(snapshots):
        z = cone.z[i * each : (i + 1) * each + 1]
        part = Cone(cone.cosmology, cone.observer, z, cone.n_side, cone.octant)
        at_rest = LightCone(part, domain, directory / str(i))
        ends = part.edges()[0], part.edges()[-1]
        at_rest.ask_at(ends)
        for D in ends:
            at_rest.see(Snapshot(D, snapshot.disp, np.zeros_like(snapshot.vel)))
        shells += [read_shell(path) for path in shell_files(directory / str(i))]
    return shells


def counts_row(sky: Sky) -> dict:
    """Particles in each shell over those expected."""
    octant = footprint(sky.shells[0].n_side, octant=True)
    return {
        "part": "counts",
        "z": [shell.z[1] for shell in sky.shells],
        "whole": [float(np.mean(shell.counts) / shell.mean) for shell in sky.shells],
        "octant": [float(np.mean(shell.counts[octant]) / shell.mean) for shell in sky.shells],
    }


def power_row(sky: Sky) -> dict:
    """C_l over theory, in bands."""
    theory = banded(sky.power, sky.power.theory_in_box)
    return {
        "part": "power",
        "with_noise": (banded(sky.power, sky.power.signal) / theory).tolist(),
        "without_noise": (banded(sky.power, sky.power.corrected) / theory).tolist(),
    }


def beside(cone: Sky, other: Sky) -> dict:
    """A cone of snapshots beside the true one."""
    import healpy

    pairs = list(zip(cone.shells, other.shells, strict=True))
    moved = sum(np.abs(a.counts - b.counts, dtype=np.int64).sum() / 2 for a, b in pairs)
    last = int(cone.power.l[-1])
    cross = healpy.anafast(cone.kappa.kappa, other.kappa.kappa, lmax=last, pol=False)[2:]
    a, b = banded(cone.power, cone.power.measured), banded(cone.power, other.power.measured)
    return {
        "part": "snapshots",
        "moved": float(moved / sum(a.counts.sum(dtype=np.int64) for a, _ in pairs)),
        "ratio": (b / a).tolist(),
        "r_missing": (1.0 - banded(cone.power, cross) / np.sqrt(a * b)).tolist(),
    }


def banded(power: AngularPower, values: np.ndarray) -> np.ndarray:
    """Means over BANDS, by modes."""
    parts = [slice(*np.searchsorted(power.l, band)) for band in BANDS]
    return maps.banded(power.l, values, parts)


def table(rows: list[dict]) -> str:
    """The tables of the documentation."""
    parts = defaultdict(list)
    for row in rows:
        parts[row["part"]].append(row)
    r = rows[0]
    lines = [
        f"{r['processor']}, {r['threads']} threads; {r['particles']}^3 particles in "
        f"{r['box_size']:g} Mpc/h, sources at the cone's end z = {r['z_max']:g}, n_side "
        f"{r['n_side']}, {r['force_evaluations']} forces",
        *_counts(parts["counts"]),
        *_power(parts["power"]),
        *_snapshots(parts["snapshots"]),
    ]
    cone, all_of_it = (sum(row[name] for row in parts["seconds"]) for name in ("cone", "all"))
    lines += ["", "Snapshots: C_l / the cone's - 1 [%], and 1 - r of kappa with the cone's [%]."]
    lines += ["", f"The cone takes {100 * cone / all_of_it:.0f} % of the runs' time."]
    return "\n".join(lines)


def _counts(rows: list[dict]) -> list[str]:
    lines = heading(["shell to z", "particles / expected - 1 [%]", "rms", "in an octant", "rms"])
    whole, octant = (
        100 * (np.array([row[name] for row in rows]) - 1) for name in ("whole", "octant")
    )
    for i, z in enumerate(rows[0]["z"]):
        cells = [f"{part[:, i].mean():+.2f} | {np.sqrt(np.mean(part[:, i] ** 2)):.2f}"
                 for part in (whole, octant)]  # fmt: skip
        lines.append(f"| {z:.3f} | {' | '.join(cells)} |")
    return lines


def _power(rows: list[dict]) -> list[str]:
    names = [f"l = {low}-{high}" for low, high in BANDS]
    lines = heading([f"C_l / theory - 1 [%], mean of {len(rows)}", *names])
    for title, name in (("as it is", "with_noise"), ("less Poisson noise", "without_noise")):
        values = 100 * (np.array([row[name] for row in rows]) - 1)
        error = values.std(axis=0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else 0 * values[0]
        cells = [f"{a:+.1f} ± {b:.1f}" for a, b in zip(values.mean(axis=0), error, strict=True)]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def _snapshots(rows: list[dict]) -> list[str]:
    names = [f"l = {low}-{high}" for low, high in BANDS]
    lines = heading(["snapshots", "in another pixel [%]", *names])
    for row in rows:
        cells = [
            f"{100 * (a - 1):+.2f}, {100 * b:.2f}"
            for a, b in zip(row["ratio"], row["r_missing"], strict=True)
        ]
        lines.append(f"| {row['snapshots']} | {100 * row['moved']:.1f} | {' | '.join(cells)} |")
    return lines
