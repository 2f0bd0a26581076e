"""Fit the steps of a frame: python -m coca.fit configs/fit.yaml."""

from __future__ import annotations

import argparse
import itertools
import sys

from coca.config import FitConfig, load_config
from coca.cosmology import Cosmology, scale_factor
from coca.errors import CocaError, ConfigError
from coca.files import check_directory
from coca.machine import check_memory, choose_threads


def main(arguments: list[str] | None = None) -> int:
    """Command line of the fit; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m coca.fit", description=__doc__)
    parser.add_argument("config", help="YAML file; see configs/fit.yaml")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the file, for example frame=emulator",
    )
    options = parser.parse_args(arguments)
    try:
        fit_table(load_config(options.config, options.set, FitConfig))
    except CocaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def fit_table(config: FitConfig) -> None:
    """Fit all numbers of steps and write the table.

    Raises
    ------
    CocaError
        Before any work: the table cannot be written, memory does not suffice, the runs would
        end before they start, or the emulator cannot serve them.
    """
    check_directory("table", config.table.parent)
    check_memory("simulations, particles", fit_memory(config), "fewer of them")
    _check_times(config)
    frame_of = _frame_builder(config)
    from coca.fitting import fit

    table = fit(config, choose_threads(config.threads), frame_of)
    table.save(config.table)
    print(f"wrote {config.table}")


def fit_memory(config: FitConfig) -> int:
    """Bytes that all simulations keep: states in time, the frame, and each run's particles and
    modes."""
    states = 24 * (config.times + 1) + (84 if config.frame == "emulator" else 24)
    runs = (12 * 4 + 8 * 4 + 3) * len(config.growth_factors)
    return config.simulations * config.particles**3 * (states + runs)


def _check_times(config: FitConfig) -> None:
    first, least = scale_factor(config.redshift), min(config.growth_factors)
    corners = itertools.product(*config.cosmology.model_dump().values())
    D_start = max(float(Cosmology(*map(float, corner)).D1(first)) for corner in corners)
    if least < 2 * D_start:
        raise ConfigError(
            f"growth_factors: found {least:g}, wanted at least {2 * D_start:.3g}, twice that of "
            f"the start at redshift {config.redshift:g}"
        )


def _frame_builder(config: FitConfig):
    if config.frame == "lpt":
        return lambda truth: truth.conditions.lpt_frame(truth.cosmology)
    from coca.plan import load_network

    network, n = load_network(config.emulator, "auto", config.particles), config.particles
    for cell in config.spacing:
        network.emulator.check(n, cell * n)

    def frame(truth):
        return network.frame(truth.domain, truth.cosmology, truth.conditions)

    return frame


if __name__ == "__main__":
    sys.exit(main())
