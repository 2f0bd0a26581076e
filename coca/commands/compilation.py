"""Compiling on one rank what all ranks will call.

Numba's cache of compiled kernels on disk is not made for several processes that write to it at
once. So the first rank of all goes through a very small run while the others wait, and they then
find everything compiled.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from coca import kernels
from coca.configuration.run import Config
from coca.configuration.sections import START_REDSHIFT, InitialConditionsConfig
from coca.errors import CocaError
from coca.initial_conditions import lpt
from coca.kernels.constants import CIC
from coca.parallel.ranks import Ranks
from coca.results.run_spectra import measure_spectra
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import run_plan

PARTICLES = 16


def compile_kernels(config: Config, ranks: Ranks) -> None:
    """Have all kernels compiled that runs of this kind need, where there are several ranks."""
    if ranks.size > 1:
        with ranks.together(OSError), suppress(CocaError, FloatingPointError):
            if ranks.rank == 0:
                _rehearse(config)


def _from_the_seed(config: Config) -> InitialConditionsConfig:
    """Without the user's files, and a start before all outputs."""
    changes: dict[str, float | None] = {"file": None, "snapshot": None}
    if config.initial_conditions.redshift is None:
        changes["redshift"] = max(START_REDSHIFT, 2.0 * config.output.redshifts[0])
    return config.initial_conditions.model_copy(update=changes)


def _rehearse(config: Config) -> None:
    """Run a configuration with few particles and no files, and what only several ranks do."""
    scale = PARTICLES / config.particles
    changes = {
        "particles": PARTICLES,
        "mesh": PARTICLES * (config.mesh // config.particles),
        "box_size": config.box_size * scale,
        "force_evaluations": min(2, config.force_evaluations)
        if config.force_evaluations != "auto"
        else "auto",
        "initial_conditions": _from_the_seed(config),
        "light_cone": None,
    }
    small = config.model_copy(update=changes)
    simulation = run_plan(make_plan(small), Progress(quiet=True))
    measure_spectra(simulation)
    domain, psi1 = simulation.domain, simulation.snapshots[-1].disp
    lpt.density_of_displacement(domain, psi1)
    x = domain.add_lattice(psi1)
    where = (1.0, PARTICLES, PARTICLES // 2, CIC)
    counts, _ = kernels.particle_exchange.destinations(x, *where)
    total = int(counts[:, 1].sum())
    rows, indices = np.empty((total, 3), np.float32), np.empty(total, np.int64)
    counts[:, 0] = 0
    starts = np.cumsum(counts, axis=0) - counts
    kernels.particle_exchange.depart(x, *where, 0, starts, rows, indices)
    kernels.particle_exchange.return_values(rows, indices, 0, x[0])
