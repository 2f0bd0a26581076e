"""How far to trust a run: the error that is left, estimated from the residual accelerations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.config import Config
from coca.integrate import Evaluation

CALIBRATION = 1.0
"""True rms error over `error_rms`, fitted by benchmarks/trust.py; see docs there."""


class Trust(NamedTuple):
    """The estimate and how to say it."""

    error: float | None
    """Estimated rms position error per component that is left, Mpc/h; None if unknown."""
    statement: str


def estimate_error(config: Config, evaluations: list[Evaluation]) -> Trust:
    """Estimate the remaining rms position error of a run.

    The residual acceleration s of a particle stands for a displacement s / kappa where the
    step does not resolve the local frequency, and s (H/2)^2 where it does
    (`Evaluation.error_rms`); what the kicks leave of it is proportional to that.
    """
    if not evaluations:
        why = "no force was evaluated" if config.force_evaluations == 0 else "velocity kicks"
        return Trust(None, f"no error estimate ({why}); compare with a reference run")
    errors = np.array([evaluation.error_rms for evaluation in evaluations])
    error = float(CALIBRATION * np.sqrt(np.mean(errors**2) / 3.0))
    return Trust(
        error,
        f"estimated remaining error {error:.2g} Mpc/h rms per component, good to a factor of 2 "
        f"(residual acceleration {evaluations[-1].residual_rms:.3g} Mpc/h at "
        f"D = {evaluations[-1].D:.2f})",
    )
