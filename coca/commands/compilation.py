"""Compiling on one rank what all ranks will call.

Numba's cache of compiled kernels on disk is not made for several processes that write to it at
once. So the first rank of all goes through a very small run while the others wait, and they then
find everything compiled.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from coca import kernels
from coca.configuration.run import Config
from coca.configuration.sections import (
    START_REDSHIFT,
    InitialConditionsConfig,
    LightConeConfig,
    OutputConfig,
)
from coca.cosmology.background import redshift
from coca.cosmology.distance import scale_factor_at
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


def _cone(config: Config, box_size: float) -> LightConeConfig | None:
    """The light cone of a configuration to the size of a small box, in small maps, without the
    user's observer."""
    if config.light_cone is None:
        return None
    z = float(redshift(scale_factor_at(config.build_cosmology(), box_size)))
    small = {
        "observer": None,
        "z_max": z,
        "redshifts": None,
        "every": None,
        "shells": 2,
        "n_side": 8,
    }
    return config.light_cone.model_copy(update=small | {"fits": False})


def _output(config: Config, directory: Path) -> OutputConfig:
    """Outputs of a configuration in another directory, the last one today where there is a light
    cone, which begins here."""
    redshifts = config.output.redshifts
    if config.light_cone is not None and redshifts[-1] > 0.0:
        redshifts = (*redshifts, 0.0)
    return config.output.model_copy(update={"directory": directory, "redshifts": redshifts})


def _rehearse(config: Config) -> None:
    """Run a configuration with few particles, files of nothing but the light cone's, in a directory
    that goes, and what only several ranks do."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        small = _small(config, Path(directory))
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


def _small(config: Config, directory: Path) -> Config:
    """A configuration with few particles."""
    box_size = config.box_size * (PARTICLES / config.particles)
    changes = {
        "particles": PARTICLES,
        "mesh": PARTICLES * (config.mesh // config.particles),
        "box_size": box_size,
        "force_evaluations": min(2, config.force_evaluations)
        if config.force_evaluations != "auto"
        else "auto",
        "initial_conditions": _from_the_seed(config),
        "light_cone": _cone(config, box_size),
        "output": _output(config, directory),
    }
    return config.model_copy(update=changes)
