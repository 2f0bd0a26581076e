"""Shared small boxes, on one thread; tests of threads say so."""

import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import linear_power
from coca.gravity.particle_mesh import ParticleMesh
from coca.initial_conditions import lpt
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.parallel.domain import Domain
from coca.parallel.machine import sleep_at_barriers
from tests.problem import Problem
from tests.resuming import Undisturbed, saved_often, written

sleep_at_barriers()  # before numba or torch is loaded: threads of all workers share the cores


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
        "method": "fitted",
        "force_evaluations": 3,
        "output": {"directory": str(tmp_path / "run")},
        "threads": 1,
    }


@pytest.fixture
def config_file(config_values, tmp_path):
    return written(config_values, tmp_path / "config.yaml")


@pytest.fixture
def often_saved(config_values):
    """Values of `saved_often`, of a run in tmp_path / "run"."""
    return saved_often(config_values)


@pytest.fixture
def often_saved_file(often_saved, tmp_path):
    return written(often_saved, tmp_path / "config.yaml")


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    return Undisturbed(tmp_path_factory.mktemp("undisturbed"))


@pytest.fixture(scope="module")
def smooth(cosmology):
    """Waves well before shell crossing until D = 1, on a periodic mesh."""
    domain = Domain(64.0, 16)
    n, rng = domain.n_side, np.random.default_rng(2)
    delta_k = np.fft.rfftn(rng.normal(size=(n, n, n))).astype(np.complex64) / n**3
    i = np.fft.fftfreq(n, 1 / n)
    k = np.sqrt(i[:, None, None] ** 2 + i[None, :, None] ** 2 + np.arange(n // 2 + 1) ** 2)
    delta_k[(k > 1.5) | (k == 0)] = 0
    delta_k *= np.float32(0.35 / np.sqrt(2 * np.sum(np.abs(delta_k) ** 2)))
    psi1 = lpt.first_order(domain, delta_k)
    conditions = InitialConditions(delta_k, psi1, lpt.second_order(domain, delta_k))
    return Problem(domain, cosmology, conditions, ParticleMesh(domain, 16))


@pytest.fixture(scope="module")
def nonlinear(domain, cosmology, conditions):
    return Problem(domain, cosmology, conditions, ParticleMesh(domain, 64))
