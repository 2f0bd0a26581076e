"""How far to trust a run: the error that is left, estimated from the residual accelerations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from coca.integration.fitted_table import FittedCount
from coca.integration.kicks import Evaluation

AMPLITUDE, EXPONENT = 1.25, 0.85
"""Fit of the true rms error to the mean `error_rms` over PM, COLA and COCA runs with 2 to 16 force
evaluations, 2 Mpc/h apart; within a factor of two of all of them (docs/accuracy.md)."""
GOOD_TO = 2
"""Factor to which estimates are good."""


class Trust(NamedTuple):
    """The estimate and how to say it."""

    error: float | None
    """Estimated rms position error per component that is left, Mpc/h; None if unknown."""
    statement: str

    def excess(self, tolerance: float) -> float:
        """The error over a tolerance, Mpc/h; 0 if it is unknown."""
        return 0.0 if self.error is None else self.error / tolerance


OWN_FORCE = "converged steps of the same force"
"""What an error is against where no table says more."""
TRUTHS = {"nbody": "N-body", "bullfrog": OWN_FORCE}
"""What an error is against with a table of each truth."""


def estimate_error(
    evaluations: list[Evaluation], table: FittedCount | None, against: str = OWN_FORCE
) -> Trust:
    """Estimate the rms position error that is left after a run.

    The residual acceleration s of a particle stands for a displacement s / kappa where the
    step does not resolve the local frequency, and s (H/2)^2 where it does
    (`Evaluation.error_rms`). The error that the kicks leave follows its mean over evaluations,
    e, as AMPLITUDE e^EXPONENT (Mpc/h), which `python -m benchmarks accuracy` measures; fitted
    steps bring two numbers of their own for every number of evaluations.

    Parameters
    ----------
    evaluations : list of Evaluation
        Empty for velocity kicks and where no force was evaluated.
    table : FittedCount or None
        Where the steps were fitted.
    against : str
        What the error is a distance from, in words.
    """
    if not evaluations:
        why = "no force has measured a residual"
        return Trust(None, f"no error estimate ({why}); compare with a reference run")
    errors = np.array([evaluation.error_rms for evaluation in evaluations])
    amplitude, exponent = table.error_fit if table else (AMPLITUDE, EXPONENT)
    error = float(amplitude * np.sqrt(np.mean(errors**2) / 3.0) ** exponent)
    last = evaluations[-1]
    return Trust(
        error,
        f"estimated remaining error {error:.2g} Mpc/h rms per component against {against}, "
        f"good to a factor of {GOOD_TO} "
        f"(residual acceleration {last.residual_rms:.3g} Mpc/h at D = {last.D:.2f})",
    )
