"""The memory that a run takes: a model of its arrays, stage by stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coca.configuration.run import WITHOUT_ESTIMATE, Config
from coca.initial_conditions import from_snapshot
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
REPORT_OWN = 80
"""MiB of the libraries that draw, and of pictures."""
REPORT_DISK = 4 * 2**20
"""Bytes of a report's page and figures, for each output."""
STATISTICS_PARTICLE, STATISTICS_CELL = 140, 36
"""Bytes of statistics for each particle of the box and each cell of their mesh."""


def estimate_memory(
    config: Config,
    network: Network | None,
    fitted_steps: bool,
    sub_steps: bool = False,
    ranks: int = 1,
) -> int:
    """Peak bytes of each rank of a run: those of its largest stage, with the code's own."""
    own = (OWN_MEMORY + (NETWORK_OWN_MEMORY if network else 0)) * 2**20
    if ranks > 1:
        own += MPI_MEMORY * 2**20
    return own + max(stage_memory(config, network, fitted_steps, sub_steps, ranks).values())


def stage_memory(
    config: Config,
    network: Network | None,
    fitted_steps: bool,
    sub_steps: bool = False,
    ranks: int = 1,
) -> dict[str, int]:
    """Bytes of a rank's arrays in each stage; `python -m benchmarks runs` measures the sum."""
    N, plane = config.particles**3 // ranks, config.mesh * (config.mesh + 2)
    vectors, mesh = 12 * N, 4 * plane * (config.mesh // ranks + GHOST_PLANES)
    if ranks > 1:
        thickness = config.box_size / ranks
        mesh += int(min(1.0, DISPLACEMENT / thickness) * TRAVEL_BYTES * N) + 2 * SWAP_BYTES
    outputs, references = len(config.output.redshifts), 1 if config.reference else 0
    snapshots = 2 * vectors * outputs
    psi = 2 * vectors
    held = 2 * vectors if config.initial_conditions.snapshot else 0
    conditions = psi + 4 * N + held
    terms = len(network.weights.functions) if network else 0
    frame = psi + vectors * terms
    scratch = 0 if config.method in WITHOUT_ESTIMATE else 8 * N
    if config.method == "nbody":
        scratch = NBODY_BYTES * N
    elif config.solver == "p3m":
        scratch += P3M_BYTES * N
    state = 3 * vectors + (2 * vectors if outputs > 1 else 0)
    state += vectors + 4 * N if fitted_steps else 0
    state += 3 * vectors if fitted_steps and outputs > 1 else 0
    state += SUB_STEP_BYTES * N if sub_steps else 0
    state += cone_memory(config, N)
    integration = conditions + vectors * terms + state + mesh + scratch + snapshots - 2 * vectors
    kept = snapshots * (1 + references) + frame
    reference = kept + conditions + state + 2 * mesh + NBODY_BYTES * N
    if config.reference is None or config.reference.method != "nbody":
        reference = 0
    alone = vectors if config.frame != "rest" else 0
    report = kept + conditions - psi + vectors + mesh + REPORT_OWN * 2**20  # psi is the frame's
    if not config.output.report:
        report = 0
    wanted = config.output.statistics
    statistics = statistics_memory(config.particles**3, config.mesh) if wanted else 0
    return {
        "statistics": kept + statistics,
        "initial conditions": 56 * N + held + (from_snapshot.BYTES if held else 0),
        "network": conditions + network.bytes_per_particle * N if network else 0,
        "integration": integration + references * snapshots,
        "reference": reference,
        "report": report,
        "analysis": kept + alone + vectors + mesh * (1 + references),
    }


def disk_space(config: Config) -> int:
    """Bytes that are on the disk at once: of snapshots and report, or before them of the last
    checkpoint, which goes when they are there."""
    N, outputs = config.particles**3, len(config.output.redshifts)
    snapshots = 32 * N * outputs * config.output.snapshots  # position, velocity, id
    running = (24 + 24 * outputs * (1 if config.reference is None else 2)) * N
    report = REPORT_DISK * outputs * config.output.report
    return max(snapshots + report, running)


def cone_memory(config: Config, particles: int) -> int:
    """Bytes of a light cone: particles at two times with those that the second is made of, a batch
    of crossings, and the maps of a shell with their sum over ranks."""
    cone = config.light_cone
    if cone is None:
        return 0
    maps = 12 * cone.n_side**2 * (12 if cone.momentum else 4)
    return 72 * particles + 100 * CANDIDATES + 3 * maps


def start_memory(config: Config, ranks: int = 1) -> int:
    """Peak bytes of each rank that makes initial conditions and writes them."""
    N = config.particles**3 // ranks
    held = 24 * N if config.initial_conditions.snapshot else 0
    made = 56 * N + (from_snapshot.BYTES if held else 0)
    written = 28 * N + 36 * N  # modes and displacements; positions, displacements and velocities
    own = OWN_MEMORY + (MPI_MEMORY if ranks > 1 else 0)
    return own * 2**20 + held + max(made, written)


def statistics_memory(particles: int, mesh: int) -> int:
    """Bytes of the arrays of `coca.statistics.snapshot_tables`, which one rank has of all
    particles: an estimate from their shapes, generous and not measured."""
    return STATISTICS_PARTICLE * particles + STATISTICS_CELL * mesh**3
