"""Light cones: counts of shells, C_l of the convergence beside theory, and cones of snapshots.

Runs of fitted steps. For each realisation, one JSON row of each part:

    counts      particles in each shell over those of a homogeneous universe, whole sky and octant
    power       C_l of the convergence over Limber's integral over HMcode2020 without modes beyond
                the box, in bands of l, the pixel window divided out, with shot noise and without
    snapshots   shells of as many snapshots, each of the one that is nearest in comoving distance,
                beside the same shells of the cone: share of the particles in another pixel, C_l
                over the cone's, and 1 - r of the convergence with the cone's
    shell       C_l of the density in a shell over that of the same shell cut out of the snapshot
                at its redshift, and over the projection of that snapshot's P(k)
    glass       C_l of the convergence over that by glass of the same shells, and 1 - r of both
    theory      C_l by pyccl over ours, for several nonlinear spectra
    linear      a small amplitude: how much of the convergence of linear modes, integrated along
                lines of sight, is in the map of particles (their cross power over that of modes,
                which noise does not change), and C_l of modes over Limber's of linear power
    limits      what stands between C_l and theory, one thing at a time: the map beside the integral
                over the run's own P(k, z), that beside theory, shells, box, noise, pixels
    seconds     of the run, and of the cone in it
    cost        the same of a run without outputs in between, for cones of several kinds

Snapshots are outputs of the same run, so that nothing else differs. Without pyccl there is no
theory of it.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.lensing_theory import (
    SPECTRA,
    EmulatedPower,
    ccl_power,
    glass_convergence,
    kept_by_motion,
    line_of_sight,
    linear_convergence,
    modes_in_map,
    shell_power,
)
from benchmarks.light_cone_limits import (
    Spectrum,
    cost_rows,
    limits_row,
    own_power,
    theory_of_shells,
)
from benchmarks.light_cone_tables import BANDS, LINEAR_BANDS, table
from benchmarks.problem import COSMOLOGY
from benchmarks.rows import listed
from benchmarks.timing import machine_record
from coca.configuration.loading import make_config
from coca.configuration.run import Config
from coca.cosmology.background import redshift, scale_factor
from coca.cosmology.distance import comoving_distance, scale_factor_at
from coca.cosmology.linear_power import linear_power
from coca.cosmology.nonlinear_power import nonlinear_power
from coca.initial_conditions.linear_fields import from_seed
from coca.light_cone import sky as maps
from coca.light_cone.footprint import FULL, OCTANT
from coca.light_cone.geometry import Cone, build_cone
from coca.light_cone.lensing import Convergence, convergence
from coca.light_cone.light_cone import LightCone
from coca.light_cone.shells import Shell, read_shell, shell_files
from coca.light_cone.sky import (
    AngularPower,
    angular_power,
    map_power,
    pixel_window,
)
from coca.light_cone.sources import Sources
from coca.light_cone.theory import fundamental
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads
from coca.particles import Snapshot, into_box
from coca.run.plan import make_plan
from coca.run.simulation import Simulation, run_plan
from coca.statistics.spectra import particle_spectra

__all__ = ["add_options", "measure", "table"]

PARTS = ("sky", "linear", "cost")
SHELLS = 16
LINEAR_N_SIDE = 256
SMALL = 0.1
"""sigma_8 of the linear field, which moves along itself all the same."""


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
    parser.add_argument("--snapshots", type=listed(int), default=[2, 4, 8, 16])
    parser.add_argument("--shells", type=int, default=SHELLS)
    parser.add_argument(
        "--spectra", type=int, default=8, help="snapshots that P(k, z) of the first seed is of"
    )
    parser.add_argument(
        "--parts",
        type=listed(str),
        default=list(PARTS),
        help=f"of {','.join(PARTS)}; those of sky with --snapshots: all but linear and cost",
    )
    parser.add_argument("--fixed-amplitude", action="store_true", help="of the modes")
    parser.add_argument("--cones", type=int, default=8, help="kinds whose cost is measured")
    parser.add_argument("--force-evaluations", type=int, default=4)
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """Rows of all realisations; of the first alone beside snapshots."""
    rows = []
    for i, seed in enumerate(options.seeds):
        with tempfile.TemporaryDirectory() as directory:
            found = measure_parts(options, seed, Path(directory), i == 0)
        rows += [row | {"seed": seed} | labels(options) for row in found]
        print(f"seed {seed}", flush=True)
    return rows


def measure_parts(
    options: argparse.Namespace, seed: int, directory: Path, first: bool
) -> list[dict]:
    """Rows of one realisation; of the first alone beside snapshots, and what cones cost."""
    found = []
    if "sky" in options.parts:
        found += measure_seed(options, seed, directory, first)
    if "linear" in options.parts:
        found.append(linear_row(options, seed, directory))
    if "cost" in options.parts and first:
        found += cost_rows(options, config_of(options, seed, directory / "cost", []))
    return found


def labels(options: argparse.Namespace) -> dict:
    """What was run."""
    names = ("particles", "box_size", "z_max", "n_side", "force_evaluations", "fixed_amplitude")
    return {name: getattr(options, name) for name in names} | machine_record(
        options.threads or choose_threads("auto")
    )


def config_of(
    options: argparse.Namespace, seed: int, directory: Path, redshifts: list[float], **values
) -> Config:
    """A run with a cone and outputs; `values` replace those that all have."""
    common = {
        "cosmology": COSMOLOGY.known(),
        "box_size": options.box_size,
        "particles": options.particles,
        "mesh": 2 * options.particles,
        "seed": seed,
        "method": "fitted",
        "force_evaluations": options.force_evaluations,
        "light_cone": {"z_max": options.z_max, "n_side": options.n_side, "shells": options.shells},
        "output": {"directory": str(directory), "redshifts": [*redshifts, 0.0]},
        "initial_conditions": {"fixed_amplitude": options.fixed_amplitude},
        "threads": options.threads or "auto",
    }
    return make_config(common | values)


def middles(options: argparse.Namespace, count: int) -> np.ndarray:
    """Redshifts of as many snapshots, in the middles of ranges of distance."""
    far = comoving_distance(COSMOLOGY, scale_factor(options.z_max))
    chi = far * (np.arange(count) + 0.5) / count
    return redshift(scale_factor_at(COSMOLOGY, chi))


def measure_seed(
    options: argparse.Namespace, seed: int, directory: Path, first: bool
) -> list[dict]:
    """Rows of one realisation; of the first alone beside snapshots."""
    counts = options.snapshots if first else []
    z_shell = float(middles(options, options.shells)[options.shells // 2])
    z_spectra = [float(z) for z in middles(options, options.spectra)] if first else []
    wanted = {float(z) for count in counts for z in middles(options, count)} | set(z_spectra)
    wanted = sorted(wanted | {z_shell} if first else wanted, reverse=True)
    config = config_of(options, seed, directory, wanted)
    simulation = run_plan(make_plan(config))
    sky = sky_of([read_shell(path) for path in shell_files(directory)], options)
    snapshots = dict(zip(wanted, simulation.snapshots, strict=False))
    seconds = dict(simulation.clock.seconds)
    rows = [counts_row(sky), power_row(sky)]
    rows.append({"part": "seconds", "cone": seconds["light cone"], "all": sum(seconds.values())})
    if not first:
        return rows
    cone = build_cone(config.light_cone, COSMOLOGY, config.box_size)
    shell = sky.shells[options.shells // 2]
    rows.append(shell_row(shell, cone, simulation, snapshots[z_shell], directory))
    if find_spec("glass"):
        rows.append(glass_row(sky, options.z_max))
    if z_spectra:
        own = own_power(simulation.domain, COSMOLOGY, [snapshots[z] for z in z_spectra])
        rows.append(limits_row(sky.shells, sky.kappa, sky.power, own, banded))
    rows += [theory_row(sky, spectrum) for spectrum in SPECTRA[1:] if counts and find_spec("pyccl")]
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
        part = Cone(cone.cosmology, cone.observer, z, cone.n_side, cone.footprint)
        at_rest = LightCone(part, domain, directory / str(i))
        ends = part.edges()[0], part.edges()[-1]
        at_rest.ask_at(ends)
        for D in ends:
            at_rest.see(Snapshot(D, snapshot.disp, np.zeros_like(snapshot.vel)))
        shells += [read_shell(path) for path in shell_files(directory / str(i))]
    return shells


def counts_row(sky: Sky) -> dict:
    """Particles in each shell over those expected."""
    octant = OCTANT.pixels(sky.shells[0].n_side)
    return {
        "part": "counts",
        "z": [shell.z[1] for shell in sky.shells],
        "whole": [float(np.mean(shell.counts) / shell.mean) for shell in sky.shells],
        "octant": [float(np.mean(shell.counts[octant]) / shell.mean) for shell in sky.shells],
    }


def power_row(sky: Sky) -> dict:
    """C_l over theory without modes beyond the box, in bands: Limber's integral over HMcode2020,
    the same with one density a shell, and this of EuclidEmulator2 where it is installed."""
    power, cosmology = sky.power, sky.kappa.cosmology
    least, z_most = fundamental(sky.kappa.box_size), sky.kappa.z[1]
    spectra: dict[str, Spectrum] = {"HMcode2020": nonlinear_power(cosmology, z_most)}
    if find_spec("euclidemu2"):
        spectra["EuclidEmulator2"] = EmulatedPower(cosmology, z_most)
    theories = {"": power.theory_in_box}
    for name, spectrum in spectra.items():
        theory = theory_of_shells(sky.shells, sky.kappa, power.l, spectrum, least)
        theories[f"_of_shells_{name}"] = theory
    row: dict = {"part": "power"}
    for name, theory in theories.items():
        for kind, values in (("with", power.signal), ("without", power.corrected)):
            ratio = banded(power.l, values) / banded(power.l, theory)
            row[f"{kind}_noise{name}"] = ratio.tolist()
    return row


def shell_row(
    shell: Shell, cone: Cone, simulation: Simulation, snapshot: Snapshot, directory: Path
) -> dict:
    """One shell beside the snapshot of its redshift."""
    part = replace(cone, z=cone.z[shell.number : shell.number + 2])
    (cut,) = frozen(part, simulation.domain, [snapshot], directory / "shell")
    l, mine = map_power(shell.counts / shell.mean - 1.0, FULL)
    other = map_power(cut.counts / cut.mean - 1.0, FULL)[1]
    noise = 4.0 * np.pi / float(shell.counts.sum())  # white, of which pixels take nothing
    domain, window = simulation.domain, pixel_window(shell.n_side, l)
    x = into_box(domain.add_lattice(snapshot.disp), domain.box_size)
    projected = shell_power(shell.chi, l, particle_spectra(domain, 4 * domain.n_side, x))
    a, b, c = (banded(l, values) for values in (mine, other, (projected - noise) * window + noise))
    return {"part": "shell", "z": shell.z, "cut": (a / b).tolist(), "projected": (a / c).tolist()}


def theory_row(sky: Sky, spectrum: str) -> dict:
    """C_l by pyccl over ours of HMcode2020, both with all modes."""
    ratio = ccl_power(sky.kappa, sky.power.l, spectrum) / sky.power.theory
    return {"part": "theory", "spectrum": spectrum, "ratio": banded(sky.power.l, ratio).tolist()}


def glass_row(sky: Sky, z_source: float) -> dict:
    """The convergence by glass of the same shells beside ours."""
    import healpy

    l, other = sky.power.l, glass_convergence(sky.shells, z_source)
    maps_of = (sky.kappa.kappa, sky.kappa.kappa), (other, other), (sky.kappa.kappa, other)
    mine, its, cross = (
        banded(l, healpy.anafast(*pair, lmax=int(l[-1]), pol=False)[2:]) for pair in maps_of
    )
    return {
        "part": "glass",
        "ratio": (mine / its).tolist(),
        "r_missing": (1.0 - cross / np.sqrt(mine * its)).tolist(),
    }


def linear_row(options: argparse.Namespace, seed: int, directory: Path) -> dict:
    """The convergence of particles that hardly move, beside that of their linear modes."""
    small = {"cosmology": COSMOLOGY.known() | {"sigma_8": SMALL}}
    small |= {"method": "cola", "force_evaluations": 0}
    pair = [
        config_of(options, seed, directory / f"linear_{paired}", [], **small,
                  initial_conditions={"paired": paired})
        for paired in (False, True)
    ]  # fmt: skip
    kappa = linear_convergence(*pair)
    cone = build_cone(pair[0].light_cone, kappa.cosmology, options.box_size)
    domain = Domain(options.box_size, options.particles)
    linear = from_seed(domain, linear_power(kappa.cosmology, "camb"), seed)
    modes = line_of_sight(linear, cone, kappa.sources, options.box_size, LINEAR_N_SIDE)
    l, power, cross = modes_in_map(kappa.kappa, modes, LINEAR_BANDS[-1][1])
    power, cross = (banded(l, values, LINEAR_BANDS) for values in (power, cross))
    row = {"part": "linear", "over_modes": (cross / power).tolist()}
    kept = kept_by_motion(kappa, l, options.box_size)
    row["kept_by_motion"] = banded(l, kept, LINEAR_BANDS).tolist()
    row["over_kept"] = (cross / power / row["kept_by_motion"]).tolist()
    if find_spec("pyccl"):
        limber = banded(l, ccl_power(kappa, l, "linear"), LINEAR_BANDS)
        row["modes_over_limber"] = (power / limber).tolist()
    return row


def beside(cone: Sky, other: Sky) -> dict:
    """A cone of snapshots beside the true one."""
    import healpy

    pairs = list(zip(cone.shells, other.shells, strict=True))
    moved = sum(np.abs(a.counts - b.counts, dtype=np.int64).sum() / 2 for a, b in pairs)
    l = cone.power.l
    cross = healpy.anafast(cone.kappa.kappa, other.kappa.kappa, lmax=int(l[-1]), pol=False)[2:]
    a, b = banded(l, cone.power.measured), banded(l, other.power.measured)
    return {
        "part": "snapshots",
        "moved": float(moved / sum(a.counts.sum(dtype=np.int64) for a, _ in pairs)),
        "ratio": (b / a).tolist(),
        "r_missing": (1.0 - banded(l, cross) / np.sqrt(a * b)).tolist(),
    }


def banded(l: np.ndarray, values: np.ndarray, bands: tuple = BANDS) -> np.ndarray:
    """Means over ranges of l, by modes."""
    return maps.banded(l, values, [slice(*np.searchsorted(l, band)) for band in bands])
