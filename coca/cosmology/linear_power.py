"""Linear matter power spectra at z = 0, always normalised to sigma_8 at z = 0."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import simpson
from scipy.interpolate import CubicSpline

from coca.atomic_files import user_cache, whole_file
from coca.cosmology.background import A_FIRST, Cosmology, redshift
from coca.cosmology.eisenstein_hu import K_TABLE, eisenstein_hu_shape
from coca.cosmology.power_table import check_quantity, continued, read_table, stretch
from coca.errors import ConfigError

if TYPE_CHECKING:
    import camb

TRIAL_A_S = 2e-9
"""Primordial amplitude that spectra are computed with, before they are normalised."""
K_PIVOT = 0.05
"""Wavenumber in 1/Mpc at which the primordial power of curvature is A_s."""
HUBBLE_LENGTH = 2997.92458
"""c / H0 in Mpc/h."""
SAME_UNIT, SAME_SIGMA_8 = 0.1, 0.01
"""Relative differences: of a table's wavenumbers to those in 1/Mpc, and of its sigma_8 to the
cosmology's, of which nothing is said."""
MISSED = 20.0
"""Per cent in P at k = 1 h/Mpc and z = 0 to 2 that are missed for an eV of neutrinos' mass, to a
third: EuclidEmulator2's boosts to 0.15 eV."""


@dataclass(frozen=True)
class LinearPower:
    """Linear P(k) at z = 0: a log-log spline, continued as power laws beyond its ends."""

    k: np.ndarray
    """Wavenumbers in h/Mpc, increasing."""
    P: np.ndarray
    """Power in (Mpc/h)^3."""
    k_cut: float = math.inf
    """From here on there is no power."""

    def __call__(self, k: ArrayLike) -> np.ndarray:
        """Power in (Mpc/h)^3 at wavenumber `k` in h/Mpc; zero at k = 0."""
        k = np.asarray(k, float)
        x, y = np.log(self.k), np.log(self.P)
        lnk = np.log(np.where(k > 0, k, 1.0))
        inside = CubicSpline(x, y)(np.clip(lnk, x[0], x[-1]))
        low = (y[1] - y[0]) / (x[1] - x[0]) * np.minimum(lnk - x[0], 0)
        high = (y[-1] - y[-2]) / (x[-1] - x[-2]) * np.maximum(lnk - x[-1], 0)
        return np.where((k > 0) & (k < self.k_cut), np.exp(inside + low + high), 0.0)

    def sigma(self, R: float) -> float:
        """Rms linear density contrast in spheres of radius `R` Mpc/h (top hat)."""
        lnk = np.linspace(np.log(1e-5), np.log(100.0 / R), 8192)
        k = np.exp(lnk)
        x = k * R
        window = np.where(x < 1e-2, 1 - x**2 / 10, 3 * (np.sin(x) - x * np.cos(x)) / x**3)
        return float(np.sqrt(simpson(k**3 * self(k) * window**2, x=lnk) / (2 * np.pi**2)))

    def normalised(self, sigma_8: float) -> LinearPower:
        """The same shape with the given sigma_8."""
        return replace(self, P=self.P * (sigma_8 / self.sigma(8.0)) ** 2)


def linear_power(cosmology: Cosmology, source: str, file: Path | None = None) -> LinearPower:
    """Linear power at z = 0, normalised to the cosmology's sigma_8.

    Parameters
    ----------
    cosmology : Cosmology
    source : {"camb", "eisenstein_hu", "table"}
    file : Path, optional
        For "table": text, columns k [h/Mpc] and P [(Mpc/h)^3], see
        `coca.cosmology.power_table`. Only its shape is used.

    Raises
    ------
    ConfigError
        camb is asked for and not installed.
    FileError
        The table is missing or is not one; names the line.
    """
    shapes: dict[str, Callable[[Cosmology], LinearPower]] = {
        "camb": _camb,
        "eisenstein_hu": _eisenstein_hu,
    }
    power = shapes[source](cosmology) if file is None else _table(cosmology, file)
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
    path = _camb_path(cosmology)
    damage = OSError, ValueError, KeyError, EOFError, BadZipFile
    with suppress(*damage), np.load(path, allow_pickle=False) as kept:
        return LinearPower(kept["k"], kept["P"])
    power = _from_camb(cosmology)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            np.savez(temporary, k=power.k, P=power.P)
    return power


def _camb_path(cosmology: Cosmology) -> Path:
    """Where CAMB's spectrum is kept, whatever its sigma_8."""
    shape = {k: v for k, v in cosmology.known().items() if k != "sigma_8"}
    identity = f"{version('camb')} A_s={TRIAL_A_S} {shape}"
    return user_cache() / f"camb-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"


def is_at_hand(cosmology: Cosmology, source: str) -> bool:
    """Whether a source takes no time: CAMB's spectrum is kept, or it is another source."""
    return source != "camb" or _camb_path(cosmology).is_file()


def camb_parameters(cosmology: Cosmology, A_s: float, **options: Any) -> camb.CAMBparams:
    """CAMB's parameters of a cosmology, three neutrinos of the same mass if they have any; its
    errors are `camb.CAMBError`.

    Parameters
    ----------
    cosmology : Cosmology
        Its sigma_8 is not used.
    A_s : float
    options
        Others of `camb.set_params`.
    """
    import camb

    h2 = cosmology.h**2
    lambda_ = cosmology.background.is_lambda
    # that of a fluid cannot cross w = -1
    dark = {} if lambda_ else {"dark_energy_model": "ppf", "w": cosmology.w0, "wa": cosmology.wa}
    parameters = camb.set_params(
        H0=100 * cosmology.h,
        ombh2=cosmology.Omega_b * h2,
        omch2=(cosmology.Omega_m - cosmology.Omega_b) * h2,
        mnu=cosmology.m_nu,
        num_massive_neutrinos=3 if cosmology.m_nu else 0,
        omk=0.0,
        ns=cosmology.n_s,
        As=A_s,
        WantTransfer=True,
        DoLensing=False,  # of the microwave background, which takes half of the time
        **dark,
        **options,
    )
    parameters.omch2 -= parameters.omnuh2  # neutrinos are part of Omega_m
    return parameters


def not_computed(cosmology: Cosmology, error: Exception) -> ConfigError:
    """What is said of a cosmology that CAMB does not take."""
    return ConfigError(
        f"cosmology: camb cannot compute {cosmology}: {' '.join(str(error).split())}; "
        "wanted other parameters, or linear_power.source: eisenstein_hu"
    )


def _from_camb(cosmology: Cosmology) -> LinearPower:
    import camb

    try:
        parameters = camb_parameters(cosmology, TRIAL_A_S)
        parameters.set_matter_power(redshifts=[0.0], kmax=50.0)
        k, _, P = camb.get_results(parameters).get_matter_power_spectrum(1e-4, 50.0, 600)
    except camb.CAMBError as error:
        raise not_computed(cosmology, error) from None
    return LinearPower(k, P[0])


def _eisenstein_hu(cosmology: Cosmology) -> LinearPower:
    return LinearPower(K_TABLE, eisenstein_hu_shape(K_TABLE, cosmology))


def _table(cosmology: Cosmology, file: Path) -> LinearPower:
    """The table, continued beyond its ends."""
    table = read_table(file)
    check_quantity(file, table, cosmology)
    return LinearPower(*continued(table, cosmology), table.k_cut)


def table_warnings(cosmology: Cosmology, file: Path) -> list[str]:
    """Lines on what of a table does not fit a cosmology, and on what was found in it; errors as in
    `linear_power`."""
    table, power = read_table(file), _table(cosmology, file)
    lines, k, found = [], 1.0, stretch(table, cosmology)
    if abs(found * cosmology.h - 1) < SAME_UNIT:
        k = 1 / cosmology.h
        lines.append(
            f"its k has to be multiplied by {found:.3g} to have this cosmology's shape, and 1/h is "
            f"{k:.3g}: a table in 1/Mpc and Mpc^3? wanted h/Mpc and (Mpc/h)^3"
        )
    elif found != 1.0:
        lines.append(f"its k has to be multiplied by {found:.3g} to have this cosmology's shape")
    in_box = LinearPower(power.k * k, power.P / k**3, power.k_cut * k)
    lines += _amplitude_warnings(cosmology, in_box.sigma(8.0))
    return [f"linear_power.file: {line}" for line in (*table.remarks, *lines)]


def _amplitude_warnings(cosmology: Cosmology, sigma_8: float) -> list[str]:
    ratio = sigma_8 / cosmology.sigma_8
    if abs(ratio - 1) < SAME_SIGMA_8:
        return []
    as_if = ""
    if cosmology.D1(A_FIRST) < ratio < 1:
        as_if = f", as at redshift {redshift(float(cosmology.a_of_D(ratio))):.3g}"
    return [
        f"its sigma_8 is {sigma_8:.4g}{as_if}; it is scaled to cosmology.sigma_8 = "
        f"{cosmology.sigma_8:g} at redshift 0, its power by {ratio**-2:.4g}"
    ]


def neutrino_warnings(cosmology: Cosmology) -> list[str]:
    """A line on what is neglected of massive neutrinos, if there are any."""
    if not cosmology.m_nu:
        return []
    return [
        f"cosmology.m_nu = {cosmology.m_nu:g} eV: linear power has neutrinos at z = 0, growth has "
        f"none: P is off by some {MISSED * cosmology.m_nu:.2g} % at k = 1 h/Mpc (docs/equations.md)"
    ]


def check_source(source: str, file: Path | None) -> None:
    """Raise the errors of `linear_power` that can be told without computing a spectrum."""
    if file is not None:
        read_table(file)
    if source == "camb" and find_spec("camb") is None:
        raise ConfigError(
            "linear_power.source: found 'camb', which is not installed; "
            "pip install camb, or use 'eisenstein_hu'"
        )
