"""The directive `config-reference`: every key of a configuration, from its pydantic model."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.util.docutils import SphinxDirective

NAMES = {
    "ConeFootprint": "{axis, radius}",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "str": "text",
    "Path": "path",
}
SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


def sections(
    model: type[BaseModel], prefix: str = ""
) -> Iterator[tuple[str, type[BaseModel], list[str]]]:
    """Each section of a model with its dotted prefix and the names of its own keys."""
    below = {name: _section(field) for name, field in model.model_fields.items()}
    yield prefix, model, [name for name in below if below[name] is None]
    for name, section in below.items():
        if section is not None:
            yield from sections(section, f"{prefix}{name}.")


def keys(model: type[BaseModel]) -> list[str]:
    """Dotted names of all keys of a model."""
    return [f"{prefix}{name}" for prefix, _, names in sections(model) for name in names]


def describe(annotation: Any, metadata: tuple | list = ()) -> str:
    """A type in words, with the range of its numbers."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return describe(arguments[0], [*arguments[1:], *metadata])
    if origin is typing.Literal:
        return " | ".join(str(value) for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return _union(arguments, metadata)
    if origin is dict:
        return " to ".join(describe(argument) for argument in arguments)
    if origin is tuple:
        return f"list of {_elements(arguments)}{_range(metadata)}"
    return NAMES.get(annotation.__name__, annotation.__name__) + _range(metadata)


def docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The text below each field in the source of a model."""
    body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body
    return {
        field.target.id: " ".join(text.value.value.split())
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


class ConfigReference(SphinxDirective):
    """The keys of the class that is its argument, with its module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The sections as nodes of the page."""
        module, _, name = self.arguments[0].rpartition(".")
        model = getattr(importlib.import_module(module), name)
        lines = [line for section in sections(model) for line in _lines(*section)]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, f"<{model.__name__}>"), 0, container)
        return container.children


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("config-reference", ConfigReference)
    return {"parallel_read_safe": True}


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """The model that a field holds, if it is a section."""
    candidates = (field.annotation, *typing.get_args(field.annotation))
    return next((c for c in candidates if inspect.isclass(c) and issubclass(c, BaseModel)), None)


def _union(arguments: tuple, metadata: tuple | list) -> str:
    if any(type(extra).__name__ == "PlainValidator" for extra in metadata):
        return "auto or an integer"
    wanted = [describe(argument, metadata) for argument in arguments if argument is not type(None)]
    return " or ".join([*wanted, "nothing"] if type(None) in arguments else wanted)


def _elements(arguments: tuple) -> str:
    if arguments[-1] is Ellipsis:
        return describe(arguments[0])
    return f"{len(arguments)}: {describe(arguments[0])}"


def _range(metadata: tuple | list) -> str:
    """Bounds, as pydantic keeps them in a field."""
    limits = [extra for item in metadata for extra in getattr(item, "metadata", None) or [item]]
    words = [
        f"{sign} {getattr(limit, name):g}"
        for limit in limits
        for name, sign in SIGNS.items()
        if isinstance(getattr(limit, name, None), int | float)
    ]
    return f" {', '.join(words)}" if words else ""


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined:
        return "required"
    if value is None or value == {}:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _lines(prefix: str, model: type[BaseModel], names: list[str]) -> Iterator[str]:
    """A section in MyST: what it is, and a definition for each key."""
    texts = docstrings(model)
    if prefix:
        yield from (f"**`{prefix.rstrip('.')}`** {model.__doc__}", "")
    else:
        yield from (model.__doc__, "")
    yield from ("| key | wanted | default | |", "| --- | --- | --- | --- |")
    for name in names:
        field = model.model_fields[name]
        kind = describe(field.annotation, field.metadata).replace("|", r"\|")
        yield f"| `{prefix}{name}` | {kind} | {_default(field)} | {texts.get(name, '')} |"
    yield ""
