"""N-body and its force on the clock, beside SWIFT built from its public source.

    configure --disable-mpi --with-hydro=none; make    of github.com/SWIFTSIM/SWIFT
    python -m benchmarks swift --executable SWIFT/swift

Both start on the same particles, 2 Mpc/h apart at z = 19, with a softening of 1/40 of that and as
many threads, and end at z = 0. `seconds` are of all steps, without start and files. A `force` is of
all particles: the median of SWIFT's first and last steps that update all of them, and calls of
`coca.gravity.p3m` on our particles at z = 19 and 0. P and r are beside our run of four times as
many steps. SWIFT has a top-level cell for 4^3 particles: with twice as wide ones its force took 3.2
times as long (64^3, z = 0). `processor s` is the processor time of the run, SWIFT's with its start
and files: with one thread about what the run takes on a machine that does nothing else.

    python -m benchmarks swift --executable SWIFT/swift --particles "" --forces 32,64,128 --out B
    python -m benchmarks swift --rows A/swift.json B/swift.json --out docs

With `--forces` a force is timed on the same particles in both, without a run: at z = 19, and at
z = 0 where four fitted steps bring them. SWIFT takes some steps from there so short (1e-5 in ln a)
that each updates all particles, the mesh and the tree; ours has called P3M.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from benchmarks.beside import WAVENUMBERS, beside, cells
from benchmarks.beside import measure as measured
from benchmarks.nbody import D_START, SOFTENED, begin
from benchmarks.problem import COSMOLOGY, SPACING, conditions_of, fitted_run
from benchmarks.rows import heading, listed
from benchmarks.timing import in_turns, machine_record
from coca.files.snapshot_reader import read_particles
from coca.files.snapshot_writer import write_snapshot
from coca.gravity.p3m import P3M
from coca.integration.nbody import ETA, LONG_STEPS, NBody, long_steps
from coca.parallel.domain import Domain
from coca.parallel.machine import choose_threads
from coca.particles import Snapshot

SHORT_STEPS = 3
SHORT = 1e-5
"""Longest step in ln a where forces are timed."""
ACCURACIES = {"eta 0.1": (0.1, 0.05), "eta 0.025": (0.025, 0.025)}
"""eta and the longest step in ln a of SWIFT's runs: the second eta is that of its examples."""
SECTIONS = {
    "InternalUnitSystem": {
        "UnitMass_in_cgs": 1.98841e43,
        "UnitLength_in_cgs": 3.08567758e24,
        "UnitVelocity_in_cgs": 1e5,
        "UnitCurrent_in_cgs": 1,
        "UnitTemp_in_cgs": 1,
    },
    "Gravity": {"MAC": "adaptive", "theta_cr": 0.7, "epsilon_fmm": 0.001},
    "Snapshots": {"basename": "snap", "delta_time": 1.05, "scale_factor_first": 1.0},
    "InitialConditions": {
        "file_name": "ics.hdf5",
        "periodic": 1,
        "cleanup_h_factors": 1,
        "cleanup_velocity_factors": 1,
    },
}
"""SWIFT's parameters that are the same in all runs: the opening angle is that of its examples."""


class Timed(NamedTuple):
    """A run to z = 0."""

    snapshot: Snapshot
    seconds: float
    processor: float
    """Seconds of processor time, of all threads."""
    forces: tuple[float, float]
    """Seconds of a force on all particles, at the start and at the end."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--executable", type=Path, help="SWIFT's; without it all is skipped")
    parser.add_argument("--particles", type=listed(int), default=[64], help="of runs")
    parser.add_argument("--forces", type=listed(int), default=[64], help="particles of forces")
    parser.add_argument("--references", type=Path, default=Path("runs/references"))
    parser.add_argument("--accuracies", type=listed(str), default=list(ACCURACIES))
    parser.add_argument("--threads", type=int, default=None)


def measure(options: argparse.Namespace) -> list[dict]:
    """A row for each run, and for each state of the particles whose force is timed."""
    threads = choose_threads(options.threads or "auto")
    if options.executable is None:
        return [{"name": "SWIFT", "skipped": "no --executable"} | machine_record(threads)]
    executable, rows = options.executable.resolve(), []
    for n in options.particles:
        rows += runs(executable, Domain(SPACING * n, n, threads), options.accuracies)
    for n in options.forces:
        rows += forces(executable, Domain(SPACING * n, n, threads), options.references)
    return [row | machine_record(threads) for row in rows]


def runs(executable: Path, domain: Domain, accuracies: list[str]) -> list[dict]:
    """A row for each run to z = 0."""
    truth = measured(domain, COSMOLOGY, run_nbody(domain, 4 * LONG_STEPS).snapshot)
    found = {"coca, method: nbody": run_nbody(domain, LONG_STEPS)}
    for name in accuracies:
        found[f"SWIFT, {name}"] = run_swift(executable, domain, *ACCURACIES[name])
    return [
        {"name": name, "particles": domain.n_side, "seconds": run.seconds, "forces": run.forces}
        | {"processor_seconds": run.processor}
        | beside(domain, measured(domain, COSMOLOGY, run.snapshot), truth)
        for name, run in found.items()
    ]


def forces(executable: Path, domain: Domain, references: Path) -> list[dict]:
    """A row for each state of the particles."""
    force = P3M(domain, 2 * domain.n_side, SOFTENED * domain.cell)
    states = {"z = 19": start_of(domain), "z = 0": fitted_run(domain, 21, references)}
    return [
        {
            "state": name,
            "particles": domain.n_side,
            "ours": force_time(force, domain, snapshot.disp),
            "swift": swift_force(executable, domain, snapshot),
        }
        for name, snapshot in states.items()
    ]


def start_of(domain: Domain) -> Snapshot:
    """The particles that all start on."""
    lpt = conditions_of(domain, 21).lpt_frame(COSMOLOGY)
    return Snapshot(D_START, lpt.displacement(D_START), lpt.velocity(D_START))


def run_nbody(domain: Domain, count: int) -> Timed:
    """Ours, with about so many long steps."""
    force, state = begin(domain, conditions_of(domain, 21))
    steps = long_steps(COSMOLOGY, D_START, [1.0], count)
    first = force_time(force, domain, state.e)
    start, processor = time.perf_counter(), time.process_time()
    run = NBody(domain, COSMOLOGY, force, ETA * LONG_STEPS / count)
    (snapshot,) = run.follow(steps, state, [1.0])
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    return Timed(snapshot, seconds, processor, (first, force_time(force, domain, snapshot.disp)))


def force_time(force: P3M, domain: Domain, disp: np.ndarray) -> float:
    """Seconds of a force, the median of five; one before is not counted."""
    x = domain.add_lattice(disp)
    return float(np.median(in_turns({"force": lambda: force(x)}, 5)["force"]))


def swift_force(executable: Path, domain: Domain, snapshot: Snapshot) -> float:
    """Seconds of SWIFT's steps that update all particles, the median of some."""
    a_begin = min(float(COSMOLOGY.a_of_D(snapshot.D)), 0.99)  # SWIFT wants a_end beyond it
    start = Snapshot(float(COSMOLOGY.D1(a_begin)), snapshot.disp, snapshot.vel)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        text = parameters(domain, 0.1, SHORT, a_begin)
        steps = launch(executable, directory, domain, start, text, SHORT_STEPS)
    if not np.all(steps[1:, 0] == domain.particles) or len(steps) <= SHORT_STEPS:
        raise RuntimeError(f"SWIFT updated {steps[1:, 0]} particles, wanted all in each step")
    return 1e-3 * float(np.median(steps[1:, 1]))


def run_swift(executable: Path, domain: Domain, eta: float, longest: float) -> Timed:
    """SWIFT's."""
    with tempfile.TemporaryDirectory() as name:
        directory, before = Path(name), children_time()
        text = parameters(domain, eta, longest, float(COSMOLOGY.a_of_D(D_START)))
        steps = launch(executable, directory, domain, start_of(domain), text)
        processor = children_time() - before
        snapshot = read_snapshot(domain, max(directory.glob("snap_*.hdf5")))
    full = 1e-3 * steps[1:, 1][steps[1:, 0] == domain.particles]
    forces = float(np.median(full[:5])), float(np.median(full[-5:]))
    return Timed(snapshot, 1e-3 * float(steps[:, 1].sum()), processor, forces)


def launch(
    executable: Path, directory: Path, domain: Domain, start: Snapshot, text: str, count: int = 0
) -> np.ndarray:
    """Run SWIFT in a directory; the particles that each step updates, and its milliseconds."""
    write_snapshot(directory / "ics.hdf5", domain, COSMOLOGY, start, {})
    (directory / "run.yml").write_text(text)
    options = ["--cosmology", "--self-gravity", f"--threads={domain.threads}"]
    options += [f"--steps={count}"] if count else []
    subprocess.run(
        [executable, *options, "run.yml"],
        cwd=directory, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return np.loadtxt(directory / "timesteps.txt", usecols=(8, 12))


def children_time() -> float:
    """Processor seconds of all programs that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parameters(domain: Domain, eta: float, longest: float, a_begin: float) -> str:
    """SWIFT's parameter file."""
    h, softening = COSMOLOGY.h, SOFTENED * domain.cell / COSMOLOGY.h
    own = {
        "Cosmology": {
            "Omega_cdm": COSMOLOGY.Omega_m - COSMOLOGY.Omega_b,
            "Omega_b": COSMOLOGY.Omega_b,
            "Omega_lambda": 1 - COSMOLOGY.Omega_m,
            "h": h,
            "a_begin": a_begin,
            "a_end": 1.0,
        },
        "Statistics": {"delta_time": 1.2, "scale_factor_first": a_begin},
        "Scheduler": {"max_top_level_cells": domain.n_side // 4},
        "TimeIntegration": {"dt_min": 1e-7, "dt_max": longest},
        "Gravity": SECTIONS["Gravity"]
        | {
            "eta": eta,
            "mesh_side_length": 2 * domain.n_side,
            "comoving_DM_softening": softening,
            "max_physical_DM_softening": softening,
        },
    }
    lines = []
    for section, keys in (SECTIONS | own).items():
        lines += [f"{section}:", *(f"  {key}: {value}" for key, value in keys.items())]
    return "\n".join(lines) + "\n"


def read_snapshot(domain: Domain, path: Path) -> Snapshot:
    """SWIFT's particles at z = 0, as displacements from the lattice."""
    with h5py.File(path) as file:
        order = np.argsort(file["PartType1/ParticleIDs"][:])
    particles = read_particles(path)
    if particles.header.redshift > 1e-6:
        raise RuntimeError(f"SWIFT's last snapshot is at z = {particles.header.redshift:g}, not 0")
    x, u = particles.x[:, order], particles.u[:, order]
    disp = x - domain.add_lattice(np.zeros_like(x))
    return Snapshot(1.0, disp, u / np.float32(COSMOLOGY.velocity_unit(1.0)))


def table(rows: list[dict]) -> str:
    """One line a run, and one for each state whose force is timed."""
    titles = ["", "particles", "s to z = 0", "processor s", "s a force, z = 19 / 0"]
    titles += [f"P - 1 [%] at k = {WAVENUMBERS}", "1 - r [%]", "haloes"]
    found = [row for row in rows if "name" in row]
    lines = heading(titles) if found else []
    for row in found:
        if "skipped" in row:
            lines.append(f"| {row['name']} | {row['skipped']} |")
            continue
        times = " / ".join(f"{seconds:.2f}" for seconds in row["forces"])
        numbers = [f"{row['particles']}^3", f"{row['seconds']:.1f}"]
        numbers += [f"{row['processor_seconds']:.1f}", times]
        lines.append(f"| {' | '.join([row['name'], *numbers, *cells(row)])} |")
    found = [row for row in rows if "state" in row]
    lines += heading(["particles", "state", "s, coca", "s, SWIFT", "ratio"]) if found else []
    for row in found:
        numbers = f"{row['ours']:.3f} | {row['swift']:.3f} | {row['swift'] / row['ours']:.1f}"
        lines.append(f"| {row['particles']}^3 | {row['state']} | {numbers} |")
    return "\n".join(lines)
