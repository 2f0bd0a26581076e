from pathlib import Path

import pytest

from coca.errors import CocaError, ConfigError, FileError, as_path, reason, short


@pytest.mark.parametrize("kind", [CocaError, ConfigError, FileError])
def test_messages_are_one_printable_line(kind):
    message = str(kind("mesh: found\n  'a\x1b[31m\0b', wanted\ta number of Mpc/h, µ"))
    assert message == "mesh: found 'a\\x1b[31m\\x00b', wanted a number of Mpc/h, µ"


def test_what_hdf5_says_is_found_in_its_brackets_however_long():
    inner = "no such " + 100 * "attribute "
    assert reason(KeyError(f"Unable to open object ({inner})")) == inner[:200]


def test_long_values_are_shown_by_their_ends():
    assert short(3.5) == "3.5" and short("text") == "'text'"
    for long in ("x" * 10_000, list(range(10_000)), 10**100):
        assert len(short(long)) < 100 and "..." in short(long)
    assert short(10**10_000) == "a number of too many digits"


def test_paths_are_paths_or_said_to_be_none():
    assert as_path("path", "a/b") == as_path("path", Path("a/b")) == Path("a/b")
    for value in (3, None, b"a", ["a"], "a\0b"):
        with pytest.raises(ConfigError, match=r"^--out: found .*, wanted a path$"):
            as_path("--out", value)
