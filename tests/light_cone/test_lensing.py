"""Convergence against closed forms and the Limber integral's ingredients."""

import numpy as np
import pytest

from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.distance import HUBBLE_DISTANCE, comoving_distance
from coca.light_cone.lensing import convergence, lensing_weight, shot_noise
from coca.light_cone.shells import Shell


def shells_of(cosmology, far, counts):
    """Equal shells from here to `far` Mpc/h."""
    edges = np.linspace(0.0, far, len(counts) + 1)
    return [
        Shell(
            i, len(counts), (0.0, 0.0), (edges[i], edges[i + 1]), cosmology, 100.0, 64**3, False, c
        )
        for i, c in enumerate(counts)
    ]


def test_the_weight_in_closed_form():
    """Einstein-de Sitter, with a = (1 - chi / (2 d))^2: int chi (chi_s - chi) / (chi_s a)."""
    cosmology = Cosmology(1.0, 0.05, 0.7, 0.96, 0.8)
    z = np.array([1.0])
    chi_s = float(comoving_distance(cosmology, scale_factor(1.0)))
    x = np.linspace(0.0, chi_s, 200_001)
    kernel = x * (chi_s - x) / chi_s / (1.0 - x / (2.0 * HUBBLE_DISTANCE)) ** 2
    wanted = 1.5 / HUBBLE_DISTANCE**2 * np.trapezoid(kernel, x)
    assert lensing_weight(cosmology, (0.0, chi_s), z, np.ones(1)) == pytest.approx(wanted, rel=1e-6)
    assert lensing_weight(cosmology, (0.0, 2.0 * chi_s), z, np.ones(1)) == pytest.approx(
        wanted, rel=1e-6
    )
    assert lensing_weight(cosmology, (chi_s, 2.0 * chi_s), z, np.ones(1)) == 0.0


def test_a_shell_of_twice_the_density(cosmology):
    """kappa is the weight; a homogeneous universe does not lens."""
    even = [np.full(48, 1000, np.int32) for _ in range(4)]
    shells = shells_of(cosmology, 1000.0, even)
    for shell in shells:
        object.__setattr__(shell, "counts", np.full(48, round(shell.mean), np.int32))
    z, share = np.array([0.5, 1.0]), np.array([0.25, 0.75])
    np.testing.assert_allclose(convergence(shells, z, share), 0.0, atol=1e-6)
    shells[1].counts[7] *= 2
    kappa = convergence(shells, z, share)
    weights = [lensing_weight(cosmology, shells[1].chi, z[i : i + 1], np.ones(1)) for i in (0, 1)]
    assert kappa[7] == pytest.approx(np.dot(share, weights), rel=1e-3)


def test_shot_noise_is_that_of_poisson_particles(cosmology):
    """The variance of maps of particles thrown at random, over the pixels' area."""
    shells = shells_of(cosmology, 300.0, [np.zeros(12 * 64**2, np.int32)] * 2)
    rng = np.random.default_rng(1)
    for shell in shells:
        object.__setattr__(shell, "counts", rng.poisson(shell.mean, 12 * 64**2).astype(np.int32))
    z, share = np.array([0.3]), np.ones(1)
    variance = np.var(convergence(shells, z, share)) * 4.0 * np.pi / (12 * 64**2)
    # 49152 pixels: the variance is known to 0.6 %
    assert variance == pytest.approx(shot_noise(shells, z, share), rel=0.03)
