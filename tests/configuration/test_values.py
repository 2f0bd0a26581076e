from pathlib import Path

import pytest
from pydantic import ValidationError

from coca.configuration.values import Count, FilePath, Section, Several, check_all


class Some(Section):
    """Two values."""

    count: Count = "auto"
    file: FilePath | None = None


@pytest.mark.parametrize("count", ["auto", 1, 1024])
def test_auto_or_a_count(count):
    assert Some(count=count).count == count


@pytest.mark.parametrize("count", [0, 1025, 2.0, True, "2", None])
def test_no_count(count):
    with pytest.raises(ValidationError, match="wanted auto or a number from 1 to 1024"):
        Some(count=count)


def test_names_of_files_can_be_printed():
    assert Some(file="a b.hdf5").file == Path("a b.hdf5")
    with pytest.raises(ValidationError, match="wanted a path of printable characters"):
        Some(file="a\n.hdf5")


def test_the_users_directory_is_found(monkeypatch):
    """A shell does not expand ~ in a file; a directory of that name is what nobody wants."""
    monkeypatch.setenv("HOME", "/home/me")
    assert Some(file="~/runs/a").file == Path("/home/me/runs/a")
    assert Some(file="runs/~a").file == Path("runs/~a")
    with pytest.raises(ValidationError, match="there is no such user"):
        Some(file="~nobody-of-this-name/a")


def test_all_checks_are_made():
    def wrong(message):
        raise ValueError(message)

    check_all(lambda: None)
    with pytest.raises(Several, match="a; b") as caught:
        check_all(lambda: wrong("a"), lambda: None, lambda: wrong("b"))
    assert caught.value.messages == ["a", "b"]


def test_a_section_has_no_other_keys():
    with pytest.raises(ValidationError):
        Some(counts=2)
