"""COCA: cosmological N-body simulations in the frame of reference of an emulator.

What docs/python.md describes is imported when it is first used; __init__.pyi has its types.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "simulate": "coca.api",
    "make_initial_conditions": "coca.api",
    "Output": "coca.results.result",
    "Result": "coca.results.result",
    "OwnEmulator": "coca.emulator.user_emulator",
    "load_config": "coca.configuration.loading",
    "make_config": "coca.configuration.loading",
    "Config": "coca.configuration.run",
    "CocaError": "coca.errors",
    "ConfigError": "coca.errors",
    "FileError": "coca.errors",
    "CocaWarning": "coca.errors",
}

_here = os.path.dirname(os.path.abspath(__file__))
if not os.path.isdir(os.path.join(_here, "kernels")):
    __path__.append(os.path.dirname(_here))  # in the repository coca.kernels is beside coca


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'coca' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
