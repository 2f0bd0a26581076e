"""The fit of `coca.integration.fitted_kick` on simulations: least squares, and for the last step
`coca.step_fitting.last_step`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from coca.configuration.fitting import SUB_STEPPED, FitConfig
from coca.integration import schemes
from coca.integration.fitted_table import FittedCount, FittedRange, FittedSteps, basis
from coca.integration.linear_density import LinearDensity
from coca.integration.read_out import ReadOutNetwork
from coca.step_fitting.held_out import describe_errors
from coca.step_fitting.last_step import fit_last_step
from coca.step_fitting.least_squares import least_squares
from coca.step_fitting.network import fit_network
from coca.step_fitting.runs import FitRun, FrameOf, Report, make_runs


def fit(
    config: FitConfig,
    threads: int,
    frame_of: FrameOf,
    report: Report = print,
    before: FittedSteps | None = None,
    as_they_come: bool = False,
) -> Iterator[FittedSteps]:
    """Run the simulations of a configuration and fit numbers of steps; the table after each.

    Parameters
    ----------
    config : FitConfig
    threads : int
    frame_of : callable
        Gives the frame of a `ReferenceRun`.
    report : callable
        Gets a line of progress.
    before : FittedSteps, optional
        Has the numbers of steps that are not in `counts` of the configuration.
    as_they_come : bool
        Whether to leave out simulations that are not there, instead of making them.
    """
    torch.set_num_threads(threads)
    runs = make_runs(config, threads, frame_of, report, as_they_come=as_they_come)
    nodes, ranges = spread([run.density for run in runs], config.nodes)
    for run in runs:
        run.weights = basis(nodes, ranges, run.density).astype(np.float32)
    held_out = make_runs(config, threads, frame_of, report, True, as_they_come)
    by_count = dict(before.by_count) if before else {}
    carried = FittedSteps.load(config.steps).by_count if config.steps else {}
    for count in config.counts or carried or range(1, config.force_evaluations + 1):
        if carried:
            start = network_to_start_from(by_count, count)
            by_count[count] = fit_seen(runs, carried[count], config, report, start)
        else:
            by_count[count] = fit_count(runs, nodes, ranges, count, config)
        left = by_count[count].errors.mean()
        report(f"{count} force evaluations: rms error {left:.3f} spacings")
        if held_out:
            report("held out:\n" + describe_errors(held_out, by_count[count]))
        fitted = FittedRange.of(config)
        yield FittedSteps(config.frame, config.truth, fitted, dict(by_count), config.refinement)


def spread(densities: list[LinearDensity], nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of ln(D_end sigma), and ranges (2, 2) of the slope and ln D_end."""
    values = [density.log_rms for density in densities]
    others = np.array([(density.slope, np.log(density.D)) for density in densities])
    ranges = np.column_stack([others.min(axis=0), others.max(axis=0)])
    return np.linspace(min(values), max(values), nodes), ranges


def network_to_start_from(by_count: dict[int, FittedCount], count: int) -> ReadOutNetwork | None:
    """The network of this number of steps, of a fit before, or of the nearest that has one."""
    near = sorted(by_count, key=lambda n: abs(n - count))
    return next((by_count[n].network for n in near if by_count[n].network is not None), None)


def threshold_of(count: int, config: FitConfig) -> float | None:
    """Squared phase beyond which particles of `count` steps have sub-steps, if they have."""
    usual = config.substep_threshold if count in SUB_STEPPED else None
    return config.substep_thresholds.get(count, usual)


def boundary_fractions(count: int, config: FitConfig) -> np.ndarray:
    """Boundaries of `count` steps, those of the configuration or (i/n)^p.

    Few steps are best shorter late, where haloes are, the less so with sub-steps in these; many
    are best uniform.
    """
    if count in config.boundaries:
        return np.array([0.0, *config.boundaries[count], 1.0])
    if config.exponent is not None:
        return schemes.power_fractions(count, config.exponent)
    if threshold_of(count, config) is not None:
        return schemes.power_fractions(count, 0.75)
    return schemes.power_fractions(count, min(max(0.7, 0.1 + 0.075 * count), 1.0))


def fit_count(
    runs: list[FitRun], nodes: np.ndarray, ranges: np.ndarray, count: int, config: FitConfig
) -> FittedCount:
    """The steps of `count` force evaluations, on nodes of ln(D_end sigma) and with tilts."""
    fractions, threshold = boundary_fractions(count, config), threshold_of(count, config)
    for run in runs:
        run.start(fractions, threshold)
    matrices, residuals = [], []
    for i in range(count):
        found = fit_step(runs, i, config)
        matrices.append(found)
        for run in runs:
            run.advance(run.steps[i], found)
        residuals.append(largest_residuals(runs))
    left = [run.error(run.D_end) for run in runs]
    return FittedCount(
        nodes,
        fractions,
        np.array(matrices, np.float32),
        np.array(residuals, np.float32),
        node_errors(runs, left),
        error_fit([run.estimate() for run in runs], left),
        threshold,
        ranges,
    )


def error_fit(estimates: list[float], left: list[float]) -> np.ndarray:
    """Amplitude and exponent (2,) of errors that are left over those that runs estimate."""
    exponent, offset = np.polyfit(np.log(estimates), np.log(left), 1)
    return np.array([np.exp(offset), exponent])


def fit_seen(
    runs: list[FitRun],
    carried: FittedCount,
    config: FitConfig,
    report: Report,
    start: ReadOutNetwork | None,
) -> FittedCount:
    """Steps that were fitted to what the mesh's force converges to, with a network that reads
    them out to the truth of the runs."""
    fitted, samples, network = fit_network(runs, carried, config, report, start)
    left = [s.error(network, fitted.share(s.run.density)) for s in samples]
    return replace(
        fitted,
        errors=node_errors(runs, left),
        error_fit=error_fit([sample.estimate for sample in samples], left),
    )


def fit_step(runs: list[FitRun], number: int, config: FitConfig) -> np.ndarray:
    """Matrices (K, *CLASSES, TARGETS, FEATURES) of the step that all runs have come to."""
    for run in runs:
        run.measure(run.steps[number])
    moments = [run.moments(run.steps[number]) for run in runs]
    matrices = least_squares(moments, [run.weights for run in runs])
    last = number == len(runs[0].steps) - 1
    return fit_last_step(runs, moments, matrices, config) if last else matrices


def largest_residuals(runs: list[FitRun]) -> np.ndarray:
    """Largest of the last step's residuals near each node."""
    values = np.array([run.last_residual() for run in runs])
    near = np.array([run.on_nodes for run in runs]).T > 0
    return np.array([values[row].max() if row.any() else values.max() for row in near])


def node_errors(runs: list[FitRun], left: list[float]) -> np.ndarray:
    """Rms errors (Mpc/h) over the spacing on the nodes, by least squares; none below the least."""
    errors = np.array(left) / [run.truth.domain.cell for run in runs]
    weights = np.array([run.on_nodes for run in runs])
    return np.maximum(np.linalg.lstsq(weights, errors, rcond=None)[0], errors.min())
