"""What tests on several ranks share. They run in an ordinary pytest too, on one rank."""

import numpy as np
import pytest

from coca.commands.compilation import compile_kernels
from coca.configuration.loading import make_config
from coca.parallel.domain import Domain
from coca.parallel.mpi import world

N = 48
"""Particles per dimension: divides by all numbers of ranks that are tried."""


@pytest.fixture(scope="session")
def ranks():
    return world()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A rank whose test fails ends the whole run, not to leave the others waiting for it."""
    report = yield
    ranks = item.funcargs.get("ranks") if hasattr(item, "funcargs") else None
    if report.failed and ranks is not None and ranks.size > 1:
        pytest.exit(f"{item.nodeid} failed", ranks.fail(report.longreprtext, 1))
    return report


@pytest.fixture(scope="session", autouse=True)
def compiled(ranks):
    """Kernels for all ranks, compiled by the first."""
    values = {
        "cosmology": {"Omega_m": 0.3, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "sigma_8": 0.8},
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": 32.0, "particles": 16, "mesh": 32, "seed": 1, "method": "fitted", "threads": 1,
        "force_evaluations": 2, "output": {"directory": "unused"},
        "light_cone": {"z_max": 0.1, "redshift_space": True, "particles": True},
    }  # fmt: skip
    compile_kernels(make_config(values), ranks)


@pytest.fixture(scope="session")
def parted(ranks):
    """48^3 particles, 2 Mpc/h apart, on all ranks."""
    return Domain(2.0 * N, N, 1, ranks)


@pytest.fixture(scope="session")
def alone():
    """The box of `parted` on this rank alone."""
    return Domain(2.0 * N, N, 1)


@pytest.fixture
def shared_path(ranks, tmp_path):
    """A directory that all ranks know."""
    return ranks.broadcast(tmp_path)


@pytest.fixture(scope="session")
def whole(ranks):
    """Joins every rank's part of an array along an axis."""
    return lambda part, axis: np.concatenate(ranks.gather(part), axis=axis)
