"""Configurations from YAML files and dictionaries, with one clear error where they are wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import yaml
from pydantic import BaseModel, ValidationError

from coca.configuration.fitting import FitConfig
from coca.configuration.messages import what_is_wrong
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from coca.errors import ConfigError, as_path, short

MOST_BYTES, MOST_LEVELS = 2**20, 16
"""Most bytes of a file that can be a configuration, and deepest nesting in it."""

COMMANDS: dict[type[BaseModel], str] = {Config: "run", TrainConfig: "train", FitConfig: "fit"}
"""Whose configurations there are."""

AnyConfig = TypeVar("AnyConfig", bound=BaseModel)


@overload
def load_config(path: Path | str, overrides: Sequence[str] = ()) -> Config: ...
@overload
def load_config(path: Path | str, overrides: Sequence[str], kind: type[AnyConfig]) -> AnyConfig: ...
def load_config(
    path: Path | str, overrides: Sequence[str] = (), kind: type[BaseModel] = Config
) -> BaseModel:
    """Read a configuration from YAML.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        "dotted.key=value", each value in YAML, applied after the file.
    kind : type
        Config, or one of `coca.configuration.training`.

    Raises
    ------
    ConfigError
        Names the file or key, what was found and what is wanted.
    """
    path = as_path("path", path)
    listed = isinstance(overrides, (list, tuple))
    if not listed or not all(isinstance(line, str) for line in overrides):
        raise ConfigError(f"overrides: found {short(overrides)}, wanted a list of key=value")
    try:
        data = yaml.load(_text(path), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot read: {getattr(error, 'strerror', error)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: found {_words(data)}, wanted keys with values")
    _check_kind(data, kind, path)
    for override in overrides:
        _override(data, override)
    return _validated(data, kind, str(path), [line.partition("=")[0] for line in overrides])


@overload
def make_config(data: dict[str, Any], *, name: str = "config") -> Config: ...
@overload
def make_config(data: dict[str, Any], kind: type[AnyConfig], name: str = "config") -> AnyConfig: ...
def make_config(
    data: dict[str, Any], kind: type[BaseModel] = Config, name: str = "config"
) -> BaseModel:
    """A configuration from nested dictionaries; errors as in `load_config`."""
    return _validated(data, kind, name)


def _validated(
    data: dict[str, Any], kind: type[AnyConfig], name: str, given: Sequence[str] = ()
) -> AnyConfig:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise ConfigError(f"{name}: {what_is_wrong(error, kind, given)}") from None


def _words(data: Any) -> str:
    """What is in a file that has no keys."""
    return {type(None): "nothing", list: "a list", str: "text"}.get(type(data), short(data))


def _check_kind(data: dict[Any, Any], kind: type[BaseModel], path: Path | str) -> None:
    """Raise ConfigError if a file is whole one of another command's."""
    if set(data) <= set(kind.model_fields):
        return
    for other, command in COMMANDS.items():
        needed = {key for key, field in other.model_fields.items() if field.is_required()}
        if other is not kind and needed <= set(data) <= set(other.model_fields):
            raise ConfigError(
                f"{path}: found a configuration of coca {command}, wanted one of coca "
                f"{COMMANDS.get(kind, 'run')}"
            )


def _text(path: Path) -> str:
    """What is in a file, which may be endless."""
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES} bytes")
    return data.decode()


class _Loader(yaml.SafeLoader):
    """YAML without tags and anchors and of few levels, where 1e-3 is a number and a repeated key is
    an error: nothing in it becomes larger than it is written."""

    level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise yaml.YAMLError(f"anchors and aliases are not read, line {line}")
        if getattr(event, "tag", None) is not None:
            raise yaml.YAMLError(f"tags are not read, line {line}")
        if self.level == MOST_LEVELS:
            raise yaml.YAMLError(f"more than {MOST_LEVELS} levels, line {line}")
        self.level += 1
        node = super().compose_node(parent, index)
        self.level -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, times in keys.items():
            if times > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice, line {node.start_mark.line + 1}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def _override(data: dict, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set: found {override!r}, wanted key=value")
    try:
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"--set {key}: found {text!r}, wanted a YAML value") from None
    *sections, last = key.split(".")
    if len(sections) >= MOST_LEVELS:
        raise ConfigError(f"--set: found {len(sections)} dots, wanted a key of fewer levels")
    for section in sections:
        if data.get(section) is None:
            data[section] = {}
        data = data[section]
        if not isinstance(data, dict):
            raise ConfigError(f"--set {key}: {section} has no keys below it")
    data[last] = value
