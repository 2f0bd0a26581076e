"""The tests: a folder for each package of coca, a file for each module."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
"""The repository."""


def slow(*values):
    """Values of a parameter whose tests are slow."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]
