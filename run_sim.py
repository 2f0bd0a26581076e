#!/usr/bin/env python
"""Run a simulation, as `coca run` does: python run_sim.py configs/quickstart.yaml"""

from __future__ import annotations

import sys

import coca.__main__


def main(arguments: list[str] | None = None) -> int:
    """Command line of `coca run`; returns the exit status."""
    return coca.__main__.main(["run", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
