"""Tables of linear power of all kinds that users bring."""

import re

import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import LinearPower, linear_power, table_warnings
from coca.cosmology.power_table import continued, read_table, stretch
from coca.errors import FileError
from coca.run.plan import make_plan

K = np.geomspace(1e-3, 20, 600)
FAR = np.array([1e-4, 0.05, 0.5, 5.0, 50.0])


@pytest.fixture
def written(tmp_path, power):
    """Writes columns, by default of Eisenstein & Hu's power; the path."""

    def write(k=K, P=None, head="", form="%.10e", before=(), after=(), delimiter=" "):
        path = tmp_path / "power.txt"
        columns = [*before, k, power(k) if P is None else P, *after]
        np.savetxt(path, np.column_stack(columns), form, delimiter, header=head, comments="")
        return path

    return write


def same(path, cosmology, power, k=FAR, rtol=1e-5):  # of the spline between rows
    np.testing.assert_allclose(linear_power(cosmology, "table", path)(k), power(k), rtol=rtol)


@pytest.mark.parametrize(
    "options",
    [
        {"head": "k [h/Mpc] P(k)\n600 rows"},
        {"head": "# of a code", "delimiter": ", "},
        {"delimiter": ";"},
        {"delimiter": "\t"},
    ],
)
def test_headers_and_separators(written, cosmology, power, options):
    path = written(**options)
    if "600" in options.get("head", ""):  # is numbers and words, and no row
        assert len(read_table(path).k) == len(K)
    same(path, cosmology, power)


@pytest.mark.parametrize("between", [";", "\t", " ", "; "])
def test_decimal_commas_are_told(written, between):
    path = written(form="%.6f", delimiter=between)
    path.write_text(path.read_text().replace(".", ","))
    with pytest.raises(FileError, match=r"line 1: found decimal commas, '0,001000.*decimal points"):
        read_table(path)


def test_exponents_of_fortran(written, cosmology, power):
    path = written()
    path.write_text(path.read_text().replace("e", "D"))
    assert "D-03" in path.read_text()
    same(path, cosmology, power)


def test_columns_that_are_not_k_and_P(written, cosmology, power):
    path = written(before=[np.arange(len(K)) + 1])
    assert "first column numbers the rows" in read_table(path).remarks[0]
    same(path, cosmology, power)
    path = written(after=[np.ones(len(K))])
    assert "3 columns, of which the first two" in read_table(path).remarks[0]
    same(path, cosmology, power)
    np.savetxt(path, np.column_stack([np.arange(len(K)), power(K)]))
    with pytest.raises(FileError, match="the first of two columns numbers the rows"):
        read_table(path)


def test_rows_in_any_order_once_or_twice_and_at_zero(written, cosmology, power):
    order = np.random.default_rng(1).permutation(len(K))
    path = written(k=K[order])
    assert "are sorted" in read_table(path).remarks[0]
    same(path, cosmology, power)
    path = written(k=np.sort([*K, *K[5:9], 0.0]))
    table = read_table(path)
    np.testing.assert_allclose(table.k, K, rtol=1e-9)
    assert table.remarks == ()
    same(path, cosmology, power)


def test_zeros_at_the_end_are_no_power(written, cosmology, power):
    """Tables of warm dark matter in single precision end in zeros."""
    P = np.where(K > 8, 0.0, power(K))
    table = linear_power(cosmology, "table", written(P=P))
    first = K[K > 8][0]
    np.testing.assert_array_equal(table(np.array([first, 10.0, 1e3])), 0.0)
    same(written(P=P), cosmology, power, FAR[:-1], rtol=1e-3)
    assert 0 < table(0.9999 * first) < power(8.0)


def test_a_cut_is_continued_as_a_cut(written, cosmology, power):
    cut = LinearPower(K, power(K) * np.exp(-((K / 3) ** 2)))
    table = linear_power(cosmology, "table", written(P=cut.P))
    assert table(200.0) < 1e-20 * power(200.0)


def test_a_cut_of_low_amplitude_is_no_logarithm(written, cosmology, power):
    """Whose P leaves the shape by many factors of e, while P itself is nearly constant."""
    P = power(K) * np.exp(-(K**2))
    P = np.maximum(1e-6 * P / P.max(), 1e-30)
    table = linear_power(cosmology, "table", written(P=P))
    assert table.sigma(8.0) == pytest.approx(0.834)


@pytest.mark.parametrize("end", [0.3, 1.0, 5.0])
def test_one_wrong_row_at_the_end_is_nothing(written, cosmology, power, end):
    k = np.geomspace(1e-3, end, 200)
    P = power(k)
    P[-1] *= 1.01
    # the row itself, and the tail that starts on it
    same(written(k=k, P=P), cosmology, power, rtol=0.012)


@pytest.mark.slow
@pytest.mark.parametrize("end", [0.2, 1.0, 5.0])
def test_a_short_table_of_camb_is_continued(written, cosmology, end):
    pytest.importorskip("camb")
    camb = linear_power(cosmology, "camb")
    k = np.geomspace(1e-3, end, 300)
    path = written(k=k, P=camb(k))
    # by Eisenstein and Hu's shape, which is 3 % off CAMB's
    same(path, cosmology, camb, np.array([1e-4, 0.1, 2.0, 10.0, 40.0]), rtol=0.05)
    assert table_warnings(cosmology, path) == []


def test_a_table_in_megaparsecs_is_told(written, cosmology, power):
    h = cosmology.h
    path = written(k=K * h, P=power(K) / h**3)
    (line,) = table_warnings(cosmology, path)
    assert f"multiplied by {1 / h:.3g} to have this cosmology's shape" in line
    assert "a table in 1/Mpc and Mpc^3?" in line
    again = written(k=K * h, P=power(K) / h**3 / 4)
    assert "its sigma_8 is 0.417" in table_warnings(cosmology, again)[1]


@pytest.mark.parametrize(("first", "last"), [(1e-4, 20.0), (0.02, 0.3)])
def test_a_table_of_k_cubed_times_power_is_told(written, cosmology, power, first, last):
    k = np.geomspace(first, last, 300)
    path = written(k, k**3 * power(k) / (2 * np.pi**2))
    wanted = r"linear_power\.file: .*found the shape of Delta\^2\(k\).*wanted text, columns k"
    with pytest.raises(FileError, match=wanted):
        table_warnings(cosmology, path)
    with pytest.raises(FileError, match=wanted):
        linear_power(cosmology, "table", path)


@pytest.mark.parametrize("log", [np.log10, np.log])
@pytest.mark.parametrize(("first", "last"), [(1e-4, 20.0), (1e-3, 0.5)])
def test_logarithms_are_told(written, cosmology, power, log, first, last):
    """Of k, of P or of both; where k is itself and P above 1, by the shape."""
    k = np.geomspace(first, last, 300)
    P = power(k)
    for columns in ((log(k), log(P)), (log(k), P), (log(k[::-1]), log(P[::-1]))):
        lowest = f"{columns[0].min():.4g}"
        with pytest.raises(FileError, match=rf": found k from {lowest} to .*, as of logarithms; "):
            read_table(written(*columns))
    with pytest.raises(FileError, match=r"logarithm.*; wanted text, columns k \[h/Mpc\]"):
        linear_power(cosmology, "table", written(k, log(P)))


def test_logarithms_of_a_low_power_are_told(written, power):
    """Some below 0: P below 1 at large k."""
    k = np.geomspace(1e-3, 100.0, 300)
    with pytest.raises(FileError, match=r"found P from -\d.* to 4\.\d+, as of logarithms"):
        read_table(written(k, np.log10(power(k))))


def test_a_table_of_another_redshift_is_told(written, cosmology, power):
    factor = float(cosmology.D1(0.02)) ** 2
    (line,) = table_warnings(cosmology, written(P=factor * power(K)))
    assert re.search(r"as at redshift 49; .* its power by " + f"{1 / factor:.4g}", line)
    assert table_warnings(cosmology, written()) == []
    (line,) = table_warnings(cosmology, written(P=4 * power(K)))
    assert "sigma_8 is 1.668; it is scaled to cosmology.sigma_8 = 0.834" in line


def test_a_table_of_another_cosmology_is_told(written, cosmology):
    other = Cosmology(0.25, 0.049, 0.6711, 0.9624, 0.834)
    theirs = linear_power(other, "eisenstein_hu")
    path = written(P=theirs(K))
    assert any("k has to be multiplied" in line for line in table_warnings(cosmology, path))
    assert stretch(read_table(path), other) == 1.0


def test_what_is_said_of_a_table_is_said_by_the_plan(written, config_values, power):
    path = written(P=2 * power(K))
    config_values["linear_power"] = {"source": "table", "file": str(path)}
    plan = make_plan(make_config(config_values))
    assert plan.warnings[0].startswith("linear_power.file: its sigma_8 is 1.179")
    assert plan.amplitude.A_s is None


def test_rows_of_a_table_are_kept_and_continued(written, cosmology):
    table = read_table(written())
    k, P = continued(table, cosmology)
    inside = (k >= table.k[0]) & (k <= table.k[-1])
    np.testing.assert_array_equal(k[inside], table.k)
    np.testing.assert_array_equal(P[inside], table.P)
    assert (np.diff(k) > 0).all() and k[0] < 1e-4 and k[-1] > 900


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0.08 nan", "line 9: found k = 0.08, P = nan"),
        ("0.08 -3", "line 9: found k = 0.08, P = -3"),
        ("-0.08 3", "line 9: found k = -0.08"),
        ("0.08 1e999", "line 9: found k = 0.08, P = inf"),
        ("0.08 0", "found P = 0 at k = 0.08, wanted zeros at the end only"),
        ("0.08", "line 9: found 1 numbers, wanted 2 as before"),
        ("0.08 1 2", "line 9: found 3 numbers, wanted 2 as before"),
        ("0.08 high", "line 9: found '0.08 high'"),
        ("0.07 900", "lines 8 and 9: found P = 14.2857 and 900 for the same k = 0.07"),
    ],
)
def test_a_faulty_row_is_named(tmp_path, line, message):
    rows = ["# k P", *(f"{0.01 * i:.2f} {100.0 / i:g}" for i in range(1, 8)), line]
    rows += [f"{0.01 * i:.2f} {100.0 / i:g}" for i in range(9, 30)]
    rows[7] = "0.07 14.2857"
    (tmp_path / "power.txt").write_text("\n".join(rows))
    with pytest.raises(FileError, match=r"linear_power\.file: .*" + re.escape(message)):
        read_table(tmp_path / "power.txt")
