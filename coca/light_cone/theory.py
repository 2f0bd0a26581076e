"""The convergence's angular power by theory: Limber's integral over a nonlinear spectrum,

    C_l = int dchi W(chi)^2 / chi^2 P(k = (l + 1/2) / chi, z(chi)),

with W of `coca.light_cone.lensing.efficiency` (LoVerde & Afshordi 2008, arXiv:0809.5112).
"""

from __future__ import annotations

import numpy as np

from coca.cosmology.background import redshift
from coca.cosmology.distance import scale_factor_at
from coca.cosmology.nonlinear_power import nonlinear_power
from coca.light_cone.lensing import Convergence, efficiency

POINTS = 2000
"""Points of the integral over distance."""


def limber(convergence: Convergence, l: np.ndarray, k_least: float = 0.0) -> np.ndarray:
    """C_l that a convergence should have, without shot noise and pixels.

    Parameters
    ----------
    convergence : Convergence
        Says between which distances matter lenses, and which sources.
    l : array (L,)
    k_least : float
        There is no power at smaller wavenumbers, h/Mpc: what a box lacks that is 2 pi / k_least
        wide.

    Raises
    ------
    ConfigError
        camb is not installed, or does not take the cosmology.
    """
    near, far = convergence.chi
    width = (far - near) / POINTS
    chi = near + width * (np.arange(POINTS) + 0.5)
    z = redshift(scale_factor_at(convergence.cosmology, chi))
    power = nonlinear_power(convergence.cosmology, convergence.z[1])
    kernel = width * (efficiency(convergence.cosmology, chi, convergence.sources) / chi) ** 2
    k = (np.asarray(l)[:, None] + 0.5) / chi
    P = power(k, np.broadcast_to(z, k.shape))
    return np.where(k >= k_least, P, 0.0) @ kernel


def fundamental(box_size: float) -> float:
    """The smallest wavenumber of a box of `box_size` Mpc/h, h/Mpc."""
    return 2.0 * np.pi / box_size
