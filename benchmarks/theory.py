"""What N-body is held against: an emulator's boost, a fitted mass function, tree level."""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from scipy.integrate import quad

from coca.cosmology.background import RHO_CRIT, Cosmology, scale_factor
from coca.cosmology.linear_power import A_s_of, LinearPower
from coca.initial_conditions.linear_fields import InitialConditions
from coca.parallel.domain import Domain
from coca.statistics.density_pdf import top_hat
from coca.statistics.haloes import set_colossus
from coca.statistics.spectra import spectra

FIT = "watson13"
"""Model of colossus: friends of friends with b = 0.2, Watson et al. 2013 (arXiv:1212.0095)."""


@lru_cache
def boost(cosmology: Cosmology, z: float) -> tuple[np.ndarray, np.ndarray]:
    """P over linear P of EuclidEmulator2 (arXiv:2010.11288) and its wavenumbers in h/Mpc.

    Raises
    ------
    ImportError
        euclidemu2 (the extra `theory`) or camb is not installed.
    """
    from euclidemu2 import PyEuclidEmulator

    c = cosmology
    parameters = {"Omm": c.Omega_m, "Omb": c.Omega_b, "h": c.h, "ns": c.n_s}
    parameters |= {"As": A_s_of(c, "camb"), "mnu": c.m_nu, "w": c.w0, "wa": c.wa}
    k, found = PyEuclidEmulator().get_boost(parameters, [z])
    return k, found[0]


def expected_haloes(
    cosmology: Cosmology, z: float, box_size: float, n_side: int, edges: np.ndarray
) -> np.ndarray:
    """Haloes in a box between numbers of particles, by the fit; box_size in Mpc/h.

    Raises
    ------
    ImportError
        colossus is not installed.
    """
    from colossus.lss.mass_function import massFunction

    set_colossus(cosmology)

    def density(log_mass: float) -> float:
        return massFunction(np.exp(log_mass), z, mdef="fof", model=FIT, q_out="dndlnM")

    mass = np.log(cosmology.Omega_m * RHO_CRIT * (box_size / n_side) ** 3 * edges)
    return np.array(
        [box_size**3 * quad(density, *pair, epsrel=1e-3)[0] for pair in itertools.pairwise(mass)]
    )


def growth(cosmology: Cosmology, z: float) -> float:
    """D of a redshift."""
    return float(cosmology.D1(scale_factor(z)))


def linear_shells(
    domain: Domain, power: LinearPower, conditions: InitialConditions, k: np.ndarray
) -> np.ndarray:
    """Linear P at D = 1 of the modes, and beyond them of the spectrum, (Mpc/h)^3."""
    own = spectra(domain, conditions.delta_k, window_order=0).P_a[: len(k)]
    return np.concatenate([own, power(k[len(own) :])])


def corrected(particles: np.ndarray) -> np.ndarray:
    """N (1 - N^-0.6): what friends of friends of few particles weigh, Warren et al. 2006."""
    return particles * (1.0 - particles**-0.6)


def tree_level_S3(domain: Domain, delta_k: np.ndarray, radius: float) -> float:
    """Skewness of these very modes at second order, in spheres.

    S3 = 3 <delta1^2 delta2> / <delta1^2>^2, both smoothed, with (Einstein-de Sitter)

        delta2 = 5/7 delta1^2 + grad delta1 . grad phi + 2/7 sum_ij phi_ij^2,  lap phi = delta1.

    The mean over realisations is 34/7 - (n + 3) (Bernardeau 1994).

    Parameters
    ----------
    domain : Domain
        On one rank.
    delta_k : array (n, n, n//2+1) complex64
        Linear modes at any time.
    radius : float
        Mpc/h.
    """
    modes = _padded(delta_k.astype(np.complex128))
    m = 2 * domain.n_side
    k1 = domain.kf * np.fft.fftfreq(m, 1.0 / m)
    k = k1[:, None, None], k1[None, :, None], domain.kf * np.arange(m // 2 + 1)[None, None, :]
    k2 = k[0] ** 2 + k[1] ** 2 + k[2] ** 2
    phi = -modes / np.where(k2 > 0, k2, 1.0)
    second = 5 / 7 * _field(modes) ** 2
    for i in range(3):
        second += _field(1j * k[i] * modes) * _field(1j * k[i] * phi)
        for j in range(3):
            second += 2 / 7 * _field(k[i] * k[j] * phi) ** 2
    smoothing = top_hat(np.sqrt(k2) * radius)
    smooth1 = _field(modes * smoothing)
    smooth2 = _field(np.fft.rfftn(second) / m**3 * smoothing)
    return float(3 * np.mean(smooth1**2 * smooth2) / np.mean(smooth1**2) ** 2)


def _padded(modes: np.ndarray) -> np.ndarray:
    """Modes on a mesh twice as fine, where products of two have no aliases."""
    n = len(modes)
    out = np.zeros((2 * n, 2 * n, n + 1), modes.dtype)
    where = np.fft.fftfreq(n, 1.0 / n).astype(int)
    out[np.ix_(where, where, np.arange(n // 2 + 1))] = modes
    return out


def _field(modes: np.ndarray) -> np.ndarray:
    """The field of modes delta(x) = sum_k delta_k exp(ikx)."""
    return np.fft.irfftn(modes, norm="forward")
