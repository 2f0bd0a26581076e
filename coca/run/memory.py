"""The memory that a run takes: a model of its arrays, stage by stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from coca.configuration.run import WITHOUT_ESTIMATE, Config
from coca.configuration.sections import LightConeConfig
from coca.initial_conditions import from_snapshot
from coca.integration.read_out import read_out_memory
from coca.light_cone.cone_particles import BYTES
from coca.light_cone.geometry import build_cone, footprint_of
from coca.light_cone.light_cone import CANDIDATES
from coca.parallel.fft import SWAP_BYTES

if TYPE_CHECKING:
    from coca.emulator.loaded import Network

OWN_MEMORY, NETWORK_OWN_MEMORY = 250, 205
"""MiB of the libraries, of what numba loads, without the network and for it."""
MPI_MEMORY = 60
"""MiB of MPI for each rank."""
GHOST_PLANES = 5
"""Ghost planes of a mesh, with the default force."""
SUB_STEP_BYTES = 82
"""Bytes per particle of sub-steps with two forces, where two fifths of all take them; fewer do with
more."""
DISPLACEMENT, TRAVEL_BYTES = 5.0, 92
"""Mean displacement along one axis in Mpc/h, generously, and bytes for each particle that it takes
to another rank: positions and accelerations, sent and received."""

P3M_BYTES, NBODY_BYTES = 51, 130
"""Bytes per particle of pairs in one force, and of all that N-body keeps in a long step, measured
at 144^3."""
CROSSED = 110
"""Bytes for each particle of a light cone's shell: what is held, with more of them added, and what
is written of it."""
REPORT_OWN = 132
"""MiB of the libraries that draw, and of pictures."""
REPORT_DISK = 4 * 2**20
"""Bytes of a report's page and figures, for each output."""
FITTED_SAVED = 12
"""Bytes of a checkpoint of fitted steps for each particle, beside its vectors: a density, and what
sub-steps are ahead of where two fifths take them."""
STATISTICS_PARTICLE, STATISTICS_CELL = 140, 36
"""Bytes of statistics for each particle of the box and each cell of their mesh."""


def estimate_memory(
    config: Config,
    network: Network | None,
    fitted_steps: bool,
    sub_steps: bool = False,
    read_out: bool = False,
    ranks: int = 1,
) -> int:
    """Peak bytes of each rank of a run: those of its largest stage, with the code's own."""
    own = (OWN_MEMORY + (NETWORK_OWN_MEMORY if network else 0)) * 2**20
    if ranks > 1:
        own += MPI_MEMORY * 2**20
    arrays = Arrays(config, network, fitted_steps, sub_steps, read_out, ranks)
    return own + max(arrays.stages().values())


@dataclass(frozen=True)
class Arrays:
    """Bytes of a rank's arrays, and of which of them each stage of a run holds."""

    config: Config
    network: Network | None
    fitted_steps: bool
    sub_steps: bool
    read_out: bool
    """Whether a network reads out fitted steps."""
    ranks: int

    def stages(self) -> dict[str, int]:
        """Bytes of the arrays in each stage; `python -m benchmarks runs` measures the sum."""
        return {
            "statistics": self.kept + self.statistics,
            "initial conditions": self.given + _made(self.N, self.given),
            "network": self.network_pass,
            "integration": self.integration,
            "reference": self.reference,
            "report": self.report,
            "analysis": self.analysis,
        }

    @property
    def N(self) -> int:
        """Particles of the rank."""
        return self.config.particles**3 // self.ranks

    @property
    def vectors(self) -> int:
        """A vector for each particle."""
        return 12 * self.N

    @property
    def mesh(self) -> int:
        """The mesh of the force with its ghost planes, and what travels between ranks."""
        cells, ranks = self.config.mesh, self.ranks
        mesh = mesh_bytes(cells, cells // ranks)
        if ranks == 1:
            return mesh
        travelling = min(1.0, DISPLACEMENT / (self.config.box_size / ranks))
        return mesh + int(travelling * TRAVEL_BYTES * self.N) + 2 * SWAP_BYTES

    @property
    def psi(self) -> int:
        """Displacements of first and second order."""
        return 2 * self.vectors

    @property
    def given(self) -> int:
        """Positions and velocities of a snapshot that the run starts on."""
        return 2 * self.vectors if self.config.initial_conditions.snapshot else 0

    @property
    def conditions(self) -> int:
        """Initial conditions, with the linear modes."""
        return self.psi + 4 * self.N + self.given

    @property
    def coefficients(self) -> int:
        """What the network gave, a vector for each function of time."""
        return self.vectors * (len(self.network.weights.functions) if self.network else 0)

    @property
    def snapshots(self) -> int:
        """Displacements and velocities of all outputs."""
        return 2 * self.vectors * len(self.config.output.redshifts)

    @property
    def references(self) -> int:
        """Number of reference runs."""
        return 0 if self.config.reference is None else 1

    @property
    def kept(self) -> int:
        """What is left of a run when it has been integrated: its outputs and its frame."""
        return self.snapshots * (1 + self.references) + self.psi + self.coefficients

    @property
    def network_pass(self) -> int:
        """Activations of the network on top of initial conditions."""
        if self.network is None:
            return 0
        return self.conditions + self.network.bytes_per_particle * self.N

    @property
    def state(self) -> int:
        """The residual with what steps remember, and what outputs in between take."""
        several = len(self.config.output.redshifts) > 1 or self.config.light_cone is not None
        vectors = 3 + (2 if several else 0)
        if self.fitted_steps:
            vectors += 1 + (4 if several else 0)
        densities = 4 * self.N if self.fitted_steps else 0
        sub_steps = SUB_STEP_BYTES * self.N if self.sub_steps else 0
        fields = read_out_memory(self.config.particles, self.ranks) if self.read_out else 0
        passing = max(sub_steps, fields)  # the ones have gone when the others come
        return self.vectors * vectors + densities + passing + cone_memory(self.config, self.N)

    @property
    def scratch(self) -> int:
        """What a force or a step takes for itself."""
        config = self.config
        if config.method == "nbody":
            return NBODY_BYTES * self.N
        error = 0 if config.method in WITHOUT_ESTIMATE else 8 * self.N
        return error + (P3M_BYTES * self.N if config.solver == "p3m" else 0)

    @property
    def integration(self) -> int:
        """All while particles are followed; the last output is made of the state."""
        followed = self.conditions + self.coefficients + self.state + self.mesh + self.scratch
        return followed + self.snapshots * (1 + self.references) - 2 * self.vectors

    @property
    def reference(self) -> int:
        """All while N-body is followed beside the run's outputs; other references take less than
        the run."""
        options = self.config.reference
        if options is None or options.method != "nbody":
            return 0
        return self.kept + self.conditions + self.state + 2 * self.mesh + NBODY_BYTES * self.N

    @property
    def report(self) -> int:
        """Particles, a mesh and pictures of the report; displacements are the frame's."""
        if not self.config.output.report:
            return 0
        drawn = self.vectors + self.mesh + REPORT_OWN * 2**20
        return self.kept + self.conditions - self.psi + drawn

    @property
    def analysis(self) -> int:
        """Spectra of the run, of its frame alone and of its reference."""
        alone = self.vectors if self.config.frame != "rest" else 0
        return self.kept + alone + self.vectors + self.mesh * (1 + self.references)

    @property
    def statistics(self) -> int:
        """Statistics of all particles, where they are asked for."""
        config = self.config
        return (
            statistics_memory(config.particles**3, config.mesh) if config.output.statistics else 0
        )


def mesh_bytes(cells: int, planes: int) -> int:
    """Bytes of so many planes of the force's mesh, and of its ghost planes."""
    return 4 * cells * (cells + 2) * (planes + GHOST_PLANES)


def disk_space(config: Config, ranks: int = 1) -> int:
    """Bytes that are on the disk at once, but for a light cone's own files: of two checkpoints
    while the second is written, or of the last one, which goes when all results are there, with
    snapshots and report."""
    N, outputs = config.particles**3, len(config.output.redshifts)
    snapshots = 32 * N * outputs * config.output.snapshots  # position, velocity, id
    report = REPORT_DISK * outputs * config.output.report
    saved = checkpoint_disk(config, ranks)
    return saved + max(snapshots + report, saved)


def checkpoint_disk(config: Config, ranks: int = 1) -> int:
    """Bytes of the largest checkpoint of all ranks: that of the run with its light cone, or of its
    reference, with the run's outputs beside it."""
    N, outputs, cone = config.particles**3, len(config.output.redshifts), config.light_cone
    early = outputs > 1 or cone is not None
    run = 24 * outputs * N + _remembered(config.method, early) * N
    if cone is not None:
        shells, most = filled_at_once(config, cone)
        run += 24 * N + ranks * shells * map_bytes(cone) + BYTES * most * cone.particles
    if config.reference is None:
        return run
    return max(run, 48 * outputs * N + _remembered(config.reference.method, early) * N)


def _remembered(method: str, early: bool) -> int:
    """Bytes that a method's kick remembers of each particle in a checkpoint: forces of N-body; of
    fitted steps a vector, and where they were seen if there are outputs before the last."""
    if method in ("fitted", "coca"):
        return 12 + FITTED_SAVED + (24 if early else 0)
    return 24 if method == "nbody" else 0


def map_bytes(cone: LightConeConfig) -> int:
    """Bytes of a shell's maps."""
    return 12 * cone.n_side**2 * (12 if cone.momentum else 4)


def cone_memory(config: Config, particles: int) -> int:
    """Bytes of a light cone: particles at two times with their slopes and those that the second is
    made of, a batch of crossings, and the maps of the shells that are filled at once, with the sum
    over ranks of one."""
    cone = config.light_cone
    if cone is None:
        return 0
    maps = map_bytes(cone)
    share = particles / config.particles**3
    shells, most = filled_at_once(config, cone)
    crossed = int(CROSSED * share * most) if cone.particles else 0
    return 96 * particles + 100 * CANDIDATES + (2 + shells) * maps + crossed


def filled_at_once(config: Config, options: LightConeConfig) -> tuple[int, int]:
    """Shells that a light cone fills at once at most, and particles of a homogeneous universe in
    them."""
    cone = build_cone(options, config.build_cosmology(), config.box_size)
    volumes = footprint_of(options).share * 4.0 / 3.0 * np.pi * np.diff(cone.chi**3)
    filling = cone.filling()
    most = max(volumes[numbers].sum() for numbers in filling)
    return max(map(len, filling)), int(most * (config.particles / config.box_size) ** 3)


def start_memory(config: Config, ranks: int = 1) -> int:
    """Peak bytes of each rank that makes initial conditions and writes them."""
    N = config.particles**3 // ranks
    held = 24 * N if config.initial_conditions.snapshot else 0
    written = 28 * N + 36 * N  # modes and displacements; positions, displacements and velocities
    own = OWN_MEMORY + (MPI_MEMORY if ranks > 1 else 0)
    return own * 2**20 + held + max(_made(N, held), written)


def _made(particles: int, held: int) -> int:
    """Bytes while initial conditions are made, beside what is held of a snapshot."""
    return 56 * particles + (from_snapshot.BYTES if held else 0)


def statistics_memory(particles: int, mesh: int) -> int:
    """Bytes of the arrays of `coca.statistics.snapshot_tables`, which one rank has of all
    particles: an estimate from their shapes, generous and not measured."""
    return STATISTICS_PARTICLE * particles + STATISTICS_CELL * mesh**3
