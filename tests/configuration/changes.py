"""Configurations with a value changed."""

from tests import ROOT

CONFIGS = ROOT / "configs"


def set_(values, key, value):
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value
