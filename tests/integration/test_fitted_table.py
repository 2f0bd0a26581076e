import numpy as np
import pytest

from coca.errors import FileError
from coca.integration import schemes
from coca.integration.fitted_table import CLASSES, MATRIX, FittedSteps, shipped


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def test_table_survives_its_file(table, tmp_path):
    path = tmp_path / "table.safetensors"
    table.save(path)
    again = FittedSteps.load(path)
    assert again.counts == table.counts and again.fitted == table.fitted
    assert again.substep_thresholds == table.substep_thresholds
    assert again.frame == table.frame == "lpt"
    for count in table.counts:
        np.testing.assert_array_equal(again.nodes[count], table.nodes[count])
        np.testing.assert_array_equal(again.matrices[count], table.matrices[count])
        np.testing.assert_array_equal(again.residuals[count], table.residuals[count])
        np.testing.assert_array_equal(again.errors[count], table.errors[count])
        np.testing.assert_array_equal(again.error_fits[count], table.error_fits[count])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"integrator\.table: cannot use"):
        FittedSteps.load(path)
    with pytest.raises(FileError, match=r"integrator\.table: cannot use"):
        FittedSteps.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": {1: [1.0, 0.0]}}, r"nodes\.1: wanted increasing values"),
        ({"nodes": {1: [0.0, np.nan]}}, "values that are not finite"),
        ({"matrices": {}}, "no matrices"),
        ({"matrices": {1: np.zeros((2, 2))}}, r"matrices\.1: found shape \(2, 2\), wanted"),
        ({"fractions": {1: [0.0, 0.5, 1.0]}}, r"fractions\.1: found shape \(3,\), wanted \(2,\)"),
        ({"fractions": {1: [1.0, 0.0]}}, r"fractions\.1: wanted increasing values"),
        ({"substep_thresholds": {1: -1.0}}, "substep_thresholds: .*wanted positive values"),
        ({"substep_thresholds": {1: np.nan}}, "substep_thresholds: .*wanted positive values"),
        (
            {"substep_thresholds": {1: 0.2, 2: 0.2}},
            r"substep_thresholds: found \[1, 2\], wanted some of \[1\]",
        ),
        ({"residuals": {1: np.zeros(3)}}, r"residuals\.1: found shape \(3,\), wanted \(1, 2\)"),
        ({"errors": {1: np.zeros(3)}}, r"errors\.1: found shape \(3,\), wanted \(2,\)"),
        ({"error_fits": {1: np.ones(3)}}, r"error_fits\.1: found shape \(3,\), wanted \(2,\)"),
    ],
)
def test_tables_that_are_none_say_why(table, tmp_path, changes, message):
    parts = {
        "nodes": {1: [0.0, 1.0]},
        "fractions": {1: [0.0, 1.0]},
        "matrices": {1: np.zeros((1, 2, *CLASSES, *MATRIX))},
        "substep_thresholds": {},
        "residuals": {1: np.zeros((1, 2))},
        "errors": {1: np.zeros(2)},
        "error_fits": {1: np.ones(2)},
    } | changes
    bad = FittedSteps(**parts, fitted=table.fitted, frame="lpt")
    bad.save(tmp_path / "table.safetensors")
    with pytest.raises(FileError, match=rf"integrator\.table: .*{message}"):
        FittedSteps.load(tmp_path / "table.safetensors")


def test_residuals_of_the_fit_belong_to_their_steps(table, cosmology):
    """On the fitted steps the stored values, and the same function of D on others."""
    fitted = schemes.residual(cosmology, schemes.step_boundaries(0.06, 1.0, table.fractions[6]))
    H = np.array([step.D1 - step.D0 for step in fitted])
    node = table.nodes[6][1]
    np.testing.assert_allclose(
        H**2 * table.residual(fitted, node, 6), table.residuals[6][:, 1], rtol=1e-6
    )
    uniform = schemes.residual(cosmology, np.linspace(0.06, 1.0, 41))
    most = table.counts[-1]
    s = table.residual(uniform, node, most)
    assert len(s) == 40 and s.min() > 0
    own = schemes.residual(cosmology, schemes.step_boundaries(0.06, 1.0, table.fractions[most]))
    assert s.max() <= table.residual(own, node, most).max() * 1.001
