"""Configurations broken at random end in one clear error."""

import copy
import functools
import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from coca.errors import CocaError
from coca.run.ensemble import members
from coca.run.plan import make_plan
from tests import ROOT

pytestmark = pytest.mark.slow

KINDS = {"train": TrainConfig, "fit": FitConfig}


def leaves(values, path=()):
    """Paths to all sections and values of a configuration."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


CONFIGS = {
    path.name: (KINDS.get(path.stem.split("_")[0], Config), yaml.safe_load(path.read_text()))
    for path in sorted((ROOT / "configs").glob("*.yaml"))
}


NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 4, 16, 32, 64, 10**30, 2**63, 0.0, -0.0, 5e-324, 1e308, -1e308]),
    st.integers(),
    st.floats(),
)


HOW = st.sampled_from(["option"] * 4 + ["scaled"] * 4 + ["value", "missing", "unknown"])


FACTORS = st.sampled_from([0.0, 0.5, 1.001, 2.0, 3.0, 10.0, 1e-9, 1e9])


TEXTS = st.one_of(
    st.sampled_from(["auto", "lpt", "rest", "emulator", "bullfrog", "fitted", "gain", "table"]),
    st.sampled_from(["", "/", "/dev/null", "configs/cola.yaml", "~", "x" * 5000, "a\0b"]),
    st.text(max_size=9),
)


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.dates()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


OPTIONS = st.sampled_from(
    [
        ("method", "pm"), ("method", "coca"), ("force_evaluations", 0), ("force_evaluations", 99),
        ("force_evaluations", "auto"), ("tolerance", 0.1), ("method", "fastpm"),
        ("method", "cola"), ("table", "configs/cola.yaml"),
        ("emulator", {"weights": "configs/cola.yaml"}), ("emulator", {"weights": 7}),
        ("linear_power", {"source": "table", "file": "/dev/null"}), ("device", "cuda"),
        ("initial_conditions", {"file": "configs/cola.yaml"}), ("threads", 1024),
        ("ensemble", {"table": "configs/cola.yaml"}), ("ensemble", {"seeds": [1, 2]}),
        ("force", {"deconvolve": True}), ("mesh", 64), ("particles", 64),
    ]
)  # fmt: skip


@st.composite
def broken_configs(draw):
    """Name and values of a shipped configuration that has been changed in a few places."""
    name = draw(st.sampled_from(sorted(CONFIGS)))
    values = copy.deepcopy(CONFIGS[name][1])
    for _ in range(draw(st.integers(1, 4))):
        *sections, key = draw(st.sampled_from(list(leaves(values))))
        owner = functools.reduce(dict.get, sections, values)
        how = draw(HOW)
        if how == "scaled" and type(owner[key]) in (int, float):
            owner[key] = type(owner[key])(owner[key] * draw(FACTORS))
        elif how == "missing":
            del owner[key]
        elif how == "unknown":
            owner[draw(TEXTS)] = copy.deepcopy(draw(VALUES))
        elif how in ("option", "scaled"):
            values.update([copy.deepcopy(draw(OPTIONS))])
        else:
            owner[key] = copy.deepcopy(draw(VALUES))
        if not values:
            break
    return name, values


FUZZ = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,  # the same examples everywhere: a failure can be had again
    suppress_health_check=list(HealthCheck),
    database=None,
)


@FUZZ
@given(broken_configs())
def test_no_configuration_ends_in_a_traceback(broken):
    """Written and read again, planned where it is a run, it serves or gives an error of ours."""
    name, values = broken
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_text(yaml.safe_dump(values, allow_unicode=False))
        try:
            config = load_config(path, kind=CONFIGS[name][0])
            if isinstance(config, Config):
                everyone = members(config, config.ensemble) if config.ensemble else [config]
                for member in everyone[:2]:
                    make_plan(getattr(member, "config", member)).describe()
        except CocaError as error:
            line = str(error)
            assert len(line) > 10 and line.isprintable()
        assert os.listdir(directory) == [name]
