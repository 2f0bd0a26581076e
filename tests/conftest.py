"""Shared small boxes, on one thread; tests of threads say so."""

import pytest

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import linear_power
from coca.initial_conditions.linear_fields import from_seed
from coca.parallel.domain import Domain


@pytest.fixture(scope="session")
def cosmology():
    return Cosmology(Omega_m=0.3175, Omega_b=0.049, h=0.6711, n_s=0.9624, sigma_8=0.834)


@pytest.fixture(scope="session")
def power(cosmology):
    return linear_power(cosmology, "eisenstein_hu")


@pytest.fixture(scope="session")
def domain():
    """32^3 particles, 2 Mpc/h apart."""
    return Domain(64.0, 32)


@pytest.fixture(scope="session")
def conditions(domain, power):
    return from_seed(domain, power, seed=3)


@pytest.fixture
def config_values(tmp_path):
    """A small valid configuration without a network, as plain values."""
    return {
        "cosmology": {
            "Omega_m": 0.3175,
            "Omega_b": 0.049,
            "h": 0.6711,
            "n_s": 0.9624,
            "sigma_8": 0.834,
        },
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": 64.0,
        "particles": 32,
        "mesh": 64,
        "seed": 3,
        "frame": "lpt",
        "force_evaluations": 3,
        "output": {"directory": str(tmp_path / "run")},
        "threads": 1,
    }
