"""Redshifts of the galaxies whose light is lensed: one, or a distribution n(z)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coca.errors import ConfigError, FileError, reason

ROUND_OFF = 1e-6
"""Redshifts that are so close are one."""


@dataclass(frozen=True)
class Sources:
    """Sources of light at some redshifts, a share of them at each."""

    z: np.ndarray
    """Array (S,) float64, increasing."""
    share: np.ndarray
    """Array (S,) float64 of sum 1."""
    name: str = "sources"
    """What messages call them."""

    @classmethod
    def at(cls, z: float) -> Sources:
        """All at one redshift."""
        return cls(np.array([z]), np.ones(1))

    @property
    def mean_redshift(self) -> float:
        """Mean of their redshifts."""
        return float(np.dot(self.z, self.share))

    def check(self, z_end: float) -> None:
        """Check that a light cone reaches behind all of them: what lies between them and its end
        would be missing from the convergence.

        Parameters
        ----------
        z_end : float
            Redshift of the last shell's far edge.

        Raises
        ------
        ConfigError
            It does not.
        """
        beyond = (self.z > z_end * (1.0 + ROUND_OFF)) & (self.share > 0.0)
        if np.any(beyond):
            raise ConfigError(
                f"{self.name}: found {100 * self.share[beyond].sum():.3g} % of the sources beyond "
                f"z = {z_end:.6g}, where the light cone ends, the farthest at "
                f"{self.z[beyond][-1]:.6g}, wanted none, or a cone with a higher z_max"
            )


def read_sources(path: Path) -> Sources:
    """Sources of a table: text with columns z and n(z), the latter in any unit.

    Between its rows n(z) is a straight line; what is nearer than the first row or beyond the last
    has no sources.

    Raises
    ------
    FileError
        The file is missing, or is no such table.
    """
    table = read_numbers("sources", path, "z and n(z), with blanks between them")
    if table.shape[1] != 2 or len(table) < 2:
        raise FileError(
            f"sources: {path}: found {len(table)} rows of {table.shape[1]} columns, wanted two or "
            "more of z and n(z)"
        )
    z, n = table.T
    if not np.all(np.isfinite(table)) or z[0] < 0.0 or np.any(np.diff(z) <= 0.0):
        raise FileError(f"sources: {path}: wanted finite numbers, and z increasing from 0 or more")
    if np.any(n < 0.0) or not np.any(n > 0.0):
        raise FileError(f"sources: {path}: wanted n(z) of 0 or more, and some above 0")
    gaps = np.diff(z, prepend=z[0], append=z[-1])
    share = 0.5 * n * (gaps[:-1] + gaps[1:])  # the trapezoidal rule
    return Sources(z, share / share.sum(), f"sources: {path}")


def read_numbers(key: str, path: Path, wanted: str) -> np.ndarray:
    """Numbers (R, C) of a text with columns, which messages call `wanted`; what follows a # is a
    comment.

    Raises
    ------
    FileError
        The file cannot be read, or a line is wrong, which is named.
    """
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise FileError(f"{key}: cannot read {path}: {reason(error)}") from None
    rows = [(i, words) for i, line in enumerate(lines, 1) if (words := line.split("#")[0].split())]
    if not rows:
        raise FileError(f"{key}: {path}: found no numbers, wanted {wanted}")
    try:
        return np.array([words for _, words in rows], np.float64)
    except ValueError:
        count = len(rows[0][1])
        line = next((i for i, words in rows if not _are_numbers(words, count)), rows[0][0])
        raise FileError(
            f"{key}: {path}: line {line}: found {lines[line - 1].strip()[:40]!r}, wanted {wanted}"
        ) from None


def _are_numbers(words: list[str], count: int) -> bool:
    try:
        return len([float(word) for word in words]) == count
    except ValueError:
        return False
