"""The fitted matter transfer function of Eisenstein & Hu 1998."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from coca.cosmology.background import Cosmology

K_TABLE = np.geomspace(1e-5, 1e3, 2048)
"""Wavenumbers in h/Mpc at which it is tabulated."""


def eisenstein_hu_shape(k: np.ndarray, cosmology: Cosmology) -> np.ndarray:
    """Linear power at wavenumbers in h/Mpc, of no amplitude."""
    return k**cosmology.n_s * eisenstein_hu_transfer(k, cosmology) ** 2


def eisenstein_hu_transfer(k: ArrayLike, cosmology: Cosmology, T_cmb: float = 2.7255) -> np.ndarray:
    """Matter transfer function with baryon oscillations, Eisenstein & Hu 1998 (astro-ph/9709112).

    Parameters
    ----------
    k : array
        Wavenumbers in h/Mpc.
    cosmology : Cosmology
    T_cmb : float
        Temperature of the microwave background in K.

    Returns
    -------
    array
        T(k), one at k -> 0. Equation numbers in the code are the paper's.
    """
    h = cosmology.h
    k = np.asarray(k, float) * h
    om, ob = cosmology.Omega_m * h**2, cosmology.Omega_b * h**2
    fb = ob / om
    fc = 1.0 - fb
    theta = T_cmb / 2.7

    z_eq = 2.50e4 * om * theta**-4  # eq. 2
    k_eq = 7.46e-2 * om * theta**-2  # eq. 3
    b1 = 0.313 * om**-0.419 * (1 + 0.607 * om**0.674)  # eq. 4
    b2 = 0.238 * om**0.223
    z_d = 1291 * om**0.251 / (1 + 0.659 * om**0.828) * (1 + b1 * ob**b2)
    R_d = 31.5 * ob * theta**-4 * (1e3 / z_d)  # eq. 5
    R_eq = 31.5 * ob * theta**-4 * (1e3 / z_eq)
    s = (  # eq. 6
        2 / (3 * k_eq) * np.sqrt(6 / R_eq)
        * np.log((np.sqrt(1 + R_d) + np.sqrt(R_d + R_eq)) / (1 + np.sqrt(R_eq)))
    )  # fmt: skip
    k_silk = 1.6 * ob**0.52 * om**0.73 * (1 + (10.4 * om) ** -0.95)  # eq. 7
    q = k / (13.41 * k_eq)  # eq. 10

    a1 = (46.9 * om) ** 0.670 * (1 + (32.1 * om) ** -0.532)  # eq. 11
    a2 = (12.0 * om) ** 0.424 * (1 + (45.0 * om) ** -0.582)
    alpha_c = a1**-fb * a2 ** -(fb**3)
    b1 = 0.944 / (1 + (458 * om) ** -0.708)  # eq. 12
    b2 = (0.395 * om) ** -0.0266
    beta_c = 1 / (1 + b1 * (fc**b2 - 1))

    y = (1 + z_eq) / (1 + z_d)  # eq. 15
    root = np.sqrt(1 + y)
    G = y * (-6 * root + (2 + 3 * y) * np.log((root + 1) / (root - 1)))
    alpha_b = 2.07 * k_eq * s * (1 + R_d) ** -0.75 * G  # eq. 14
    beta_b = 0.5 + fb + (3 - 2 * fb) * np.sqrt((17.2 * om) ** 2 + 1)  # eq. 24
    beta_node = 8.41 * om**0.435  # eq. 23

    def T0(alpha: float, beta: float) -> np.ndarray:  # eqs. 19, 20
        L = np.log(np.e + 1.8 * beta * q)
        C = 14.2 / alpha + 386 / (1 + 69.9 * q**1.08)
        return L / (L + C * q**2)

    ks = k * s
    f = 1 / (1 + (ks / 5.4) ** 4)  # eq. 18
    Tc = f * T0(1, beta_c) + (1 - f) * T0(alpha_c, beta_c)  # eq. 17
    s_tilde = s / (1 + (beta_node / ks) ** 3) ** (1 / 3)  # eq. 22
    damping = np.exp(-((k / k_silk) ** 1.4))
    Tb = (  # eq. 21
        T0(1, 1) / (1 + (ks / 5.2) ** 2) + alpha_b / (1 + (beta_b / ks) ** 3) * damping
    ) * np.sinc(k * s_tilde / np.pi)
    return fb * Tb + fc * Tc  # eq. 16
