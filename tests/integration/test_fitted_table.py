import numpy as np
import pytest

from coca.errors import FileError
from coca.integration import fitted_table, schemes
from coca.integration.fitted_table import CLASSES, MATRIX, FittedCount, FittedSteps, shipped
from coca.integration.linear_density import LinearDensity


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


def test_table_survives_its_file(table, tmp_path):
    path = tmp_path / "table.safetensors"
    table.save(path)
    again = FittedSteps.load(path)
    assert again.counts == table.counts and again.fitted == table.fitted
    assert again.with_substeps == table.with_substeps == [1, 2, 3, 4, 5, 6]
    assert again.frame == table.frame == "lpt" and again.truth == table.truth == "nbody"
    for count in table.counts:
        found, wanted = (t.by_count[count].tensors() for t in (again, table))
        assert found.keys() == wanted.keys()
        for name, tensor in found.items():
            np.testing.assert_array_equal(tensor, wanted[name])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"table: cannot use"):
        FittedSteps.load(path)
    with pytest.raises(FileError, match=r"table: cannot use"):
        FittedSteps.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": np.array([1.0, 0.0])}, r"nodes\.1: wanted increasing values"),
        ({"nodes": np.array([0.0, np.nan])}, "values that are not finite"),
        ({"matrices": np.zeros((2, 2))}, r"matrices\.1: found shape \(2, 2\), wanted"),
        (
            {"fractions": np.array([0.0, 0.5, 1.0])},
            r"fractions\.1: found shape \(3,\), wanted \(2,\)",
        ),
        ({"fractions": np.array([1.0, 0.0])}, r"fractions\.1: wanted increasing values"),
        ({"substep_threshold": -1.0}, r"substep_threshold\.1: .*wanted a positive value"),
        ({"substep_threshold": np.nan}, r"substep_threshold\.1: .*wanted a positive value"),
        ({"residuals": np.zeros(3)}, r"residuals\.1: found shape \(3,\), wanted \(1, 2\)"),
        ({"errors": np.zeros(3)}, r"errors\.1: found shape \(3,\), wanted \(2,\)"),
        ({"error_fit": np.ones(3)}, r"error_fit\.1: found shape \(3,\), wanted \(2,\)"),
    ],
)
def test_tables_that_are_none_say_why(table, tmp_path, changes, message):
    parts = {
        "nodes": np.array([0.0, 1.0]),
        "fractions": np.array([0.0, 1.0]),
        "matrices": np.zeros((1, 2, *CLASSES, *MATRIX)),
        "residuals": np.zeros((1, 2)),
        "errors": np.zeros(2),
        "error_fit": np.ones(2),
    } | changes
    check_refused(
        tmp_path, FittedSteps("lpt", "nbody", table.fitted, {1: FittedCount(**parts)}), message
    )


def test_tables_without_all_parts_say_what_is_missing(table, tmp_path, monkeypatch):
    check_refused(tmp_path, FittedSteps("lpt", "nbody", table.fitted, {}), "no matrices")
    monkeypatch.delitem(fitted_table.PARTS, "errors")
    table.save(tmp_path / "table.safetensors")
    monkeypatch.undo()
    with pytest.raises(FileError, match=r"table: .*errors\.1: missing"):
        FittedSteps.load(tmp_path / "table.safetensors")


def test_a_part_that_no_run_would_follow_is_refused(table, tmp_path, monkeypatch):
    """As tables of before have it, whose steps were fitted together with it."""
    own = FittedCount.tensors
    monkeypatch.setattr(FittedCount, "tensors", lambda s: own(s) | {"heat": np.zeros((11, 5))})
    check_refused(tmp_path, table, r"heat\.1: found, wanted no such part")


def check_refused(directory, table, message):
    table.save(directory / "table.safetensors")
    with pytest.raises(FileError, match=rf"table: .*{message}"):
        FittedSteps.load(directory / "table.safetensors")


def test_residuals_of_the_fit_belong_to_their_steps(table, cosmology):
    """On the fitted steps the stored values, and the same function of D on others."""
    six = table.by_count[6]
    fitted = schemes.residual(cosmology, schemes.step_boundaries(0.06, 1.0, six.fractions))
    H = np.array([step.D1 - step.D0 for step in fitted])
    node = LinearDensity(six.nodes[1], 0.0, 1.0)
    np.testing.assert_allclose(
        H**2 * six.residual(fitted, node),
        six.residuals[:, 1],
        rtol=1e-6,
    )
    uniform = schemes.residual(cosmology, np.linspace(0.06, 1.0, 41))
    most = table.by_count[table.counts[-1]]
    s = most.residual(uniform, node)
    assert len(s) == 40 and s.min() > 0
    own = schemes.residual(cosmology, schemes.step_boundaries(0.06, 1.0, most.fractions))
    assert s.max() <= most.residual(own, node).max() * 1.001
