"""The files of a run: what `coca.run.simulation` computed, analysed and written."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from coca import __version__
from coca.configuration.run import Config
from coca.cosmology.amplitude import amplitude
from coca.errors import ConfigError, unwritable
from coca.files import conventions, snapshot_writer, tables
from coca.files.tables import RUN_RECORD
from coca.light_cone.cone_particles import particle_files
from coca.light_cone.shells import fits_path, shell_files
from coca.parallel.domain import Domain
from coca.parallel.machine import peak_memory, processor
from coca.parallel.ranks import Ranks
from coca.results.run_spectra import Measurement, measure_spectra
from coca.run.checks import Start
from coca.run.plan import Plan
from coca.run.progress import Progress
from coca.run.simulation import Simulation, initial_particles

LIBRARIES = (
    "numpy",
    "numba",
    "pyfftw",
    "torch",
    "h5py",
    "mpi4py",
    "camb",
    "pydantic",
    "safetensors",
)

INITIAL = "ics.hdf5"
"""Name of initial conditions."""


def write_results(plan: Plan, simulation: Simulation, progress: Progress) -> None:
    """Analyse a simulation and write what its configuration asks for.

    Raises
    ------
    FileError
        The output directory cannot be written.
    """
    config, clock, domain = plan.config, simulation.clock, simulation.domain
    directory = config.output.needed_directory()
    try:
        domain.once(lambda: _prepare(directory))
        with clock("analysis"):
            measurements = measure_spectra(simulation)
        with clock("output"):
            written = _write_tables(directory, plan, simulation, measurements)
        if config.light_cone is not None:
            written += domain.once(lambda: _shells(directory, domain.ranks.size))
        if config.output.statistics:
            with clock("statistics"):
                written += domain.once(lambda: _write_statistics(directory, plan))
        if config.output.report:
            with clock("report"):
                written += _write_report(directory, plan, simulation, measurements, written)
        record = run_record(plan, simulation, written)
        domain.once(lambda: tables.write_json(directory / RUN_RECORD, record))
    except OSError as error:
        raise unwritable(directory, error) from None
    progress.say(clock.table())
    for line in simulation.warnings:
        progress.say(f"warning: {line}")
    progress.say(f"trust: {simulation.run.trust.statement}")
    progress.say(f"wrote {', '.join([*written, RUN_RECORD])} in {directory}")


def _prepare(directory: Path) -> None:
    """Make the directory, without the record of an earlier run whose files are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RUN_RECORD).unlink(missing_ok=True)


def run_record(plan: Plan, simulation: Simulation, files: Sequence[str] = ()) -> dict:
    """Everything known of a run, as plain values; all ranks have a say."""
    ranks, source = plan.ranks, plan.config.linear_power.source
    peaks, sent = ranks.gather(peak_memory()), ranks.gather(dict(ranks.sent))
    start = Start(plan.threads, plan.redshift)
    network = [plan.network.kind, plan.network.precision] if plan.network else None
    return origin(plan.config, ranks, start, network) | {
        "amplitude": ranks.once(lambda: amplitude(simulation.cosmology, source))._asdict(),
        "method": simulation.run.method.describe(len(simulation.run.steps)),
        "force_evaluations": len(simulation.run.steps),
        "evaluations": [evaluation._asdict() for evaluation in simulation.run.evaluations],
        "residual_rms": [evaluation.residual_rms for evaluation in simulation.run.evaluations],
        "estimated_error": simulation.run.trust.error,
        "truth": simulation.run.method.truth(len(simulation.run.steps)),
        "trust": simulation.run.trust.statement,
        "warnings": simulation.warnings,
        "memory": {"estimated": plan.memory, "peak": max(peaks), "all_ranks": sum(peaks)},
        "bytes_sent": {what: max(s.get(what, 0) for s in sent) for what in sorted(sent[0])},
        "timings": dict(simulation.clock.seconds),
        "compilation": simulation.clock.compilation,
        "compilation_by_stage": dict(simulation.clock.compiled),
        "files": list(files),
    }


def origin(
    config: Config, ranks: Ranks, start: Start, network: Sequence[str] | None = None
) -> dict:
    """What was asked for, of which versions, and where, as plain values.

    Parameters
    ----------
    config : Config
    ranks : Ranks
    start : Start
    network : sequence of str, optional
        Kind of its device and precision.
    """
    installed: dict[str, str | None] = {"coca": __version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            installed[name] = None
    return {
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
        "start_redshift": start.redshift,
        "versions": installed,
        "machine": {
            "system": platform.platform(),
            "processor": processor(),
            "cores": os.cpu_count(),
            "ranks": ranks.size,
            "threads": start.threads,
            "network": network,
        },
        "command": sys.argv,
    }


def check_initial_conditions(config: Config, ranks: Ranks, overwrite: bool) -> None:
    """Check that initial conditions replace no file unasked; on the first rank.

    Raises
    ------
    ConfigError
        There is one, and it is not to be overwritten, not coca's, or what they are made from.
    """
    path = config.output.needed_directory() / INITIAL
    if ranks.rank or not path.exists():
        return
    if not overwrite:
        raise ConfigError(
            f"output.directory: found {path}, wanted --overwrite to replace it, or another "
            "directory"
        )
    source = config.initial_conditions.given
    if source is not None and source.resolve() == path.resolve():
        raise ConfigError(f"initial_conditions: found {path}, which --overwrite would replace")
    if not snapshot_writer.is_ours(path):
        raise ConfigError(
            f"output.directory: found {path}, which coca did not write, wanted another directory"
        )


def remove_initial_conditions(config: Config) -> None:
    """Remove those that have been checked, with their parts."""
    directory = config.output.needed_directory()
    for path in (directory / INITIAL, *directory.glob("ics.*.hdf5")):
        if path.is_file() and snapshot_writer.is_ours(path):
            path.unlink()


def write_initial_conditions(
    config: Config, ranks: Ranks, start: Start, for_swift: bool = False
) -> list[str]:
    """Write the particles that a run starts on as a snapshot; names of the files.

    Parameters
    ----------
    config : Config
    ranks : Ranks
    start : Start
        From `coca.run.checks.check_start`.
    for_swift : bool
        In SWIFT's units rather than Gadget's.

    Raises
    ------
    FileError
        The output directory cannot be written.
    """
    directory, cosmology = config.output.needed_directory(), config.build_cosmology()
    domain = Domain(config.box_size, config.particles, start.threads, ranks)
    snapshot = initial_particles(config, domain, start.redshift)
    try:
        domain.once(lambda: directory.mkdir(parents=True, exist_ok=True))
        return snapshot_writer.write_snapshot(
            directory / INITIAL,
            domain,
            cosmology,
            snapshot,
            origin(config, ranks, start),
            conventions.swift if for_swift else conventions.gadget,
        )
    except OSError as error:
        raise unwritable(directory, error) from None


def _write_tables(
    directory: Path, plan: Plan, simulation: Simulation, measurements: list[Measurement]
) -> list[str]:
    config, written = plan.config, []
    record = run_record(plan, simulation)
    for i, (snapshot, m) in enumerate(zip(simulation.snapshots, measurements, strict=True)):
        if config.output.snapshots:
            name = f"snapshot_{i:03d}.hdf5"
            written += snapshot_writer.write_snapshot(
                directory / name, simulation.domain, simulation.cosmology, snapshot, record
            )
        if config.output.spectra:
            title = f"coca power spectra at z = {m.redshift:.4g}, box {config.box_size:g} Mpc/h"
            columns = _columns(simulation, m)
            for name in (f"spectra_{i:03d}.txt", f"spectra_{i:03d}.csv"):
                write = partial(tables.write_table, directory / name, columns, title)
                simulation.domain.once(write)
                written.append(name)
    return written


def _columns(simulation: Simulation, m: Measurement) -> dict:
    power = "(Mpc/h)^3"
    columns = {
        "k": ("h/Mpc", m.run.k),
        "modes": ("count", m.run.modes),
        "P": (power, m.run.P_a),
        "P_linear": (power, m.linear),
    }
    if m.frame is not None:
        columns[f"P_{simulation.run.method.frame}"] = (power, m.frame.P_a)
    if simulation.reference:
        columns["P_reference"] = (power, m.run.P_b)
        columns["ratio_to_reference"] = ("1", m.run.ratio)
        columns["r_with_reference"] = ("1", m.run.r)
    return columns


def _write_report(
    directory: Path,
    plan: Plan,
    simulation: Simulation,
    measurements: list[Measurement],
    written: list[str],
) -> list[str]:
    from coca.results.report import write_report

    return write_report(directory, simulation, measurements, run_record(plan, simulation, written))


def _shells(directory: Path, ranks: int) -> list[str]:
    paths: list[Path] = []
    for i, shell in enumerate(shell_files(directory)):
        paths += [shell, fits_path(shell), *particle_files(directory, i, ranks)]
    return [str(path.relative_to(directory)) for path in paths if path.is_file()]


def _write_statistics(directory: Path, plan: Plan) -> list[str]:
    from coca.statistics.snapshot_tables import analyse

    config = plan.config
    names = [f"snapshot_{i:03d}" for i in range(len(config.output.redshifts))]
    paths = {name: directory / f"{name}.hdf5" for name in names}
    written = analyse(paths, directory, config.output, config.mesh, plan.threads)
    return [path.name for path in written.paths]
