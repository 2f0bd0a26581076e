"""The nonlinear matter power of HMcode2020 (Mead et al. 2021, arXiv:2009.01858), by CAMB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.interpolate import RectBivariateSpline

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import A_s_of, camb_parameters, check_source, not_computed

K_LEAST, K_MOST = 1e-4, 50.0
"""h/Mpc; there is no power beyond."""
WAVENUMBERS, REDSHIFTS = 400, 24
"""Points of the table, in ln k and in z."""


@dataclass(frozen=True)
class NonlinearPower:
    """P(k, z): a spline of its logarithm."""

    table: RectBivariateSpline
    """ln P over z and ln k."""

    def __call__(self, k: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Power in (Mpc/h)^3 at wavenumbers `k` in h/Mpc, each at its redshift; arrays of one
        shape."""
        inside = (k >= K_LEAST) & (k <= K_MOST)
        lnk = np.log(np.clip(k, K_LEAST, K_MOST))
        return np.where(inside, np.exp(self.table.ev(z, lnk)), 0.0)


@lru_cache(maxsize=4)
def nonlinear_power(cosmology: Cosmology, z_most: float) -> NonlinearPower:
    """HMcode2020's spectrum without baryons' feedback, at redshifts from 0 to `z_most`.

    Raises
    ------
    ConfigError
        camb is not installed, or does not take the cosmology.
    """
    check_source("camb", None)
    import camb

    z = np.linspace(0.0, z_most, REDSHIFTS)
    try:
        parameters = camb_parameters(
            cosmology,
            A_s_of(cosmology, "camb"),
            halofit_version="mead2020",
            NonLinear="NonLinear_pk",
        )
        parameters.set_matter_power(redshifts=z[::-1].tolist(), kmax=K_MOST)
        k, found, P = camb.get_results(parameters).get_matter_power_spectrum(
            K_LEAST, K_MOST, WAVENUMBERS
        )
    except camb.CAMBError as error:
        raise not_computed(cosmology, error) from None
    return NonlinearPower(RectBivariateSpline(found, np.log(k), np.log(P)))
