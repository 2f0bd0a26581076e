"""What is said of a configuration that is wrong: all that is, in a user's words."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from coca.configuration.values import Several
from coca.errors import short

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

MOST_SAID, MOST_LENGTH = 8, 440
"""Most errors that are said at once, and most characters of them."""
UNITS = {
    "box_size": "Mpc/h",
    "softening": "Mpc/h",
    "tolerance": "Mpc/h",
    "spacing": "Mpc/h",
    "radii": "Mpc/h",
    "every": "Mpc/h",
    "checkpoint_minutes": "minutes",
}
"""Units of keys, whatever their sections."""
LISTS = {
    "redshifts": "redshifts",
    "radii": "radii in Mpc/h",
    "growth_factors": "growth factors",
    "seeds": "whole numbers",
    "counts": "whole numbers",
    "statistics": "names of statistics",
}
"""What keys are lists of."""
MEANT = {"gpu": "cuda"}
"""Names that others give to what has another here."""
KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "path_type": "a path",
    "string_type": "text",
    "model_type": "keys with values",
    "model_attributes_type": "keys with values",
    "dict_type": "keys with values",
    "multiple_of": "an even number",
}
"""Kinds that are wanted, by pydantic's names of errors."""
LIMITS = {
    "greater_than": ("gt", "more than {}"),
    "greater_than_equal": ("ge", "{} or more"),
    "less_than": ("lt", "less than {}"),
    "less_than_equal": ("le", "{} or less"),
}
"""Limits that are wanted, likewise: the name of the number, and how it is said."""


def what_is_wrong(
    error: ValidationError, kind: type[BaseModel], given: Collection[str] = ()
) -> str:
    """All that is wrong in one line, "key: found value, wanted ..." for each.

    Parameters
    ----------
    error : ValidationError
    kind : type
        The configuration that was wanted.
    given : collection of str
        Dotted keys that the command line sets.
    """
    errors = [one for each in error.errors(include_url=False) for one in _split(each)]
    said: list[str] = []
    for line in (_line(one, kind, given) for one in errors[:MOST_SAID]):
        if said and sum(map(len, [*said, line])) > MOST_LENGTH:
            break
        said.append(line)
    rest = len(errors) - len(said)
    return "; ".join([*said, *([f"and {rest} more"] if rest else [])])


def _split(error: ErrorDetails) -> list[ErrorDetails]:
    """An error of several things that do not fit together as one of each."""
    cause = error.get("ctx", {}).get("error")
    if not isinstance(cause, Several):
        return [error]
    return [{**error, "msg": message} for message in cause.messages]


def _line(error: ErrorDetails, kind: type[BaseModel], given: Collection[str]) -> str:
    parts = (str(part) for part in error["loc"])
    key, message = ".".join(part for part in parts if not part.startswith("(")), error["msg"]
    if error["type"] == "value_error":
        message = message.removeprefix("Value error, ")
        named, colon, rest = message.partition(": ")
        if colon and (not key or named == key or named.startswith(f"{key}.")):
            key, message = named, rest  # it names the key itself
    where = " (--set)" if any(key == k or key.startswith(f"{k}.") for k in given) else ""
    if error["type"] == "extra_forbidden":
        perhaps = _nearest(key, kind)
        return f"{short_key(key)}: unknown key{where}" + (f", {perhaps} perhaps" if perhaps else "")
    if error["type"] == "missing":
        return f"{key}: missing, wanted a value"
    if error["type"] == "value_error":
        return f"{key}: {message}{where}" if key else message
    found = f"found {short(error['input'])}{where}, wanted {_wanted(error)}"
    return f"{key}: {found}" if key else found


def short_key(key: str) -> str:
    """A key that may be very long."""
    return key if len(key) <= 80 else f"{key[:77]}..."


def _wanted(error: ErrorDetails) -> str:
    """What is wanted in a user's words, with the unit."""
    names = [part for part in error["loc"] if isinstance(part, str)]
    name, context = names[-1] if names else "", error.get("ctx", {})
    unit = f" {UNITS[name]}" if name in UNITS else ""
    if error["type"] in LIMITS:
        which, words = LIMITS[error["type"]]
        return words.format(f"{context[which]:g}") + unit
    if error["type"] in ("tuple_type", "list_type"):
        return f"a list of {LISTS[name]}" if name in LISTS else "a list"
    if error["type"] == "too_short":
        return f"a list of {context['min_length']} or more"
    if error["type"] == "literal_error":
        return _one_of(error["input"], context["expected"])
    if error["type"] in ("int_type", "float_type") and unit:
        return f"{KINDS[error['type']]} of{unit}"
    words = error["msg"][0].lower() + error["msg"][1:]
    return KINDS.get(error["type"], words.removeprefix("input should be "))


def _one_of(found: Any, expected: str) -> str:
    names = [name.strip("'") for name in expected.replace(" or ", ", ").split(", ")]
    near = difflib.get_close_matches(found, names, 1) if isinstance(found, str) else []
    meant = MEANT.get(found.lower()) if isinstance(found, str) else None
    near = [meant] if meant in names else near
    return f"one of {', '.join(names)}" + (f"; {near[0]} perhaps" if near else "")


def _nearest(key: str, kind: type[BaseModel]) -> str | None:
    """The known key that was meant, as likely as not: with its last name, or one like it."""
    known = {name: name.lower() for name in keys(kind)}
    section, _, name = key.lower().rpartition(".")
    if len(name) > 40:
        return None
    parts = {candidate: lower.rpartition(".") for candidate, lower in known.items()}
    beside = {last: k for k, (head, _, last) in parts.items() if head == section}
    anywhere = {last: k for k, (_, _, last) in reversed(parts.items())}
    for names, cutoff in ((beside, 0.8), (anywhere, 0.9), (beside, 0.6), (anywhere, 0.8)):
        near = difflib.get_close_matches(name, names, 1, cutoff)
        if near:
            return names[near[0]]
    return None


def keys(kind: type[BaseModel], before: str = "") -> Iterator[str]:
    """All dotted keys of a configuration, sections before what is in them."""
    for name, field in kind.model_fields.items():
        yield f"{before}{name}"
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from keys(part, f"{before}{name}.")
