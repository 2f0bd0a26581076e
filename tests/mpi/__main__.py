"""These tests on all ranks, the first of which says how they went: mpiexec -n 4 python tests/mpi"""

import os
import sys
import tempfile
from pathlib import Path

import pytest

from coca.parallel.mpi import world

if __name__ == "__main__":
    ranks = world()
    if ranks.rank > 0:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    options = ["-q", "--durations=0", "--durations-min=2", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory() as own:  # pytest's usual ones are cleaned by all at once
        options += ["--basetemp", f"{own}/pytest"]
        status = pytest.main([str(Path(__file__).parent), *options, *sys.argv[1:]])
        ranks.gather(None)  # others may still look at this rank's files
    sys.exit(status)
