import re
import subprocess
import sys

import pytest

from tests import ROOT
from tests.damage import everything_in

pytestmark = pytest.mark.slow


def test_a_full_disk_does_not_crash_the_process(tmp_path, config_file):
    """HDF5 crashes at the end of a process that could not close a file."""
    command = ["-c", f"ulimit -f 100; exec {sys.executable} run_sim.py {config_file} --quiet"]
    done = subprocess.run(["bash", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"error: output\.directory: cannot write .*\n", done.stderr)
    assert everything_in(tmp_path / "run") == []
