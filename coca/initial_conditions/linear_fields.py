"""Initial conditions: linear modes at D = 1 and the LPT displacements they give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import LinearPower
from coca.errors import FileError
from coca.frames import Frame, SnapshotFrame, lpt_frame
from coca.initial_conditions import gaussian_modes, lpt
from coca.initial_conditions.field_file import NOISE, PSI1, read_field
from coca.initial_conditions.primordial import LocalType
from coca.parallel.domain import Domain

MOST_NOISE = 100.0
"""Beyond this nothing is white noise of unit variance."""
SAME_DEVIATION = 0.1
"""How far the standard deviation of white noise may be from 1, beside its scatter."""


@dataclass(frozen=True)
class InitialConditions:
    """The linear density at D = 1 and its displacements."""

    delta_k: np.ndarray
    """Modes (n, rows, n//2+1) complex64, delta(x) = sum_k delta_k exp(ikx)."""
    psi1: np.ndarray
    """First-order displacement (3, N) float32, Mpc/h."""
    psi2: np.ndarray
    """Second-order displacement (3, N) float32, Mpc/h."""
    snapshot: SnapshotFrame | None = None
    """What the particles do at the start where that is not 2LPT to the last bit."""
    remarks: tuple[str, ...] = ()
    """Lines on what was found in a snapshot."""

    def lpt_frame(self, cosmology: Cosmology) -> Frame:
        """Second-order LPT trajectories of the particles."""
        return lpt_frame(cosmology, self.psi1, self.psi2)


def from_seed(
    domain: Domain,
    power: LinearPower,
    seed: int,
    fixed_amplitude: bool = False,
    paired: bool = False,
    local: LocalType | None = None,
    draw: Callable[[Domain, int, bool, bool], np.ndarray] = gaussian_modes.white_noise_modes,
) -> InitialConditions:
    """Initial conditions, Gaussian or local, of modes that are drawn from a seed as by
    `coca.initial_conditions.gaussian_modes.white_noise_modes`, or by another of its generators."""
    noise = draw(domain, seed, fixed_amplitude, paired)
    return from_modes(domain, power, noise, local)


def from_modes(
    domain: Domain, power: LinearPower, noise: np.ndarray, local: LocalType | None = None
) -> InitialConditions:
    """Initial conditions from unit-variance modes, which are scaled in place."""
    delta_k = gaussian_modes.linear_modes(domain, noise, power)
    if local is not None:
        local.add(domain, power, delta_k)
    return InitialConditions(
        delta_k, lpt.first_order(domain, delta_k), lpt.second_order(domain, delta_k)
    )


def from_file(
    domain: Domain,
    power: LinearPower,
    path: Path,
    local: LocalType | None = None,
    paired: bool = False,
) -> InitialConditions:
    """Initial conditions from a file.

    Parameters
    ----------
    domain : Domain
    power : LinearPower
        Used with white noise only.
    path : Path
        White noise of unit variance, shape (n, n, n), or displacements in Mpc/h at D = 1, shape
        (3, n, n, n), see `coca.initial_conditions.field_file`. Every rank reads its planes.
    local : LocalType, optional
        Of the potential that white noise gives.
    paired : bool
        With the other sign.

    Raises
    ------
    FileError
        The file cannot be read, has neither data set, or their shape or values do not fit.
    """
    first = domain.first_plane
    with domain.together():
        name, data = read_field(path, domain.n_side, slice(first, first + domain.lattice[0]))
        _check_size(path, name, data, {NOISE: MOST_NOISE, PSI1: domain.box_size}[name])
    if paired:
        data = -data
    if name == NOISE:
        _check_variance(domain, path, data)
        return from_modes(domain, power, gaussian_modes.modes_of_white_noise(domain, data), local)
    psi1 = domain.empty_particles()
    psi1[:] = data.reshape(3, -1)
    delta_k = lpt.density_of_displacement(domain, psi1)
    return InitialConditions(delta_k, psi1, lpt.second_order(domain, delta_k))


def check_file(path: Path, n: int, f_NL: float = 0.0) -> None:
    """Raise the errors of `from_file` that its data set's name and shape can tell; and for
    displacements, whose potential is what it is, where f_NL is not 0."""
    name, _ = read_field(path, n, slice(0))
    if name == PSI1 and f_NL:
        raise FileError(
            f"initial_conditions.file: {path}: found /psi1, wanted /white_noise with "
            f"f_NL = {f_NL:g}"
        )


def _check_size(path: Path, name: str, data: np.ndarray, most: float) -> None:
    found = float(np.abs(data).max())
    if found > most:
        wanted = {"white_noise": "unit variance", "psi1": "Mpc/h, less than box_size"}[name]
        raise FileError(
            f"initial_conditions.file: {path}: /{name} has values of {found:.3g}, wanted {wanted}, "
            f"at most {most:g}"
        )


def _check_variance(domain: Domain, path: Path, noise: np.ndarray) -> None:
    """Raise FileError on all ranks if white noise is not of unit variance; without its Nyquist
    planes, which are not used, it has less."""
    n, total = (
        domain.n_side,
        domain.sum(float(np.einsum("ijl,ijl->", noise, noise, dtype=np.float64))),
    )
    found, scatter = math.sqrt(total / n**3), 5.0 / math.sqrt(2.0 * n**3)
    low, high = (1 - 1 / n) ** 1.5 - SAME_DEVIATION, 1 + SAME_DEVIATION
    if not low - scatter < found < high + scatter:
        raise FileError(
            f"initial_conditions.file: {path}: found white noise with a standard deviation of "
            f"{found:.4g}, wanted 1"
        )
