"""Initial conditions: linear modes at D = 1 and the LPT displacements they give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from coca.cosmology.background import Cosmology
from coca.cosmology.linear_power import LinearPower
from coca.errors import FileError, reason
from coca.frames import Frame, SnapshotFrame, lpt_frame
from coca.initial_conditions import gaussian_modes, lpt
from coca.initial_conditions.primordial import LocalType
from coca.parallel.domain import Domain

MOST_NOISE = 100.0
"""Beyond this nothing is white noise of unit variance."""


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
) -> InitialConditions:
    """Initial conditions, Gaussian or local; see
    `coca.initial_conditions.gaussian_modes.white_noise_modes`."""
    noise = gaussian_modes.white_noise_modes(domain, seed, fixed_amplitude, paired)
    return from_modes(domain, power, noise, local)


def from_modes(
    domain: Domain, power: LinearPower, noise: np.ndarray, local: LocalType | None = None
) -> InitialConditions:
    """Initial conditions from unit-variance modes, which are scaled in place."""
    delta_k = gaussian_modes.linear_density(domain, noise, power)
    if local is not None:
        local.add(domain, power, delta_k)
    return InitialConditions(
        delta_k, lpt.first_order(domain, delta_k), lpt.second_order(domain, delta_k)
    )


def from_file(
    domain: Domain, power: LinearPower, path: Path, local: LocalType | None = None
) -> InitialConditions:
    """Initial conditions from an HDF5 file.

    Parameters
    ----------
    domain : Domain
    power : LinearPower
        Used with white noise only.
    path : Path
        Holds /white_noise, shape (n, n, n), unit variance; or /psi1, shape (3, n, n, n),
        displacement in Mpc/h at D = 1. Every rank reads its planes.
    local : LocalType, optional
        Of the potential that white noise gives.

    Raises
    ------
    FileError
        The file cannot be read, has neither data set, or their shape or values do not fit.
    """
    first = domain.first_plane
    with domain.together():
        name, data = _read(path, domain.n_side, slice(first, first + domain.lattice[0]))
        _check_size(path, name, data, {"white_noise": MOST_NOISE, "psi1": domain.box_size}[name])
    if name == "white_noise":
        return from_modes(domain, power, gaussian_modes.modes_of_white_noise(domain, data), local)
    psi1 = domain.empty_particles()
    psi1[:] = data.reshape(3, -1)
    delta_k = lpt.density_of_displacement(domain, psi1)
    return InitialConditions(delta_k, psi1, lpt.second_order(domain, delta_k))


def check_file(path: Path, n: int, f_NL: float = 0.0) -> None:
    """Raise the errors of `from_file` that its data set's name and shape can tell; and for
    displacements, whose potential is what it is, where f_NL is not 0."""
    name, _ = _read(path, n, slice(0))
    if name == "psi1" and f_NL:
        raise FileError(
            f"initial_conditions.file: {path}: found /psi1, wanted /white_noise with "
            f"f_NL = {f_NL:g}"
        )


def _read(path: Path, n: int, planes: slice) -> tuple[str, np.ndarray]:
    key = "initial_conditions.file"
    shapes = {"white_noise": (n, n, n), "psi1": (3, n, n, n)}
    try:
        with h5py.File(path, "r") as file:
            found = [name for name in shapes if name in file]
            if len(found) != 1:
                raise FileError(f"{key}: {path}: wanted one of /white_noise and /psi1")
            data, wanted = file[found[0]], shapes[found[0]]
            if not isinstance(data, h5py.Dataset) or data.dtype.kind not in "fiu":
                raise FileError(f"{key}: {path}: /{found[0]}: wanted a data set of numbers")
            if data.shape != wanted:
                raise FileError(
                    f"{key}: {path}: /{found[0]} has shape {data.shape}, wanted {wanted}"
                )
            with np.errstate(over="ignore"):
                data = data[..., planes, :, :].astype(np.float32)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise FileError(f"{key}: cannot read {path}: {reason(error)}") from None
    if not np.isfinite(data).all():
        raise FileError(f"{key}: {path}: /{found[0]} has values that are not finite")
    return found[0], data


def _check_size(path: Path, name: str, data: np.ndarray, most: float) -> None:
    found = float(np.abs(data).max())
    if found > most:
        wanted = {"white_noise": "unit variance", "psi1": "Mpc/h, less than box_size"}[name]
        raise FileError(
            f"initial_conditions.file: {path}: /{name} has values of {found:.3g}, wanted {wanted}, "
            f"at most {most:g}"
        )
