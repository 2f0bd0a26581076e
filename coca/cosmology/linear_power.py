"""Linear matter power spectra at z = 0, always normalised to sigma_8 at z = 0."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import simpson
from scipy.interpolate import CubicSpline

from coca.atomic_files import user_cache, whole_file
from coca.cosmology.background import Cosmology
from coca.errors import ConfigError, FileError

K_TABLE = np.geomspace(1e-5, 1e3, 2048)
"""Wavenumbers in h/Mpc at which every linear spectrum is tabulated."""


TRIAL_A_S = 2e-9
"""Primordial amplitude that spectra are computed with, before they are normalised."""
K_PIVOT = 0.05
"""Wavenumber in 1/Mpc at which the primordial power of curvature is A_s."""
HUBBLE_LENGTH = 2997.92458
"""c / H0 in Mpc/h."""


@dataclass(frozen=True)
class LinearPower:
    """Linear P(k) at z = 0: a log-log spline, continued as power laws beyond its ends."""

    k: np.ndarray
    """Wavenumbers in h/Mpc, increasing."""
    P: np.ndarray
    """Power in (Mpc/h)^3."""

    def __call__(self, k: ArrayLike) -> np.ndarray:
        """Power in (Mpc/h)^3 at wavenumber `k` in h/Mpc; zero at k = 0."""
        k = np.asarray(k, float)
        x, y = np.log(self.k), np.log(self.P)
        lnk = np.log(np.where(k > 0, k, 1.0))
        inside = CubicSpline(x, y)(np.clip(lnk, x[0], x[-1]))
        low = (y[1] - y[0]) / (x[1] - x[0]) * np.minimum(lnk - x[0], 0)
        high = (y[-1] - y[-2]) / (x[-1] - x[-2]) * np.maximum(lnk - x[-1], 0)
        return np.where(k > 0, np.exp(inside + low + high), 0.0)

    def sigma(self, R: float) -> float:
        """Rms linear density contrast in spheres of radius `R` Mpc/h (top hat)."""
        lnk = np.linspace(np.log(1e-5), np.log(100.0 / R), 8192)
        k = np.exp(lnk)
        x = k * R
        window = np.where(x < 1e-2, 1 - x**2 / 10, 3 * (np.sin(x) - x * np.cos(x)) / x**3)
        return float(np.sqrt(simpson(k**3 * self(k) * window**2, x=lnk) / (2 * np.pi**2)))

    def normalised(self, sigma_8: float) -> LinearPower:
        """The same shape with the given sigma_8."""
        return LinearPower(self.k, self.P * (sigma_8 / self.sigma(8.0)) ** 2)


def linear_power(cosmology: Cosmology, source: str, file: Path | None = None) -> LinearPower:
    """Linear power at z = 0, normalised to the cosmology's sigma_8.

    Parameters
    ----------
    cosmology : Cosmology
    source : {"camb", "eisenstein_hu", "table"}
    file : Path, optional
        For "table": text, columns k [h/Mpc] and P [(Mpc/h)^3]. Only its shape is used.

    Raises
    ------
    ConfigError
        camb is asked for and not installed.
    FileError
        The table is missing or is not two columns of positive, increasing numbers.
    """
    shapes: dict[str, Callable[[Cosmology], LinearPower]] = {
        "camb": _camb,
        "eisenstein_hu": _eisenstein_hu,
    }
    power = shapes[source](cosmology) if file is None else _table(file)
    return power.normalised(cosmology.sigma_8)


def sigma_8_of(A_s: float, cosmology: Cosmology, source: str) -> float:
    """The sigma_8 that a primordial amplitude gives.

    Parameters
    ----------
    A_s : float
        Primordial power of curvature at 0.05 / Mpc.
    cosmology : Cosmology
        Its sigma_8 is not used.
    source : {"camb", "eisenstein_hu"}
        camb has radiation in its background; eisenstein_hu is within 3 % of it.

    Raises
    ------
    ConfigError
        As for `linear_power`.
    """
    return _unnormalised(cosmology, source).sigma(8.0) * math.sqrt(A_s / TRIAL_A_S)


def A_s_of(cosmology: Cosmology, source: str) -> float:
    """The primordial amplitude that gives the cosmology's sigma_8; errors as in `sigma_8_of`."""
    return TRIAL_A_S * (cosmology.sigma_8 / _unnormalised(cosmology, source).sigma(8.0)) ** 2


def _unnormalised(cosmology: Cosmology, source: str) -> LinearPower:
    """Linear power at z = 0 of the primordial amplitude TRIAL_A_S."""
    if source == "camb":
        return _camb(cosmology)
    shape, growth = _eisenstein_hu(cosmology), 1.0 / cosmology.early_growth
    # delta = 2/5 (k c / H0)^2 D R / Omega_m, D = a early; k^3 <R^2> / (2 pi^2) is A_s at K_PIVOT
    delta_of_R = 0.4 * HUBBLE_LENGTH**2 * growth / cosmology.Omega_m
    curvature = 2 * np.pi**2 * TRIAL_A_S * (cosmology.h / K_PIVOT) ** (cosmology.n_s - 1)
    return LinearPower(shape.k, shape.P * curvature * delta_of_R**2)


@lru_cache(maxsize=16)
def _camb(cosmology: Cosmology) -> LinearPower:
    """CAMB's spectrum, computed once and kept in the user's cache with a checksum."""
    check_source("camb", None)
    shape = {k: v for k, v in cosmology.known().items() if k != "sigma_8"}
    identity = f"{version('camb')} A_s={TRIAL_A_S} {shape}"
    path = user_cache() / f"camb-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"
    damage = OSError, ValueError, KeyError, EOFError, BadZipFile
    with suppress(*damage), np.load(path, allow_pickle=False) as kept:
        return LinearPower(kept["k"], kept["P"])
    power = _from_camb(cosmology)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            np.savez(temporary, k=power.k, P=power.P)
    return power


def _from_camb(cosmology: Cosmology) -> LinearPower:
    import camb

    h2 = cosmology.h**2
    lambda_ = cosmology.background.is_lambda
    # that of a fluid cannot cross w = -1
    dark = {} if lambda_ else {"dark_energy_model": "ppf", "w": cosmology.w0, "wa": cosmology.wa}
    try:
        parameters = camb.set_params(
            H0=100 * cosmology.h,
            ombh2=cosmology.Omega_b * h2,
            omch2=(cosmology.Omega_m - cosmology.Omega_b) * h2,
            mnu=0.0,
            omk=0.0,
            ns=cosmology.n_s,
            As=TRIAL_A_S,
            WantTransfer=True,
            DoLensing=False,  # of the microwave background, which takes half of the time
            **dark,
        )
        parameters.set_matter_power(redshifts=[0.0], kmax=50.0)
        k, _, P = camb.get_results(parameters).get_matter_power_spectrum(1e-4, 50.0, 600)
    except camb.CAMBError as error:
        raise ConfigError(
            f"cosmology: camb cannot compute {cosmology}: {' '.join(str(error).split())}; "
            "wanted other parameters, or linear_power.source: eisenstein_hu"
        ) from None
    return LinearPower(k, P[0])


def _eisenstein_hu(cosmology: Cosmology) -> LinearPower:
    k = K_TABLE
    return LinearPower(k, k**cosmology.n_s * eisenstein_hu_transfer(k, cosmology) ** 2)


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


def _table(file: Path) -> LinearPower:
    wanted = "wanted two text columns, k [h/Mpc] and P [(Mpc/h)^3], k increasing"
    try:
        if not Path(file).read_text().strip():
            raise ValueError("it is empty")
        k, P = np.loadtxt(file, unpack=True, usecols=(0, 1), ndmin=2)
    except (OSError, ValueError) as error:
        raise FileError(f"linear_power.file: cannot read {file}: {error}; {wanted}") from None
    if (
        len(k) < 8
        or (k <= 0).any()
        or not (P > 0).all()
        or not np.isfinite(k + P).all()
        or (np.diff(k) <= 0).any()
    ):
        raise FileError(f"linear_power.file: {file} is not such a table; {wanted}, at least 8 rows")
    return LinearPower(k, P)


def check_source(source: str, file: Path | None) -> None:
    """Raise the errors of `linear_power` that can be told without computing a spectrum."""
    if file is not None:
        _table(file)
    if source == "camb" and find_spec("camb") is None:
        raise ConfigError(
            "linear_power.source: found 'camb', which is not installed; "
            "pip install camb, or use 'eisenstein_hu'"
        )
