"""Starts of `python -m benchmarks truth`: P and skewness for starts at several redshifts."""

from __future__ import annotations

import numpy as np

from benchmarks import theory
from benchmarks.problem import COSMOLOGY
from benchmarks.rows import heading
from coca.configuration.sections import PDFConfig
from coca.cosmology.linear_power import LinearPower, linear_power
from coca.files.snapshot_reader import Header, Particles
from coca.gravity.p3m import P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.integration import reference
from coca.parallel.domain import Domain, Grid
from coca.particles import Snapshot
from coca.statistics.density_pdf import density_pdf
from coca.statistics.spectra import particle_spectra

SPACINGS = (1.0, 2.0, 4.0)
STARTS = (9.0, 19.0, 49.0, 99.0)
LATE = (9.0, 3.0, 0.0)
SOLVERS = ("P3M", "PM")
PARTICLES, PM_STEPS = 40, 128
RADII = (2.0, 4.0)
"""Radii of spheres, in particle spacings."""
SHARES = (0.25, 0.5, 0.8)
"""Wavenumbers in Nyquist's of the particles."""


def measure(domain: Domain, seed: int) -> list[dict]:
    """A row for each solver, start and redshift; means of a pair."""
    power = linear_power(COSMOLOGY, "camb")
    pair = [from_seed(domain, power, seed, True, turned) for turned in (False, True)]
    radii = [radius * domain.cell for radius in RADII]
    common = {
        "part": "start",
        "run": f"start {domain.n_side} {domain.cell:g}",
        "n_side": domain.n_side,
        "spacing": domain.cell,
        "tree": [theory.tree_level_S3(domain, pair[0].delta_k, radius) for radius in radii],
    }
    rows = []
    for solver in SOLVERS:
        for start in STARTS:
            both = [moments(domain, power, one, solver, start) for one in pair]
            for z, a, b in zip(LATE, *both, strict=True):
                variance, third = (0.5 * (a[name] + b[name]) for name in ("variance", "third"))
                mean = {"P": (0.5 * (a["P"] + b["P"])).tolist()}
                mean |= {"variance": variance.tolist(), "S3": (third / variance**2).tolist()}
                rows.append(common | {"solver": solver, "start": start, "z": z} | mean)
    print(common["run"], flush=True)
    return rows


def moments(
    domain: Domain, power: LinearPower, conditions: InitialConditions, solver: str, start: float
) -> list[dict]:
    """P over linear P at SHARES, and moments of the density in spheres, at each of LATE."""
    wanted = np.array(SHARES) * np.pi / domain.cell
    grid = Grid(domain.box_size, 4 * domain.n_side, domain.threads)
    options = PDFConfig(radii=tuple(radius * domain.cell for radius in RADII))
    found = []
    for snapshot in started(domain, conditions, solver, start):
        x = np.mod(domain.add_lattice(snapshot.disp), np.float32(domain.box_size))
        x[x >= domain.box_size] = 0.0
        spectrum = particle_spectra(domain, grid.cells, x)
        linear = snapshot.D**2 * theory.linear_shells(domain, power, conditions, spectrum.k)
        header = Header(domain.box_size, 1.0, COSMOLOGY.Omega_m, COSMOLOGY.h, domain.particles, 1.0)
        ids = np.arange(domain.particles, dtype=np.uint64)
        smooth = density_pdf(grid, Particles(header, x, x, ids), options)
        variance = np.array([one.variance for one in smooth])
        found.append(
            {
                "P": np.interp(wanted, spectrum.k, spectrum.P_a / linear),
                "variance": variance,
                "third": variance**2 * [one.S3 for one in smooth],
            }
        )
    return found


def started(
    domain: Domain, conditions: InitialConditions, solver: str, start: float
) -> list[Snapshot]:
    """A run's snapshots at LATE, the first of which may be its start."""
    D_start, outputs = theory.growth(COSMOLOGY, start), [theory.growth(COSMOLOGY, z) for z in LATE]
    early = []
    if start == LATE[0]:
        lpt = conditions.lpt_frame(COSMOLOGY)
        early = [Snapshot(D_start, lpt.displacement(D_start), lpt.velocity(D_start))]
        outputs = outputs[1:]
    where = domain, COSMOLOGY, conditions
    if solver == "PM":
        force = ParticleMesh(domain, 2 * domain.n_side)
        later = reference.bullfrog_run(*where, force, D_start, PM_STEPS, outputs)
    else:
        pairs = P3M(domain, 2 * domain.n_side, domain.cell / 40)
        later = reference.nbody_run(*where, pairs, D_start, outputs)
    return early + list(later)


def table(rows: list[dict], name: str) -> list[str]:
    """A line for each spacing, redshift and solver, a column for each start."""
    what = {"P": "P / P_linear", "S3": "S3 / tree level"}[name]
    at = {"P": f"k = {' / '.join(map(str, SHARES))} of Nyquist's",
          "S3": f"spheres of {' / '.join(f'{r:g}' for r in RADII)} spacings"}[name]  # fmt: skip
    starts = [f"start z = {start:g}" for start in STARTS]
    lines = heading([f"{what}, {at}; spacing", "z", "", *starts])
    for spacing in SPACINGS:
        for z in LATE:
            for solver in SOLVERS:
                found = {
                    row["start"]: np.array(row[name]) / (row["tree"] if name == "S3" else 1.0)
                    for row in rows
                    if (row["spacing"], row["z"], row["solver"]) == (spacing, z, solver)
                }
                if found:
                    values = [" / ".join(f"{v:.3f}" for v in found[start]) for start in STARTS]
                    lines.append(f"| {spacing:g} | {z:g} | {solver} | {' | '.join(values)} |")
    return lines
