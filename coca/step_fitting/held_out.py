"""What fitted steps leave to be desired on simulations that the fit has not seen."""

from __future__ import annotations

import numpy as np
import torch

from coca.integration.fitted_table import FittedCount
from coca.step_fitting.differentiable import SHELL
from coca.step_fitting.losses import positions, real_spectra
from coca.step_fitting.runs import FitRun

REPORTED = (1 / 16, 1 / 3, 2 / 3, 1.0, 1.25)
"""Wavenumbers over the Nyquist wavenumber of the particle lattice."""


def describe_errors(runs: list[FitRun], table: FittedCount) -> str:
    """Mean and scatter over runs, in a line for each kind of error."""
    left = np.array([errors_of(run, table) for run in runs])
    k = " / ".join(f"{share:.2g}" for share in REPORTED)
    rows = [
        (f"P - 1 [%] at k / k_Ny = {k}", left[:, : len(REPORTED)]),
        ("1 - r [%]", left[:, len(REPORTED) : -2]),
        ("size, dispersion of haloes - 1 [%]", left[:, -2:]),
    ]
    lines = []
    for name, values in rows:
        cells = zip(np.nanmean(values, axis=0), np.nanstd(values, axis=0), strict=True)
        lines.append(f"  {name}: " + ", ".join(f"{m:+.2f} ({s:.2f})" for m, s in cells))
    return "\n".join(lines)


def errors_of(run: FitRun, table: FittedCount) -> list[float]:
    """P - 1 and 1 - r at `REPORTED`, then mean size and dispersion of haloes, in per cent of the
    truth's, after a run with fitted steps."""
    run.follow(table)
    if table.network is not None:
        conditions, share = table.conditions(run.density), table.share(run.density)
        run.lattice_fields().move(table.network, conditions, share, run.state)
    x = positions(run, torch.from_numpy(run.state.e))
    found = real_spectra(run, x)
    nyquist, last = run.truth.domain.n_side / 2 / SHELL, found.r.shape[1] - 1
    at = [min(round(share * nyquist), last) for share in REPORTED]
    haloes = [np.nan, np.nan]
    if run.true_haloes is not None:
        v = torch.from_numpy(run.frame.velocity(run.D_end) + run.state.w)
        ratios = run.true_haloes.sizes(x), run.true_haloes.dispersions(v)
        haloes = [float(ratio.mean()) - 1 for ratio in ratios]
    values = [*(found.ratio[0, at] - 1).tolist(), *(1 - found.r[0, at]).tolist(), *haloes]
    return [100 * value for value in values]
