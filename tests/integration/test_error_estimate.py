import numpy as np
import pytest

from coca.integration.error_estimate import AMPLITUDE, EXPONENT, TRUTHS, estimate_error
from coca.integration.fitted_table import FittedSteps, shipped
from coca.integration.kicks import Evaluation

EVALUATIONS = [Evaluation(0.3, 0.4, 2.0, 0.3), Evaluation(0.8, 0.4, 1.5, 0.4)]


def test_the_error_is_a_power_of_the_mean_residual():
    """The power of the rms over evaluations, per component, 0.5 / sqrt(6), by hand."""
    trust = estimate_error(EVALUATIONS, None)
    assert trust.error == pytest.approx(AMPLITUDE * (0.5 / np.sqrt(6)) ** EXPONENT)
    assert f"{trust.error:.2g} Mpc/h rms" in trust.statement
    assert "1.5 Mpc/h at D = 0.80" in trust.statement
    assert trust.excess(0.5 * trust.error) == pytest.approx(2.0)


def test_fitted_steps_bring_their_own_numbers():
    steps = FittedSteps.load(shipped("lpt")).by_count[2]
    amplitude, exponent = steps.error_fit
    found = estimate_error(EVALUATIONS, steps).error
    assert found == pytest.approx(amplitude * (0.5 / np.sqrt(6)) ** exponent)


def test_without_a_residual_nothing_is_known():
    trust = estimate_error([], None)
    assert trust.error is None and "no force has measured a residual" in trust.statement
    assert trust.excess(0.1) == 0.0


def test_the_statement_names_the_truth():
    assert "against N-body" in estimate_error(EVALUATIONS, None, TRUTHS["nbody"]).statement
    assert "of the same force" in estimate_error(EVALUATIONS, None).statement
