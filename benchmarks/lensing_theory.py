"""What light cones are held against: pyccl, linear modes along lines of sight, and P(k) of
snapshots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.interpolate import RectBivariateSpline
from scipy.ndimage import map_coordinates, spline_filter

from benchmarks.theory import boost
from coca.configuration.run import Config
from coca.cosmology.background import Cosmology, scale_factor
from coca.cosmology.distance import scale_factor_at
from coca.cosmology.linear_power import linear_power
from coca.cosmology.nonlinear_power import nonlinear_power
from coca.initial_conditions.linear_fields import InitialConditions
from coca.light_cone.geometry import Cone
from coca.light_cone.lensing import Convergence, convergence, efficiency
from coca.light_cone.shells import Shell, read_shell, shell_files
from coca.light_cone.sky import n_side_of, pixel_window
from coca.light_cone.sources import Sources
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.spectra import Spectra

if TYPE_CHECKING:
    import pyccl

SPECTRA = ("linear", "halofit", "HMcode2020", "EuclidEmulator2")
STEP = 4.0
"""Mpc/h along lines of sight, of modes that are longer than 4 particle spacings."""
WAVES = 200.0
"""Waves along the line of sight over a shell's thickness; beyond is a hundredth of its window."""
POINTS = 1000
"""Points of integrals over distance."""
SCALE_FACTORS = 20
"""Scale factors in tables of EuclidEmulator2's boost."""


def ccl_power(found: Convergence, l: np.ndarray, spectrum: str) -> np.ndarray:
    """C_l by pyccl of a convergence whose sources are at one redshift, the end of its cone.

    Parameters
    ----------
    found : Convergence
    l : array (L,)
    spectrum : str
        One of SPECTRA.

    Raises
    ------
    ImportError
        pyccl, or for EuclidEmulator2 euclidemu2, is not installed.
    """
    import pyccl

    universe = ccl_universe(found.cosmology, spectrum)
    lensing = pyccl.CMBLensingTracer(universe, z_source=float(found.sources.z[-1]))
    power = "delta_matter:delta_matter"
    if spectrum == "EuclidEmulator2":
        power = boosted(universe, found.cosmology, found.z[1])
    return universe.angular_cl(lensing, lensing, l, p_of_k_a=power)


def ccl_universe(cosmology: Cosmology, spectrum: str) -> pyccl.Cosmology:
    """pyccl's cosmology, with CAMB's linear power."""
    import pyccl

    c = cosmology
    kinds = {"halofit": "halofit", "HMcode2020": "camb"}
    return pyccl.Cosmology(
        Omega_c=c.Omega_m - c.Omega_b, Omega_b=c.Omega_b, h=c.h, n_s=c.n_s, sigma8=c.sigma_8,
        w0=c.w0, wa=c.wa, transfer_function="boltzmann_camb",
        matter_power_spectrum=kinds.get(spectrum, "linear"),
        extra_parameters={"camb": {"halofit_version": "mead2020", "kmax": 50.0}},
    )  # fmt: skip


def boosted(universe: pyccl.Cosmology, cosmology: Cosmology, z_most: float) -> pyccl.Pk2D:
    """Linear power times EuclidEmulator2's boost, which ends at k = 9.4 h/Mpc; no boost below its
    first k."""
    import pyccl

    z = np.linspace(z_most, 0.0, SCALE_FACTORS)
    k = boost(cosmology, 0.0)[0]
    low = np.geomspace(1e-4, 0.99 * k[0], 100)
    ratios = [np.append(np.ones(len(low)), boost(cosmology, float(each))[1]) for each in z]
    k = np.append(low, k) * cosmology.h
    P = [universe.linear_matter_power(k, scale_factor(each)) for each in z]
    return pyccl.Pk2D(
        a_arr=scale_factor(z), lk_arr=np.log(k), pk_arr=np.log(np.multiply(P, ratios)), is_logp=True
    )


class GlassCosmology:
    """Astropy's distances of a flat universe, as glass asks for them."""

    def __init__(self, cosmology: Cosmology):
        from astropy.cosmology import Flatw0waCDM

        self._astropy = Flatw0waCDM(
            H0=100.0, Om0=cosmology.Omega_m, w0=cosmology.w0, wa=cosmology.wa, Tcmb0=0.0
        )
        self.Omega_m0 = cosmology.Omega_m
        self.hubble_distance = self._astropy.hubble_distance.value

    def H_over_H0(self, z: float) -> float:
        """The expansion rate over today's."""
        return self._astropy.efunc(z)

    def transverse_comoving_distance(
        self, z: float | list[float], further: float | None = None
    ) -> float | np.ndarray:
        """Mpc/h from here, or from each of several redshifts to one behind them."""
        distance = self._astropy.comoving_distance
        if further is None:
            return distance(z).value
        return (distance(further) - distance(z)).value


def glass_convergence(shells: Sequence[Shell], z_source: float) -> np.ndarray:
    """The convergence of the same shells by glass (Tessore et al. 2023, arXiv:2302.01942): planes
    in the middle of each shell's redshifts, and a recurrence over them; array (12 n_side^2,).

    Raises
    ------
    ImportError
        glass is not installed.
    """
    from glass.lensing import MultiPlaneConvergence

    planes = MultiPlaneConvergence(GlassCosmology(shells[0].cosmology))
    for shell in shells:
        near, far = shell.z
        planes.add_plane(shell.counts / shell.mean - 1.0, 0.5 * (near + far), far - near)
    planes.add_plane(np.zeros(len(shells[0].counts)), z_source)
    return planes.kappa


class EmulatedPower:
    """P(k, z) of EuclidEmulator2: its boost times linear power; beyond its wavenumbers HMcode2020's
    spectrum, in the ratio that both have at the first and at the last of them.

    Parameters
    ----------
    cosmology : Cosmology
    z_most : float
        The highest redshift.

    Raises
    ------
    ImportError
        euclidemu2 is not installed.
    """

    def __init__(self, cosmology: Cosmology, z_most: float):
        self._other = nonlinear_power(cosmology, z_most)
        z, k = np.linspace(0.0, z_most, SCALE_FACTORS), boost(cosmology, 0.0)[0]
        D = cosmology.D1(scale_factor(z))
        linear = linear_power(cosmology, "camb")(k)
        ratios = [
            d**2 * linear * boost(cosmology, float(each))[1] / self._other(k, np.full(len(k), each))
            for each, d in zip(z, D, strict=True)
        ]
        self._ends = np.log(k[[0, -1]])
        self._ratio = RectBivariateSpline(z, np.log(k), ratios)

    def __call__(self, k: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Power in (Mpc/h)^3 at wavenumbers in h/Mpc, each at its redshift; arrays of one shape."""
        return self._other(k, z) * self._ratio.ev(z, np.clip(np.log(k), *self._ends))


def line_of_sight(
    conditions: InitialConditions, cone: Cone, sources: Sources, box_size: float, n_side: int
) -> np.ndarray:
    """The convergence of linear modes, integrated along the middle of every pixel: that of no
    particles, shells or pixels.

    Parameters
    ----------
    conditions : InitialConditions
        Of one rank.
    cone : Cone
        Its observer, cosmology and last edge.
    sources : Sources
    box_size : float
        Mpc/h.
    n_side : int

    Returns
    -------
    array (12 n_side^2,) float64
    """
    import healpy

    towards = np.array(healpy.pix2vec(n_side, np.arange(12 * n_side**2)))
    field = spline_filter(fine_field(conditions.delta_k), mode="grid-wrap")
    count = int(np.ceil(cone.chi[-1] / STEP))
    chi = cone.chi[-1] / count * (np.arange(count) + 0.5)
    a = scale_factor_at(cone.cosmology, chi)
    weights = efficiency(cone.cosmology, chi, sources) * cone.cosmology.D1(a) * (chi[1] - chi[0])
    kappa = np.zeros(towards.shape[1])
    for distance, weight in zip(chi, weights, strict=True):
        x = (cone.observer[:, None] + distance * towards) * (len(field) / box_size)
        kappa += weight * map_coordinates(field, x, prefilter=False, mode="grid-wrap")
    return kappa


def kept_by_motion(found: Convergence, l: np.ndarray, box_size: float) -> np.ndarray:
    """How much of the linear field's convergence is still correlated with it where particles have
    moved along it, in C_l: Limber's integral over linear power times exp(-k^2 sigma^2 / 2), over
    that without, with sigma the rms displacement along an axis (Crocce & Scoccimarro 2006,
    astro-ph/0509419); modes of the box alone."""
    cosmology = found.cosmology
    power = linear_power(cosmology, "camb")
    near, far = found.chi
    chi = near + (far - near) / POINTS * (np.arange(POINTS) + 0.5)
    D = cosmology.D1(scale_factor_at(cosmology, chi))
    k = np.geomspace(2.0 * np.pi / box_size, 10.0, 4000)
    sigma = np.sqrt(np.trapezoid(power(k) * k, np.log(k)) / (6.0 * np.pi**2))
    at = (l[:, None] + 0.5) / chi
    weight = power(at) * (efficiency(cosmology, chi, found.sources) * D / chi) ** 2
    return np.sum(weight * np.exp(-0.5 * (at * sigma * D) ** 2), axis=1) / np.sum(weight, axis=1)


def linear_convergence(config: Config, paired: Config) -> Convergence:
    """Half of the difference of two runs' convergences whose modes have opposite signs: without
    what is even in their amplitude, such as the lattice's own. Sources are where the cone ends."""
    found = []
    for each in (config, paired):
        run_plan(make_plan(each))
        shells = map(read_shell, shell_files(each.output.needed_directory()))
        found.append(convergence(shells, Sources.at(each.light_cone.z_max)))
    return replace(found[0], kappa=0.5 * (found[0].kappa - found[1].kappa))


def modes_in_map(
    kappa: np.ndarray, modes: np.ndarray, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """l from 2 to `last`, C_l of modes at points, and their cross power with a map of averages over
    pixels, whose window is divided out; n_side may differ."""
    import healpy

    l = np.arange(2, last + 1)
    a, b = (healpy.map2alm(pixels, lmax=last, pol=False) for pixels in (kappa, modes))
    window = pixel_window(n_side_of(kappa), l)
    return l, healpy.alm2cl(b)[2:], healpy.alm2cl(a, b)[2:] / np.sqrt(window)


def fine_field(delta_k: np.ndarray) -> np.ndarray:
    """The field of modes on a mesh twice as fine, which cubic splines follow."""
    n = len(delta_k)
    modes = np.zeros((2 * n, 2 * n, n + 1), np.complex64)
    where = np.fft.fftfreq(n, 1.0 / n).astype(int)
    modes[np.ix_(where, where, np.arange(n // 2 + 1))] = delta_k
    return np.fft.irfftn(modes, norm="forward").astype(np.float32)


def shell_power(chi: tuple[float, float], l: np.ndarray, measured: Spectra) -> np.ndarray:
    """C_l of the density contrast in a shell of sharp edges, given P(k) at its redshift: Limber's
    integral, with P averaged over the waves along the line of sight that a slab of its thickness
    has,

        P(k) -> int dq T / (2 pi) sinc^2(q T / 2) P((k^2 + q^2)^(1/2)).

    Parameters
    ----------
    chi : tuple of float
        Radii of its edges, Mpc/h.
    l : array (L,)
    measured : Spectra
        Shot noise and all; straight between its points in ln k and ln P, and at its ends
        constant.
    """
    near, far = chi
    thickness = far - near
    q = np.linspace(0.0, WAVES / thickness, 2000)
    window = np.sinc(q * thickness / (2.0 * np.pi)) ** 2
    window /= window.sum()
    k = np.geomspace(1e-3, 10.0, 500)
    waves = np.log(np.sqrt(k[:, None] ** 2 + q**2))
    P = np.exp(np.interp(waves, np.log(measured.k), np.log(measured.P_a))) @ window
    r = near + thickness / 50 * (np.arange(50) + 0.5)
    weight = r**2 / np.sum(r**2) * 50 / thickness
    at = np.log((l[:, None] + 0.5) / r)
    return np.exp(np.interp(at, np.log(k), np.log(P))) @ (weight**2 / r**2) * thickness / 50
