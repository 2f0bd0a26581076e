"""Fit the steps of a frame: python -m coca.fit configs/fit.yaml."""

from __future__ import annotations

import argparse
import sys

from coca.config import FitConfig, load_config
from coca.errors import CocaError
from coca.machine import choose_threads


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
    return 0


def fit_table(config: FitConfig) -> None:
    """Fit all numbers of steps and write the table."""
    from coca.fitting import fit

    table = fit(config, choose_threads(config.threads), _frame_builder(config))
    table.save(config.table)
    print(f"wrote {config.table}")


def _frame_builder(config: FitConfig):
    if config.frame == "lpt":
        return lambda truth: truth.conditions.lpt_frame(truth.cosmology)
    from coca.emulator.device import choose_device, choose_precision
    from coca.emulator.emulator import Emulator

    emulator, device = Emulator.load(config.emulator.weights), choose_device("auto")
    precision = choose_precision(config.emulator.precision, device)

    def frame(truth):
        emulator.check(truth.domain.n, truth.domain.box_size)
        return emulator.frame(truth.domain, truth.cosmology, truth.conditions, device, precision)

    return frame


if __name__ == "__main__":
    sys.exit(main())
