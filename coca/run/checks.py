"""What a configuration needs of this machine and its files, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coca.atomic_files import check_directory, check_disk
from coca.configuration.run import Config, first_output
from coca.configuration.sections import MOST_SHELLS, LightConeConfig
from coca.cosmology import linear_power
from coca.cosmology.background import scale_factor
from coca.cosmology.distance import comoving_distance
from coca.errors import ConfigError
from coca.gravity.p3m import check_lengths
from coca.initial_conditions import from_snapshot, linear_fields
from coca.integration.error_estimate import GOOD_TO
from coca.integration.fitted_table import FittedSteps
from coca.integration.linear_density import mean_linear_density
from coca.light_cone.cone_particles import BYTES
from coca.light_cone.geometry import REDSHIFT_REACH, build_cone, footprint_of
from coca.light_cone.healpix import check_healpy
from coca.parallel.domain import check_ranks
from coca.parallel.machine import choose_threads
from coca.parallel.ranks import Ranks
from coca.run.memory import disk_space, map_bytes
from coca.run.method import P3M_MESH, Method

if TYPE_CHECKING:
    from coca.emulator.user_emulator import OwnEmulator


@dataclass(frozen=True)
class Start:
    """What a run starts from, checked."""

    threads: int
    """Threads of every rank."""
    redshift: float
    warnings: tuple[str, ...] = ()


def check_start(config: Config, ranks: Ranks) -> Start:
    """Check what initial conditions need of a configuration, this machine and its files.

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted; on this rank only.
    """
    check_ranks(config.particles, ranks.size, f"particles = {config.particles}")
    threads = choose_threads(config.threads, ranks.node)
    linear_power.check_source(config.linear_power.source, config.linear_power.file)
    if config.initial_conditions.file is not None:
        linear_fields.check_file(
            config.initial_conditions.file, config.particles, config.initial_conditions.f_NL
        )
    warnings = linear_power.neutrino_warnings(config.build_cosmology())
    if config.linear_power.file is not None:
        cosmology, file = config.build_cosmology(), config.linear_power.file
        warnings += linear_power.table_warnings(cosmology, file)
    return Start(threads, _start_redshift(config), tuple(warnings))


def check_output(config: Config, ranks: Ranks) -> None:
    """Raise ConfigError if the output directory, where there is one, cannot be written or made, or
    has no space; that of a light cone is in `check_light_cone`."""
    # others may see a directory late that the first rank makes
    if ranks.rank == 0 and config.output.directory is not None:
        check_directory("output.directory", config.output.directory)
        if config.light_cone is not None:
            return  # whose files are counted with the others
        check_disk("output.directory", config.output.directory, disk_space(config, ranks.size))


def cone_volume(config: Config, cone: LightConeConfig) -> tuple[float, float]:
    """The radius of a light cone in Mpc/h, and its volume over that of the box."""
    chi = float(comoving_distance(config.build_cosmology(), scale_factor(cone.z_max)))
    return chi, footprint_of(cone).share * 4.0 / 3.0 * math.pi * chi**3 / config.box_size**3


def check_light_cone(config: Config, start: float, ranks: Ranks) -> None:
    """Raise ConfigError if a light cone begins before the run, or its files do not fit the disk."""
    cone = config.light_cone
    if cone is None:
        return
    if cone.z_max > first_output(start):
        raise ConfigError(
            f"light_cone.z_max: found {cone.z_max:g}, wanted it below {start:.6g}, where the run "
            "starts"
        )
    if cone.redshift_space:
        _check_redshift_space(config, cone, start)
    if cone.fits:
        check_healpy("light_cone.fits")
    directory = config.output.needed_directory()
    shells = build_cone(cone, config.build_cosmology(), config.box_size).shells
    if shells > MOST_SHELLS:
        raise ConfigError(
            f"light_cone.every: found {cone.every:g} Mpc/h, which makes {shells} shells, wanted at "
            f"most {MOST_SHELLS}"
        )
    needed = disk_space(config, ranks.size) + shells * map_bytes(cone) * (1 + cone.fits)
    keys = "output.directory, light_cone.n_side, shells"
    wanted = "a lower n_side, fewer shells or fewer outputs"
    if cone.particles:
        needed += int(BYTES * cone_volume(config, cone)[1] * config.particles**3)
        keys, wanted = "light_cone.particles", "a lower z_max, a smaller footprint or maps alone"
    if ranks.rank == 0:
        check_disk(keys, directory, needed, wanted)


def _check_redshift_space(config: Config, cone: LightConeConfig, start: float) -> None:
    """Raise ConfigError if the run does not follow particles that may be seen in the shells from
    beyond them, on either side."""
    near, far = build_cone(cone, config.build_cosmology(), config.box_size).z_passed
    why = f"{REDSHIFT_REACH:g} Mpc/h beyond the shells, for light_cone.redshift_space"
    if far > first_output(start):
        raise ConfigError(
            f"light_cone.z_max: found {cone.z_max:g}, wanted the run, which starts at {start:.6g}, "
            f"to start before z = {far:.6g}, {why}"
        )
    if config.output.redshifts[-1] > near:
        raise ConfigError(
            f"output.redshifts: found {config.output.redshifts[-1]:g} last, wanted the run to go "
            f"on to z = {near:.6g}, {why}"
        )


def check_pairs(config: Config) -> None:
    """Raise ConfigError if P3M cannot serve the run or its reference."""
    if config.solver == "p3m":
        check_lengths(config.box_size, config.mesh, config.softening)
    elif config.reference is not None and config.reference.method == "nbody":
        check_lengths(config.box_size, P3M_MESH * config.particles, config.softening)


def _start_redshift(config: Config) -> float:
    """Redshift of the start, of a snapshot that has been checked where there is one."""
    options = config.initial_conditions
    if options.snapshot is None:
        return options.own_start
    redshift = from_snapshot.check_header(config, options.snapshot).redshift
    if config.output.redshifts[0] > first_output(redshift):
        raise ConfigError(
            f"output.redshifts: found {config.output.redshifts[0]}, wanted all below "
            f"{redshift:.6g}, that of initial_conditions.snapshot"
        )
    return redshift


def check_knots(config: Config, own: OwnEmulator) -> None:
    """Raise ConfigError if a user's emulator does not serve the method, or the last output."""
    D_end = float(config.build_cosmology().D1(scale_factor(config.output.redshifts[-1])))
    if config.frame != "emulator":
        raise ConfigError(
            f"method: found {config.method}, wanted coca with an emulator of your own"
        )
    if own.knots[-1] < D_end - 1e-6:
        raise ConfigError(
            f"emulator: found knots to D = {own.knots[-1]:g}, wanted them to the last output at "
            f"{D_end:.4g}"
        )


def check_tolerance(config: Config, method: Method) -> None:
    """Raise ConfigError for a tolerance below what is left with all numbers of forces there are, by
    more than the factor to which the estimate is good."""
    table = method.table
    if config.tolerance is None or table is None or table.truth != "nbody":
        return  # explicit kicks take any number of forces and converge
    cosmology, source = config.build_cosmology(), config.linear_power.source
    if not linear_power.is_at_hand(cosmology, source):
        source = "eisenstein_hu"
    power = linear_power.linear_power(cosmology, source, config.linear_power.file)
    D_end = float(cosmology.D1(scale_factor(config.output.redshifts[-1])))
    cell = config.box_size / config.particles
    least = cell * table.least_error(mean_linear_density(power, cell, D_end)) / GOOD_TO
    if config.tolerance < least:
        raise ConfigError(
            f"tolerance: found {config.tolerance:g} Mpc/h, wanted {least:.2g} or more: for "
            f"particles {cell:g} Mpc/h apart at z = {config.output.redshifts[-1]:g} no number of "
            f"forces up to {table.counts[-1]}, the most of method: {config.method}, comes nearer "
            "to N-body; method: nbody is its truth, and smaller spacings come nearer"
        )


def table_warnings(config: Config, table: FittedSteps, start: float) -> list[str]:
    """Lines on what the fit of a table has not seen, and on outputs that it does not read out."""
    cosmology = config.build_cosmology()
    D_end = float(cosmology.D1(scale_factor(config.output.redshifts[-1])))
    cell = config.box_size / config.particles
    warnings = table.fitted.warnings(cell, cosmology, D_end, start)
    count, outputs = config.force_evaluations, config.output.redshifts
    early = len(outputs) > 1 or config.light_cone is not None
    if early and (count == "auto" or len(table.shorter(count)) < count - 1):
        warnings.append(
            "output.redshifts: of this table only the last output is fitted to the power and to "
            "haloes; before, haloes are too dense (docs/steps.md)"
        )
    return warnings


def thread_warnings(threads: int, ranks: Ranks) -> list[str]:
    """A line if the ranks of a machine have more threads than cores."""
    if ranks.node.cores >= 1 and threads <= max(1, math.ceil(ranks.node.cores)):
        return []
    return [
        f"threads: {threads} for each of {ranks.node.ranks} ranks on a machine that has "
        f"{ranks.node.cores:.2g} cores for each; they will be in each other's way"
    ]
