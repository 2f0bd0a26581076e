"""Fit of the steps of `coca.integration.fitted_kick` on simulations: least squares, but for the last step's row for
e, which `coca.step_fitting.density` fits to the density."""

from __future__ import annotations

import numpy as np
import torch

from coca.configuration.fitting import SUB_STEPPED, FitConfig
from coca.integration import schemes
from coca.integration.fitted_table import (
    FittedRange,
    FittedSteps,
    hats,
)
from coca.step_fitting.density import fit_density
from coca.step_fitting.least_squares import least_squares
from coca.step_fitting.runs import FrameOf, Member, Report, make_members


def fit(
    config: FitConfig,
    threads: int,
    frame_of: FrameOf,
    report: Report = print,
    before: FittedSteps | None = None,
) -> FittedSteps:
    """Run the simulations of a configuration and fit numbers of steps.

    Parameters
    ----------
    config : FitConfig
    threads : int
    frame_of : callable
        Gives the frame of a `Truth`.
    report : callable
        Gets a line of progress.
    before : FittedSteps, optional
        Has the numbers of steps that are not in `counts` of the configuration.
    """
    torch.set_num_threads(threads)
    members = make_members(config, threads, frame_of, report)
    values = [member.nonlinearity for member in members]
    nodes = np.linspace(min(values), max(values), config.nodes)
    for member in members:
        member.weights = hats(nodes, member.nonlinearity).astype(np.float32)
    table = before or FittedSteps({}, {}, {}, {}, {}, {}, {}, FittedRange.of(config), config.frame)
    for count in config.counts or range(1, config.force_evaluations + 1):
        table.nodes[count], table.fractions[count] = nodes, edge_fractions(count, config)
        table.phases.pop(count, None)
        phase = phase_of(count, config)
        if phase is not None:
            table.phases[count] = phase
        table.matrices[count], table.residuals[count] = fit_count(
            members, table.fractions[count], phase, config
        )
        left = [member.error(member.D_end) for member in members]
        table.errors[count] = node_errors(members, left)
        measured = [float(np.sqrt(np.mean(np.square(member.errors)))) for member in members]
        exponent, offset = np.polyfit(np.log(measured), np.log(left), 1)
        table.error_fits[count] = np.array([np.exp(offset), exponent])
        report(f"{count} force evaluations: rms error {np.mean(left):.3f} Mpc/h")
    return table


def phase_of(count: int, config: FitConfig) -> float | None:
    """Squared phase beyond which particles of `count` steps have sub-steps, if they have."""
    return config.phases.get(count, config.phase) if count in SUB_STEPPED else None


def edge_fractions(count: int, config: FitConfig) -> np.ndarray:
    """Edges of `count` steps, those of the configuration or (i/n)^p.

    Few steps are best shorter late, where haloes are, the less so with sub-steps in these; many
    are best uniform.
    """
    if count in config.edges:
        return np.array([0.0, *config.edges[count], 1.0])
    if phase_of(count, config) is not None:
        return schemes.power_fractions(count, 0.75)
    return schemes.power_fractions(count, min(max(0.7, 0.1 + 0.075 * count), 1.0))


def fit_count(
    members: list[Member], fractions: np.ndarray, phase: float | None, config: FitConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Matrices of all steps between `fractions`, with sub-steps beyond `phase`, and the residuals
    that they met."""
    count = len(fractions) - 1
    for member in members:
        member.start(fractions, phase)
    matrices, residuals = [], []
    for i in range(count):
        for member in members:
            member.evaluate(member.steps[i])
        moments = [member.moments(member.steps[i]) for member in members]
        M = least_squares(moments, [member.weights for member in members])
        if i == count - 1:
            M = fit_density(members, moments, M, config)
        for member in members:
            member.advance(member.steps[i], M)
        matrices.append(M)
        residuals.append(largest_residuals(members))
    return np.array(matrices, np.float32), np.array(residuals, np.float32)


def largest_residuals(members: list[Member]) -> np.ndarray:
    """Largest of the last step's residuals near each node."""
    values = np.array([member.residuals[-1] for member in members])
    near = np.array([member.weights for member in members]).T > 0
    return np.array([values[row].max() if row.any() else values.max() for row in near])


def node_errors(members: list[Member], left: list[float]) -> np.ndarray:
    """Rms errors (Mpc/h) over the spacing on the nodes, by least squares; none below the least."""
    errors = np.array(left) / [member.truth.domain.cell for member in members]
    weights = np.array([member.weights for member in members])
    return np.maximum(np.linalg.lstsq(weights, errors, rcond=None)[0], errors.min())
