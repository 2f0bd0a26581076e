"""Training simulations: converged runs reduced to inputs and expanded trajectories."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.atomic_files import whole_file
from coca.configuration.training import SimulationsConfig
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.latin_hypercube import latin_hypercube
from coca.cosmology.linear_power import linear_power
from coca.emulator.time_functions import TimeFunctions, orthonormal_polynomials
from coca.errors import FileError, reason
from coca.gravity.p3m import P3M
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions import linear_fields
from coca.integration.reference import bullfrog_run, nbody_force, nbody_run
from coca.parallel.domain import Domain


class TrainingSimulation(NamedTuple):
    """What the trainer keeps of one simulation."""

    cosmology: Cosmology
    seed: int
    D_start: float


def planned_simulations(config: SimulationsConfig) -> list[TrainingSimulation]:
    """Cosmologies on a Latin hypercube and seeds; the validation set stands last."""
    ranges = config.cosmology.model_dump()
    points = latin_hypercube(ranges, config.training, config.seed)
    points += latin_hypercube(ranges, config.validation, config.seed + 1)
    cosmologies = [Cosmology(**point) for point in points]
    a = scale_factor(config.redshift)
    return [
        TrainingSimulation(cosmology, config.seed + i, float(cosmology.D1(a)))
        for i, cosmology in enumerate(cosmologies)
    ]


def training_times(config: SimulationsConfig) -> np.ndarray:
    """Growth factors at which trajectories are sampled, uniform in (0, 1]."""
    steps = config.force_evaluations
    return np.arange(1, steps + 1) / steps


def force_of(config: SimulationsConfig, domain: Domain) -> ParticleMesh | P3M:
    """The force of a configuration's simulations."""
    if config.method == "nbody":
        return nbody_force(domain, config.mesh)
    return ParticleMesh(domain, config.mesh)


def make_simulation(
    config: SimulationsConfig,
    domain: Domain,
    force: ParticleMesh | P3M,
    simulation: TrainingSimulation,
) -> tuple[linear_fields.InitialConditions, np.ndarray]:
    """Run one simulation.

    Returns
    -------
    conditions : InitialConditions
    coefficients : array (J, 3 n^3) float32
        Residual trajectories beyond 2LPT in the basis of `orthonormal_polynomials`.
    """
    cosmology = simulation.cosmology
    power = linear_power(cosmology, config.linear_power)
    conditions = linear_fields.from_seed(domain, power, simulation.seed)
    lpt, D_start = conditions.lpt_frame(cosmology), simulation.D_start
    D = training_times(config)
    D = D[D_start <= D]
    basis = orthonormal_polynomials(training_times(config))
    coefficients = np.zeros((len(basis), conditions.psi1.size), np.float32)
    steps = config.force_evaluations
    if isinstance(force, P3M):
        run = nbody_run(domain, cosmology, conditions, force, D_start, D)
    else:
        run = bullfrog_run(domain, cosmology, conditions, force, D_start, steps, D)
    for snapshot in run:
        residual = (snapshot.disp - lpt.displacement(snapshot.D)).reshape(-1)
        for weight, row in zip(basis(snapshot.D), coefficients, strict=True):
            kernels.particles.axpy(weight / steps, residual, row)
    return conditions, coefficients


class SimulationSet:
    """Simulations kept on disk, one file each, made when they are missing.

    A file holds, in float32, Psi1, Psi2 and the expanded residual trajectories, so that
    epochs read instead of simulating again.
    """

    def __init__(self, config: SimulationsConfig, domain: Domain):
        self.config, self.domain = config, domain
        self.planned = planned_simulations(config)
        self.basis: TimeFunctions = orthonormal_polynomials(training_times(config))
        identity = config.model_dump_json(exclude={"directory"})
        self.key = hashlib.sha256(identity.encode()).hexdigest()[:12]
        config.directory.mkdir(parents=True, exist_ok=True)

    @property
    def training(self) -> range:
        """Indices of the training set."""
        return range(self.config.training)

    @property
    def validation(self) -> range:
        """Indices of the validation set."""
        return range(self.config.training, len(self.planned))

    def present(self, indices: Iterable[int]) -> list[int]:
        """The simulations of which there is a file."""
        return [i for i in indices if self.path(i).exists()]

    def make_missing(self) -> Iterator[int]:
        """Make what is missing, the validation set first, yielding the index of each simulation as
        it is there."""
        force = None
        for i in (*self.validation, *self.training):
            path = self.path(i)
            if not path.exists():
                force = force or force_of(self.config, self.domain)
                conditions, rows = make_simulation(self.config, self.domain, force, self.planned[i])
                fields = np.concatenate(
                    [conditions.psi1, conditions.psi2, rows.reshape(-1, rows.shape[1] // 3)]
                )
                with whole_file(path) as temporary, temporary.open("wb") as file:
                    np.save(file, fields)
            yield i

    def load(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Psi1 (3, N), Psi2 (3, N) and coefficients (J, 3 N) of simulation `i`."""
        fields = read_map(self.path(i))
        rows = fields[6:].reshape(len(self.basis), -1)
        return np.array(fields[0:3]), np.array(fields[3:6]), rows

    def path(self, i: int) -> Path:
        """The file of simulation `i`."""
        return self.config.directory / f"simulation-{self.key}-{i:04d}.npy"


def read_map(path: Path) -> np.ndarray:
    """The array of an npy file, mapped from disk.

    Raises
    ------
    FileError
        The file cannot be read.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise FileError(
            f"{path}: cannot read: {reason(error)}; remove it to make it anew"
        ) from None
