"""The tests: a folder for each package of coca, a file for each module."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
"""The repository."""
