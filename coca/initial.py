"""Initial conditions: linear modes at D = 1 and the LPT displacements they give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from coca import lattice, lpt, modes
from coca.cosmology import Cosmology
from coca.domain import Domain
from coca.errors import FileError
from coca.frames import Frame, HeldFrame, lpt_frame
from coca.power import LinearPower

LEAST_CORRELATION, MOST_GROWTH = 0.9, 0.3
"""Of displacements and velocities: beyond, one of them is not what it should be."""
SAME_GROWTH, SAME_SECOND = 5e-3, 5e-3
"""Relative differences of velocities and of second orders of which nothing is said."""
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
    held: HeldFrame | None = None
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
) -> InitialConditions:
    """Gaussian initial conditions; see `coca.modes.white_noise_modes`."""
    return from_modes(domain, power, modes.white_noise_modes(domain, seed, fixed_amplitude, paired))


def from_modes(domain: Domain, power: LinearPower, noise: np.ndarray) -> InitialConditions:
    """Initial conditions from unit-variance modes, which are scaled in place."""
    delta_k = modes.linear_density(domain, noise, power)
    return InitialConditions(
        delta_k, lpt.first_order(domain, delta_k), lpt.second_order(domain, delta_k)
    )


def from_file(domain: Domain, power: LinearPower, path: Path) -> InitialConditions:
    """Initial conditions from an HDF5 file.

    Parameters
    ----------
    domain : Domain
    power : LinearPower
        Used with white noise only.
    path : Path
        Holds /white_noise, shape (n, n, n), unit variance; or /psi1, shape (3, n, n, n),
        displacement in Mpc/h at D = 1. Every rank reads its planes.

    Raises
    ------
    FileError
        The file cannot be read, has neither data set, or their shape or values do not fit.
    """
    first = domain.first_plane
    with domain.together():
        name, data = _read(path, domain.n, slice(first, first + domain.lattice[0]))
        _check_size(path, name, data, {"white_noise": MOST_NOISE, "psi1": domain.box_size}[name])
    if name == "white_noise":
        return from_modes(domain, power, modes.modes_of_white_noise(domain, data))
    psi1 = domain.empty_particles()
    psi1[:] = data.reshape(3, -1)
    delta_k = lpt.density_of_displacement(domain, psi1)
    return InitialConditions(delta_k, psi1, lpt.second_order(domain, delta_k))


def from_snapshot(domain: Domain, cosmology: Cosmology, path: Path, D: float) -> InitialConditions:
    """Initial conditions from another code's snapshot, on whose particles the run starts.

    With x - q = D Psi1 + D2 Psi2 and v = Psi1 + D2' Psi2 (`coca.lpt`),

        (D D2' - D2) Psi1 = D2' (x - q) - D2 v,   (D D2' - D2) Psi2 = D v - (x - q).

    Psi1 is the gradient of the density that its divergence gives, and Psi2 is made from it. What
    the snapshot has beside, such as third order, decaying modes, Nyquist waves and the round-off of
    its positions, is kept in the particles at the start, but not in the frame.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    path : Path
        As for `coca.snapshot.read_header`.
    D : float
        Growth factor of the snapshot.

    Raises
    ------
    FileError
        See `coca.lattice.read_lattice`; or the velocities are not those of growing modes.
    """
    disp, vel, offset = lattice.read_lattice(domain, path)
    vel /= np.float32(cosmology.velocity_unit(D))
    growth = _growth(domain, path, disp, vel, D)
    D2, slope, _ = cosmology.D2_of_D(D)
    determinant = D * slope - D2
    psi1 = np.float32(slope / determinant) * disp
    psi1 -= np.float32(D2 / determinant) * vel
    delta_k = lpt.density_of_displacement(domain, psi1)
    psi1, psi2 = lpt.first_order(domain, delta_k), lpt.second_order(domain, delta_k)
    found = D * _product(domain, vel, psi2) - _product(domain, disp, psi2)
    second = found / determinant / _product(domain, psi2, psi2)
    return InitialConditions(
        delta_k, psi1, psi2, HeldFrame(D, disp, vel), _remarks(offset, growth, second)
    )


def _growth(domain: Domain, path: Path, disp: np.ndarray, vel: np.ndarray, D: float) -> float:
    """Velocities in those of displacements that grow with D."""
    moments = [_product(domain, *pair) for pair in ((disp, disp), (disp, vel), (vel, vel))]
    with np.errstate(divide="ignore", invalid="ignore"):
        growth = np.float64(D * moments[1]) / moments[0]
        correlation = np.float64(moments[1]) / np.sqrt(moments[0] * moments[2])
    if not (correlation > LEAST_CORRELATION and abs(growth - 1) < MOST_GROWTH):
        raise FileError(
            f"{lattice.KEY}: {path}: found velocities {growth:.3g} times those of growing "
            f"displacements from a lattice, correlated by {correlation:.3g}; wanted 1 and 1"
        )
    return float(growth)


def _product(domain: Domain, a: np.ndarray, b: np.ndarray) -> float:
    """Sum over all particles of the scalar product of vectors (3, N)."""
    return domain.sum(float(np.einsum("cp,cp->", a, b, dtype=np.float64)))


def _remarks(offset: np.ndarray, growth: float, second: float) -> tuple[str, ...]:
    remarks = []
    if offset.any():
        where = ", ".join(f"{value:.6g}" for value in offset)
        remarks.append(
            f"{lattice.KEY}: its lattice lies ({where}) Mpc/h from ours: add this to positions of "
            "this run to compare with those of the snapshot's code"
        )
    if abs(growth - 1) > SAME_GROWTH:
        remarks.append(
            f"{lattice.KEY}: velocities are {growth:.4f} times those of growing modes in this "
            "cosmology, wanted 1; radiation is neglected here"
        )
    if abs(second - 1) > SAME_SECOND:
        remarks.append(
            f"{lattice.KEY}: second-order displacements are {second:.4f} times those of 2LPT, "
            "wanted 1; displacements of first order have 0"
        )
    return tuple(remarks)


def check_file(path: Path, n: int) -> None:
    """Raise the errors of `from_file` that its data set's name and shape can tell."""
    _read(path, n, slice(0))


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
        raise FileError(f"{key}: cannot read {path}: {error}") from None
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
