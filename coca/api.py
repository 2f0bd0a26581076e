"""Simulations for notebooks: `coca.simulate`, with arrays in and out and no files."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from coca.configuration.loading import load_config, make_config
from coca.configuration.run import Config
from coca.configuration.sections import replaced
from coca.cosmology.linear_power import linear_power
from coca.emulator.user_emulator import OwnEmulator
from coca.errors import CocaWarning, ConfigError, short
from coca.initial_conditions.linear_fields import InitialConditions
from coca.parallel.domain import Domain, own_threads
from coca.results.result import Result, result_of
from coca.run import simulation
from coca.run.late_kernels import compiled_beside
from coca.run.plan import Plan, make_plan
from coca.run.progress import Progress

Given: TypeAlias = Config | Mapping[str, Any] | Path | str | None
"""What a configuration may be given as."""

QUIJOTE = {"Omega_m": 0.3175, "Omega_b": 0.049, "h": 0.6711, "n_s": 0.9624, "sigma_8": 0.834}
"""The fiducial cosmology of the Quijote simulations."""
SPACING = 2.0
"""Mpc/h between particles where no box size is given: that of the shipped emulator."""


def simulate(config: Given = None, *, quiet: bool | None = None, **values: Any) -> Result:
    """Run a simulation in this process; nothing is written to output.directory.

    What is to be minded of it is a `coca.CocaWarning` each, and in `Result.warnings`.

    Parameters
    ----------
    config : Config, path or dict, optional
        From `coca.load_config` or `coca.make_config`, or a YAML file; without one, the defaults of
        docs/python.md, of which those in a dictionary are replaced.
    quiet : bool, optional
        Print nothing, with False all that a run says; by default nothing but a bar in notebooks.
    **values
        Keys of the configuration, which replace its values or the defaults; sections are
        dictionaries, of which only the keys that are given are replaced; numbers may be NumPy's.
        `emulator` may also be a `coca.OwnEmulator`, with which `method` is coca where it is not
        given.

    Returns
    -------
    Result

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted.
    """
    if quiet is not None and not isinstance(quiet, bool):
        raise ConfigError(f"quiet: found {short(quiet)}, wanted True, False or None")
    plan = _planned(config, values, "coca.simulate")
    with own_threads(), compiled_beside(plan):
        result = result_of(simulation.run_plan(plan, Progress(quiet)))
    for line in result.warnings:
        warnings.warn(line, CocaWarning, stacklevel=2)
    return result


def make_initial_conditions(
    config: Given = None, *, quiet: bool | None = None, **values: Any
) -> InitialConditions:
    """The linear modes and displacements that `simulate` starts from, given the same arguments; of
    them `quiet` says nothing here.

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted.
    """
    plan = _planned(config, values, "coca.make_initial_conditions")
    config, source = plan.config, plan.config.linear_power
    cosmology = config.build_cosmology()
    D_start, _ = simulation.growth_factors(cosmology, plan.redshift, ())
    with own_threads():
        domain = Domain(config.box_size, config.particles, plan.threads)
        power = linear_power(cosmology, source.source, source.file)
        return simulation.build_initial_conditions(config, domain, power, D_start)


def _planned(config: Given, values: dict[str, Any], name: str) -> Plan:
    """The plan of what a function was given, with the user's own emulator if there is one."""
    given = config if isinstance(config, Mapping) else {}
    own = values.get("emulator", given.get("emulator"))
    if callable(own):
        raise ConfigError(
            f"{name}: emulator: found {short(own)}, wanted keys with values, or a coca.OwnEmulator"
        )
    if not isinstance(own, OwnEmulator):
        return make_plan(complete(config, values, name))
    return make_plan(complete(config, values | {"emulator": {}}, name, "coca"), own=own)


def complete(
    config: Given, values: dict[str, Any], name: str = "coca.simulate", method: str = "fitted"
) -> Config:
    """The configuration of a run without files, from what is given or the defaults, of which the
    method is given here, and values; errors name the function."""
    values = plain(values)
    if isinstance(config, (str, Path)):
        config = load_config(config)
    if isinstance(config, Mapping):
        config, values = None, _merged(plain(config), values)
    if config is not None and not isinstance(config, Config):
        raise ConfigError(
            f"{name}: found {short(config)}, wanted a configuration, its file, or a dict"
        )
    # what nobody said must not stand against a value that is given now
    base = _defaults(values, method) if config is None else config.model_dump(exclude_unset=True)
    base = _merged(base, values)
    made = make_config(base, Config, name)
    if made.ensemble is not None:
        raise ConfigError(f"ensemble: found one, wanted none: {name} makes a single run")
    return made.model_copy(update={"output": made.output.model_copy(update={"directory": None})})


def plain(values: Any) -> Any:
    """Values of a configuration with numbers and lists of Python in the place of NumPy's."""
    if isinstance(values, Mapping):
        return {key: plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [plain(value) for value in values]
    return values.tolist() if isinstance(values, (np.generic, np.ndarray)) else values


def _merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Keys with new values; of a section only those that are given."""
    new = dict(base)
    for key, value in values.items():
        section = new.get(key)
        if isinstance(section, dict) and isinstance(value, dict):
            merge = replaced if key == "cosmology" else operator.or_
            value = merge(section, value)
        new[key] = value
    return new


def _defaults(values: dict[str, Any], method: str) -> dict[str, Any]:
    """What is taken where neither a configuration nor a value says otherwise."""
    particles = values.get("particles", 64)
    whole = particles if type(particles) is int else 64
    return {
        "cosmology": QUIJOTE,
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": SPACING * whole,
        "particles": particles,
        "mesh": 2 * whole,
        "seed": 0,
        "method": method,
        "force_evaluations": "auto" if "tolerance" in values else 4,
    }
