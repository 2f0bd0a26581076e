"""These tests on all ranks, the first of which says how they went: mpiexec -n 4 python tests/mpi"""

import os
import sys
from pathlib import Path

import pytest

from coca.ranks import world

if __name__ == "__main__":
    if world().rank > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    options = ["-q", "--durations=0", "--durations-min=2", "-p", "no:cacheprovider"]
    sys.exit(pytest.main([str(Path(__file__).parent), *options, *sys.argv[1:]]))
