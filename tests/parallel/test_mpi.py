"""MPI is there where several processes are, and nowhere else."""

import os
import subprocess
import sys

import pytest

from coca.errors import ConfigError
from coca.parallel.mpi import world
from coca.parallel.ranks import OneRank
from tests import ROOT


def test_one_process_needs_no_mpi(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS", "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert isinstance(world(), OneRank)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert isinstance(world(), OneRank)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"mpi: 2 processes were started, .*\.\[mpi\]"):
        world()


def test_a_launcher_of_another_mpi_is_an_error():
    """Processes that do not find one another would write over each other's files."""
    code = "from coca.parallel.mpi import world; world()"
    environment = os.environ | {"OMPI_COMM_WORLD_SIZE": "4"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert "4 processes were started, but MPI finds 1" in done.stderr
