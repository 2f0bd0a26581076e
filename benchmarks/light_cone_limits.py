"""What limits C_l of a light cone, one thing at a time, and what each option of a cone costs."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from coca.configuration.run import Config
from coca.configuration.sections import LightConeConfig
from coca.cosmology.background import Cosmology, redshift
from coca.cosmology.distance import comoving_distance, scale_factor_at
from coca.cosmology.nonlinear_power import nonlinear_power
from coca.light_cone.lensing import Convergence, lensing_weight
from coca.light_cone.shells import Shell, read_shell, shell_files
from coca.light_cone.sky import AngularPower
from coca.light_cone.theory import fundamental
from coca.parallel.domain import Domain
from coca.particles import Snapshot, into_box
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.spectra import particle_spectra

POINTS = 40
"""Points of integrals over a shell."""
MOST_MESH = 512
"""Cells per dimension of meshes that P(k) is measured on."""
CLEAN = 0.7
"""Share of such a mesh's Nyquist wavenumber to which there is no alias in P(k)."""

LAST, SLOPE = 0.8, -2.4
"""Share of the last k from which P(k) is continued, and HMcode2020's slope there."""

CONES: dict[str, dict | None] = {
    "none": None,
    "plain": {},
    "footprint: octant": {"footprint": "octant"},
    "footprint: a cone of 10 degrees": {"footprint": {"axis": [30.0, -45.0], "radius": 10.0}},
    "replicas: rotated": {"replicas": "rotated"},
    "momentum": {"momentum": True},
    "redshift_space": {"redshift_space": True},
    "particles": {"particles": True},
}
"""Options of the cones whose cost is measured."""


Spectrum: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""P in (Mpc/h)^3 of wavenumbers in h/Mpc, each at its redshift."""


class OwnPower(NamedTuple):
    """P(k, chi) of a run's own particles, shot noise and all."""

    k: np.ndarray
    """h/Mpc."""
    chi: np.ndarray
    """Distances at which particles were seen, Mpc/h, increasing."""
    P: np.ndarray
    """(Mpc/h)^3, array (len(chi), len(k))."""
    noise: float
    """Poisson's, (Mpc/h)^3; beyond the last k what is above it falls as k^SLOPE."""
    least: float
    """The box's smallest wavenumber, h/Mpc, below which there is nothing."""

    def __call__(self, k: np.ndarray, chi: float) -> np.ndarray:
        """At a distance: ln P straight between distances and in ln k, and from the box's smallest
        wavenumber to the first k constant."""
        weight = np.clip(np.interp(chi, self.chi, np.arange(len(self.chi))), 0, len(self.chi) - 1)
        low = min(int(weight), len(self.chi) - 2) if len(self.chi) > 1 else 0
        high, part = min(low + 1, len(self.chi) - 1), weight - low
        at = (1.0 - part) * np.log(self.P[low]) + part * np.log(self.P[high])
        tail = self.k > LAST * self.k[-1]
        above = max(float(np.median(np.exp(at[tail]))) - self.noise, 0.0)
        beyond = self.noise + above * (k / np.median(self.k[tail])) ** SLOPE
        inside = np.where(k < self.least, 0.0, np.exp(np.interp(np.log(k), np.log(self.k), at)))
        return np.where(k > self.k[-1], beyond, inside)


def own_power(domain: Domain, cosmology: Cosmology, snapshots: Sequence[Snapshot]) -> OwnPower:
    """P(k) of snapshots, to where meshes have no alias.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    snapshots : sequence of Snapshot
        From late to early.
    """
    mesh = min(4 * domain.n_side, MOST_MESH)
    chi = [float(comoving_distance(cosmology, cosmology.a_of_D(s.D))) for s in snapshots]
    measured = [
        particle_spectra(domain, mesh, into_box(domain.add_lattice(s.disp), domain.box_size))
        for s in snapshots
    ]
    k = measured[0].k
    clean = k < CLEAN * np.pi * mesh / domain.box_size
    P = np.array([each.P_a[clean] for each in measured])
    noise, least = domain.box_size**3 / domain.particles, fundamental(domain.box_size)
    return OwnPower(k[clean], np.array(chi), P, noise, least)


def limber_of_shells(
    shells: Sequence[Shell],
    kappa: Convergence,
    l: np.ndarray,
    power: Callable[[np.ndarray, float], np.ndarray],
) -> np.ndarray:
    """C_l of the convergence by Limber's integral, with one density contrast a shell: what is at
    chi lenses as the shell's mean does, and counts by its share of the shell's volume.

    Parameters
    ----------
    shells : sequence of Shell
    kappa : Convergence
    l : array (L,)
    power : callable
        P in (Mpc/h)^3 of wavenumbers in h/Mpc and a distance in Mpc/h.
    """
    C_l = np.zeros(len(l))
    for shell in shells:
        near, far = shell.chi
        step = (far - near) / POINTS
        chi = near + step * (np.arange(POINTS) + 0.5)
        weight = lensing_weight(shell.cosmology, shell.chi, kappa.sources)
        share = weight * 3.0 * chi**2 / (far**3 - near**3)
        for r, w in zip(chi, share, strict=True):
            C_l += step * (w / r) ** 2 * power((l + 0.5) / r, float(r))
    return C_l


def theory_of_shells(
    shells: Sequence[Shell], kappa: Convergence, l: np.ndarray, power: Spectrum, k_least: float = 0
) -> np.ndarray:
    """C_l by theory as a map of these shells has it: one density a shell, and no power at
    wavenumbers below `k_least` in h/Mpc; see `limber_of_shells`."""

    def known(k: np.ndarray, chi: float) -> np.ndarray:
        z = float(redshift(scale_factor_at(kappa.cosmology, np.array([chi]))[0]))
        return np.where(k < k_least, 0.0, power(k, np.full(len(k), z)))

    return limber_of_shells(shells, kappa, l, known)


def limits_row(
    shells: Sequence[Shell],
    kappa: Convergence,
    power: AngularPower,
    own: OwnPower,
    banded: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> dict:
    """What stands between C_l of the map and theory, each in the others' absence.

    Returns
    -------
    dict
        Ratios in bands of l. projection: of the map to the integral over the run's own P(k, z),
        noise and all. shells: one density a shell to the continuous kernel, both by theory. box:
        theory without modes beyond the box to that with all. spectrum, noise: integrals over the
        run's own P(k, z) less Poisson noise, and with it, to theory without modes beyond the box.
        window: what pixels leave.
    """
    l, theory = power.l, nonlinear_power(kappa.cosmology, kappa.z[1])
    whole = theory_of_shells(shells, kappa, l, theory)
    in_box = theory_of_shells(shells, kappa, l, theory, own.least)
    mine = limber_of_shells(shells, kappa, l, own)
    pairs = {
        "projection": (power.signal, mine),
        "shells": (whole, power.theory),
        "box": (power.theory_in_box, power.theory),
        "spectrum": (mine - kappa.shot_noise, in_box),
        "noise": (mine, in_box),
        "window": (power.window * power.theory, power.theory),
    }
    ratios = {name: (banded(l, a) / banded(l, b)).tolist() for name, (a, b) in pairs.items()}
    return {"part": "limits", **ratios}


def cost_rows(options: argparse.Namespace, config: Config) -> list[dict]:
    """Seconds of runs with cones of several kinds, without what numba compiles.

    Parameters
    ----------
    options : Namespace
        Its `cones` are the first so many of CONES.
    config : Config
        The run with the plain cone, without outputs in between.
    """
    rows = []
    for name, changes in list(CONES.items())[: options.cones]:
        run = config.model_copy(update={"light_cone": _cone(config, changes)})
        clock = run_plan(make_plan(run)).clock
        seconds = {stage: s - clock.compiled.get(stage, 0.0) for stage, s in clock.seconds.items()}
        cone, everything, painted = seconds.get("light cone", 0.0), sum(seconds.values()), 0
        if run.light_cone is not None:
            shells = map(read_shell, shell_files(run.output.needed_directory()))
            painted = sum(int(shell.counts.sum(dtype=np.int64)) for shell in shells)
        print(f"{name}: {cone:.1f} s of {everything:.1f}", flush=True)
        rows.append(
            {"part": "cost", "cone_of": name, "cone": cone, "all": everything, "painted": painted}
        )
    return rows


def _cone(config: Config, changes: dict | None) -> LightConeConfig | None:
    """The cone of a configuration with other options, or none."""
    if changes is None or config.light_cone is None:
        return None
    known = LightConeConfig(z_max=config.light_cone.z_max, **changes)
    return config.light_cone.model_copy(update={name: getattr(known, name) for name in changes})
