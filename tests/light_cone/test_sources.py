"""Distributions of sources, and tables that are none."""

import numpy as np
import pytest

from coca.errors import ConfigError, FileError
from coca.light_cone.sources import Sources, read_sources


def test_a_table_is_integrated_as_lines(tmp_path):
    """Rows at uneven redshifts: the mean redshift of a triangle from 0 to 1 with its top at 0.5 is
    0.5, and its shares are those of the trapezoidal rule."""
    path = tmp_path / "nz.txt"
    path.write_text("# z n(z)\n0 0\n0.25 1\n0.5 2\n1.0 0\n")
    sources = read_sources(path)
    np.testing.assert_allclose(sources.share, np.array([0, 0.25, 0.75, 0]))
    assert sources.share.sum() == pytest.approx(1.0)
    z = np.linspace(0.0, 2.0, 2001)
    np.savetxt(path, np.column_stack([z, z**2 * np.exp(-((z / 0.5) ** 2))]))
    # <z> = (2 / sqrt(pi)) z0 of z^2 exp(-(z / z0)^2)
    assert read_sources(path).mean_redshift == pytest.approx(1 / np.sqrt(np.pi), rel=1e-4)


def test_sources_beyond_a_cone(tmp_path):
    path = tmp_path / "nz.txt"
    path.write_text("0 0\n0.5 3\n1.0 1\n1.5 0\n")
    sources = read_sources(path)
    sources.check(1.0)  # nothing is at 1.5
    message = (
        r"sources: .*nz.txt: found 25 % of the sources beyond z = 0.9, .* farthest at 1, wanted"
    )
    with pytest.raises(ConfigError, match=message):
        sources.check(0.9)
    with pytest.raises(ConfigError, match="sources: found 100 % of the sources beyond z = 1"):
        Sources.at(1.1).check(1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5 1\n", "found 1 rows of 2 columns, wanted two or more of z and n"),
        ("0 1 2\n1 2 3\n", "found 2 rows of 3 columns"),
        ("0.5 1\n0.4 2\n", "wanted finite numbers, and z increasing"),
        ("0 1\n1 nan\n", "wanted finite numbers"),
        ("-1 1\n1 1\n", "z increasing from 0 or more"),
        ("0 1\n1 -1\n", "wanted n.z. of 0 or more"),
        ("0 0\n1 0\n", "and some above 0"),
        ("# z n\n0 one\n1 0\n", r"line 2: found '0 one', wanted z and n\(z\), with blanks"),
        ("0 1\n1 0 2\n", "line 2: found '1 0 2'"),
        ("0,1\n1,0\n", "line 1: found '0,1'"),
        ("# z n\n\n", "found no numbers, wanted z and n"),
    ],
)
def test_tables_that_are_none(tmp_path, text, message):
    path = tmp_path / "nz.txt"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        read_sources(path)
    with pytest.raises(FileError, match=r"cannot read .*gone.txt: No such file"):
        read_sources(tmp_path / "gone.txt")
