"""Kinds of values of a configuration, and what all of its sections have in common."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    SerializerFunctionWrapHandler,
    Strict,
    model_serializer,
)

from coca.errors import short

if TYPE_CHECKING:
    pass

Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Boolean = Annotated[bool, Strict()]
BoxSize = Annotated[Number, Field(ge=0.1, le=1e5)]
"""Mpc/h: from well inside a halo to beyond the horizon."""


def _path(path: Path) -> Path:
    if not str(path).isprintable():
        raise ValueError(f"found {str(path)!r}, wanted a path of printable characters")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"found {path}, wanted a path: there is no such user") from None


FilePath = Annotated[Path, AfterValidator(_path)]
"""A path, which may begin with ~, the user's directory."""


def _auto_or_count(least: int, most: int) -> PlainValidator:
    def check(value: Any) -> int | str:
        if value == "auto" or (type(value) is int and least <= value <= most):
            return value
        raise ValueError(f"found {short(value)}, wanted auto or a number from {least} to {most}")

    return PlainValidator(check)


MOST_EVALUATIONS = 4096
MOST_FOR_TOLERANCE = 256
"""Most force evaluations that a tolerance takes: where that many leave more than is wanted, more
would cost more than N-body."""
Auto = Literal["auto"]
Count = Annotated[int | Auto, _auto_or_count(1, 1024)]
Evaluations = Annotated[int | Auto, _auto_or_count(0, MOST_EVALUATIONS)]


class Several(ValueError):
    """What does not fit together, a message for each."""

    def __init__(self, messages: list[str]):
        super().__init__("; ".join(messages))
        self.messages = messages


def check_all(*checks: Callable[[], None]) -> None:
    """Raise Several if any of the checks raise ValueError: what all of them say."""
    messages = []
    for check in checks:
        try:
            check()
        except ValueError as error:
            messages.append(str(error))
    if messages:
        raise Several(messages)


class Section(BaseModel):
    """Keys of a configuration: frozen, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
    silent: ClassVar[tuple[str, ...]] = ()
    """Keys that are left out of records where they have their defaults, so that what is kept on
    disk under a configuration is found again."""

    @model_serializer(mode="wrap")
    def _without_silent_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {key: type(self).model_fields[key].default for key in self.silent}
        return {k: v for k, v in dump(self).items() if k not in defaults or v != defaults[k]}
