"""Tables of linear power as users bring them, and how far they fit a cosmology."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from coca.cosmology.background import Cosmology
from coca.cosmology.eisenstein_hu import K_TABLE, eisenstein_hu_shape
from coca.errors import FileError

WANTED = "wanted text, columns k [h/Mpc] and P [(Mpc/h)^3]"
FEWEST = 8
"""Rows of a table."""
MANTISSA_D = re.compile(r"(?<=[0-9.])[dD](?=[-+]?[0-9])")
"""The exponent of a Fortran number in double precision, as in 1.0D-3."""
DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+([eEdD][-+]?[0-9]+)?")
"""A number with a comma in the place of its point."""
SAME_POWER = 0.01
"""Relative difference in power of rows of the same wavenumber that may be."""
END = 2.0
"""The last factor in wavenumber of a table tells how it goes on."""
LEAST_TILT = 0.1
"""Exponent by which a table's end must leave the fitted shape to be believed: CAMB's leaves it by
0.03 at most, where baryon oscillations end."""
RATHER = 3.0
"""Least factor by which the rms misfit of ln P has to fall for a table to be taken for another
quantity."""
LOGARITHM_STEP, LOGARITHM_MISFIT = 2.0, 0.5
"""Most that a logarithm of P, natural or not, changes from one row to the next, and largest rms
misfit of ln P with which a column is taken for one."""
ACOUSTIC = 1e-3, 0.5
"""Wavenumbers in h/Mpc with the turnover and the oscillations."""
LEAST_STRETCH, WORSE, MISFIT = 0.05, 2.0, 0.05
"""Least ln of a factor in wavenumber of which something is said; least factor by which the rms
misfit of ln P has to fall with it; and least misfit without it."""


class Table(NamedTuple):
    """A table of linear power, without any amplitude that is known to be right."""

    k: np.ndarray
    """Wavenumbers in h/Mpc, increasing, float64."""
    P: np.ndarray
    """Power in (Mpc/h)^3, positive."""
    k_cut: float
    """Where zeros begin, in h/Mpc; infinity without any."""
    remarks: tuple[str, ...]
    """What was taken for what, where that is not plain."""


def read_table(file: Path) -> Table:
    """Read a table.

    Lines before the first of numbers, and what follows a #, are comments. Numbers are separated by
    blanks, commas or semicolons and may have Fortran's exponents. Rows are sorted; those of k = 0
    are left out, repeated ones become one, and zeros of P at the end are no power. A first column
    that numbers the rows is left out, and columns after P.

    Raises
    ------
    FileError
        The file cannot be read, or a line is wrong, which is named; or there are less than 8 rows.
    """
    rows, lines = _rows(file)
    columns, remarks = _columns(rows, file)
    k, P = columns.T
    _check(file, k, P, lines)
    order = np.argsort(k[k > 0], kind="stable")
    lines, k, P = (values[k > 0][order] for values in (lines, k, P))
    if (np.diff(order) < 0).any():
        remarks.append("its rows are not in the order of k, and are sorted")
    k, P = _without_repetitions(file, k, P, lines)
    k, P, k_cut = _without_zeros(file, k, P)
    if len(k) < FEWEST:
        raise _error(file, f"found {len(k)} rows with power", f"{WANTED}, at least {FEWEST} rows")
    return Table(k, P, k_cut, tuple(remarks))


def _error(file: Path, found: str, wanted: str = WANTED) -> FileError:
    return FileError(f"linear_power.file: {file}: {found}; {wanted}")


def _rows(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (R, C) and the line of each row."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise _error(file, f"cannot be read: {reason}") from None
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0]
        _check_points(file, number, line)
        words = re.sub("[,;]", " ", line).split()
        try:
            row = [float(MANTISSA_D.sub("e", word)) for word in words]
        except ValueError:
            if not rows:
                continue
            raise _error(file, f"line {number}: found {line.strip()[:40]!r}") from None
        if not row:
            continue
        if len(row) < 2 or (rows and len(row) != len(rows[0])):
            wanted = f"{len(rows[0])} as before" if rows else "2 columns"
            raise _error(file, f"line {number}: found {len(row)} numbers, wanted {wanted}")
        rows.append(row)
        lines.append(number)
    if not rows:
        raise _error(file, "found no numbers")
    return np.array(rows, np.float64), np.array(lines, np.int64)


def _check_points(file: Path, number: int, line: str) -> None:
    """Raise FileError if numbers that something else than a comma separates have commas in them."""
    words = line.replace(";", " ").split()
    if len(words) > 1 and any(map(DECIMAL_COMMA.fullmatch, words)):
        found = f"line {number}: found decimal commas, {line.strip()[:40]!r}"
        raise _error(file, found, f"{WANTED}, with decimal points")


def _columns(rows: np.ndarray, file: Path) -> tuple[np.ndarray, list[str]]:
    """The columns of k and P, and what is to be said of others."""
    count = rows.shape[1]
    first = rows[:, 0]
    numbered = first[0] in (0, 1) and np.array_equal(first, first[0] + np.arange(len(first)))
    if numbered and count > 2:
        return rows[:, 1:3], ["its first column numbers the rows: k and P are the next two"]
    if numbered and len(first) >= FEWEST:
        raise _error(file, "the first of two columns numbers the rows")
    if count > 2:
        return rows[:, :2], [f"it has {count} columns, of which the first two are k and P"]
    return rows, []


def _check(file: Path, k: np.ndarray, P: np.ndarray, lines: np.ndarray) -> None:
    """Raise FileError for the first row that can be no power."""
    wrong = ~np.isfinite(k) | ~np.isfinite(P) | (k < 0) | (P < 0)
    if wrong.any():
        _check_logarithms(file, k, P)
        i = int(np.argmax(wrong))
        found = f"line {lines[i]}: found k = {k[i]:g}, P = {P[i]:g}"
        raise _error(file, f"{found}, wanted finite numbers, none below 0")


def _check_logarithms(file: Path, k: np.ndarray, P: np.ndarray) -> None:
    """Raise FileError if numbers below 0 are no faults, but logarithms: k in rows that are all in
    order, or P that goes on smoothly below 0."""
    if not np.isfinite([k, P]).all():
        return
    steps = np.diff(k)
    in_order = (steps > 0).all() or (steps < 0).all()
    smooth = in_order and (np.abs(np.diff(P)) < LOGARITHM_STEP).all()
    for name, values, plausible in (("k", k, in_order), ("P", P, smooth)):
        if plausible and np.sum(values < 0) > 1:
            found = f"found {name} from {values.min():.4g} to {values.max():.4g}, as of logarithms"
            raise _error(file, found, f"{WANTED}, not their logarithms")


def _without_repetitions(
    file: Path, k: np.ndarray, P: np.ndarray, lines: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the same wavenumber become one, of the mean power."""
    again = np.flatnonzero(np.diff(k) == 0)
    for i in again:
        if abs(P[i + 1] - P[i]) > SAME_POWER * P[i]:
            raise _error(
                file,
                f"lines {lines[i]} and {lines[i + 1]}: found P = {P[i]:g} and {P[i + 1]:g} for the "
                f"same k = {k[i]:g}",
            )
    unique, where, times = np.unique(k, return_inverse=True, return_counts=True)
    return unique, np.bincount(where, P) / times


def _without_zeros(
    file: Path, k: np.ndarray, P: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows with power, and where zeros begin."""
    if not (P > 0).any():
        raise _error(file, "found no power")
    last = int(np.flatnonzero(P > 0)[-1])
    if not (P[: last + 1] > 0).all():
        at = k[int(np.argmax(P == 0))]
        raise _error(file, f"found P = 0 at k = {at:g}, wanted zeros at the end only")
    k_cut = float(k[last + 1]) if last + 1 < len(k) else math.inf
    return k[: last + 1], P[: last + 1], k_cut


def check_quantity(file: Path, table: Table, cosmology: Cosmology) -> None:
    """Raise FileError if a table has the shape of k^3 P, or of a logarithm of P."""
    k, P = table.k, table.P
    shape = np.log(eisenstein_hu_shape(k, cosmology))
    for what, lnP, most in (
        ("Delta^2(k) = k^3 P(k) / (2 pi^2)", np.log(P / k**3), math.inf),
        ("the logarithm of P to the base 10", np.log(10.0) * P, LOGARITHM_MISFIT),
        ("the natural logarithm of P", P, LOGARITHM_MISFIT),
    ):
        misfit = np.std(lnP - shape)
        if misfit < most and RATHER * misfit < np.std(np.log(P) - shape):
            raise _error(file, f"found the shape of {what}")


def continued(table: Table, cosmology: Cosmology) -> tuple[np.ndarray, np.ndarray]:
    """The table with rows beyond its ends: the shape of Eisenstein & Hu 1998, at large wavenumbers
    with the tilt by which many of its last rows leave that shape, if they do.

    Returns
    -------
    k, P : array
        As in `Table`.
    """
    k, P = table.k, table.P
    shape = eisenstein_hu_shape(k, cosmology)
    end = k >= min(k[-1] / END, k[-min(4, len(k))])
    tilt = float(
        stats.theilslopes(np.log(P / shape)[end], np.log(k[end]))[0]
    )  # one bad row is nothing
    tilt = tilt if abs(tilt) > LEAST_TILT else 0.0
    low, high = K_TABLE[0.99 * k[0] > K_TABLE], K_TABLE[1.01 * k[-1] < K_TABLE]
    P_low = P[0] / shape[0] * eisenstein_hu_shape(low, cosmology)
    P_high = P[-1] / shape[-1] * eisenstein_hu_shape(high, cosmology) * (high / k[-1]) ** tilt
    return np.concatenate([low, k, high]), np.concatenate([P_low, P, P_high])


def stretch(table: Table, cosmology: Cosmology) -> float:
    """The factor in k with which a table has the turnover and the oscillations of a cosmology; 1
    where it makes no great difference, or the table is too short to tell."""
    low, high = max(table.k[0], ACOUSTIC[0]), min(table.k[-1], ACOUSTIC[1])
    if high < 10 * low:
        return 1.0
    lnk = np.linspace(np.log(low), np.log(high), 200)
    ours = np.interp(lnk, np.log(table.k), np.log(table.P))
    known, theirs = np.log(K_TABLE), np.log(eisenstein_hu_shape(K_TABLE, cosmology))

    def misfit(shift: float) -> float:
        return float(np.std(ours - np.interp(lnk + shift, known, theirs)))

    shifts = np.linspace(-1.5, 1.5, 601)
    misfits = np.array([misfit(shift) for shift in shifts])
    best, as_it_is = int(np.argmin(misfits)), misfit(0.0)
    told = abs(shifts[best]) > LEAST_STRETCH and as_it_is > max(MISFIT, WORSE * misfits[best])
    return float(np.exp(shifts[best])) if told else 1.0
