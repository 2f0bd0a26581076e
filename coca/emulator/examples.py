"""Training simulations as the network sees them: features and trajectories in bfloat16, mapped from
disk, rotated as they are read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file
from torch import Tensor

from coca import kernels
from coca.atomic_files import whole_file
from coca.emulator.features import CHANNELS, VECTORS, features
from coca.emulator.symmetry import Symmetry, tiled
from coca.emulator.time_functions import TimeFunctions, leading_functions
from coca.emulator.training_set import SimulationSet, read_map
from coca.errors import FileError, reason
from coca.files.safetensors import read_tensors, write_tensors
from coca.initial_conditions import lpt
from coca.integration.linear_density import linear_density
from coca.parallel.domain import Domain

SCALE_SIMULATIONS = 16
"""Simulations from which time functions and normalisations are measured."""


class Scales(NamedTuple):
    """What is measured from the first simulations."""

    rotation: np.ndarray
    """(J, J): turns coefficients of the training's polynomials into those of time functions, the
    leading first."""
    inputs: np.ndarray
    """(CHANNELS,) rms of features, the same for a vector's components."""
    outputs: np.ndarray
    """(J,) rms of coefficients of the time functions, Mpc/h."""

    @property
    def key(self) -> str:
        """A name for files that were made with them."""
        return hashlib.sha256(b"".join(a.tobytes() for a in self)).hexdigest()[:12]


class Example(NamedTuple):
    """The image of a simulation under a symmetry."""

    number: int
    """Index among the planned simulations."""
    fields: np.ndarray
    """Tile rows of the simulation itself, (N, CHANNELS + 3 J) uint16, the bits of bfloat16:
    features over their rms, then coefficients of the time functions in Mpc/h, component by
    component; tiled."""
    symmetry: Symmetry

    def features(self) -> Tensor:
        """What the network takes, features of the image, folded: (1, 8 CHANNELS, n/2, n/2, n/2)
        bfloat16."""
        n = round(len(self.fields) ** (1 / 3))
        out, symmetry = np.empty((*(n // 2,) * 3, 8, CHANNELS), np.uint16), self.symmetry
        axes, flips = np.array(symmetry.axes), symmetry.flips
        kernels.training.gather_folded(self.fields, *symmetry.cells(n), axes, flips, VECTORS, out)
        return torch.from_numpy(out).view(torch.bfloat16).flatten(3).permute(3, 0, 1, 2)[None]


def measured_scales(simulations: SimulationSet, domain: Domain) -> Scales:
    """Time functions and rms of features and coefficients of the first simulations there are;
    kept beside them, so that more simulations do not change them."""
    path = simulations.path(0).with_name(f"scales-{simulations.key}.safetensors")
    if not path.exists():
        write_tensors(path, save_file, _measure(simulations, domain)._asdict(), {})
    try:
        return Scales(**read_tensors(path, "numpy")[1])
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise FileError(
            f"{path}: cannot read: {reason(error)}; remove it to make it anew"
        ) from None


def _measure(simulations: SimulationSet, domain: Domain) -> Scales:
    present = simulations.present(simulations.training)[:SCALE_SIMULATIONS]
    J, count = len(simulations.basis), len(present)
    covariance, squares = np.zeros((J, J)), np.zeros(CHANNELS)
    for i in present:
        psi1, psi2, rows = simulations.load(i)
        covariance = covariance + rows @ rows.T / (rows.shape[1] * count)
        inputs = features(domain, lpt.density_of_displacement(domain, psi1), psi1, psi2)
        squares = squares + (inputs**2).mean(axis=(1, 2, 3)) / count
    vectors = squares[: 3 * VECTORS].reshape(VECTORS, 3)
    vectors[:] = vectors.mean(axis=1, keepdims=True)
    _, rotation = leading_functions(simulations.basis, covariance, J)
    variance = np.diag(rotation @ covariance @ rotation.T)
    return Scales(np.ascontiguousarray(rotation), np.sqrt(squares), np.sqrt(variance))


class Examples:
    """Simulations of a set with their features and rotated coefficients, one file each beside them.

    A file is made when its simulation is first asked for; the system keeps those in memory for
    which it has room.

    Parameters
    ----------
    simulations : SimulationSet
    domain : Domain
    scales : Scales
    """

    def __init__(self, simulations: SimulationSet, domain: Domain, scales: Scales):
        self.simulations, self.domain, self.scales = simulations, domain, scales
        self.functions = TimeFunctions(scales.rotation @ simulations.basis.coefficients)
        self._maps: dict[int, np.ndarray] = {}
        self._ln_sigma: dict[int, float] = {}

    def load(self, i: int, symmetry: Symmetry | None = None) -> Example:
        """Simulation `i`, or its image."""
        return Example(i, self._fields(i), symmetry or Symmetry())

    def ln_sigma(self, i: int) -> float:
        """Styles of simulation `i`, see `coca.emulator.network.style_of`."""
        if i not in self._ln_sigma:
            delta_k = lpt.density_of_displacement(self.domain, self.simulations.load(i)[0])
            self._ln_sigma[i] = linear_density(self.domain, delta_k, 1.0).log_rms
        return self._ln_sigma[i]

    def _fields(self, i: int) -> np.ndarray:
        """bfloat16 rows (N, CHANNELS + 3 J), as they are on disk."""
        if i not in self._maps:
            path = self._path(i)
            if not path.exists():
                self._make(i, path)
            self._maps[i] = read_map(path)
        return self._maps[i]

    def _make(self, i: int, path: Path) -> None:
        psi1, psi2, rows = self.simulations.load(i)
        delta_k = lpt.density_of_displacement(self.domain, psi1)
        inputs = features(self.domain, delta_k, psi1, psi2).reshape(CHANNELS, -1)
        inputs /= self.scales.inputs[:, None].astype(np.float32)
        targets = (self.scales.rotation.astype(np.float32) @ rows).reshape(len(rows), 3, -1)
        targets = targets.swapaxes(0, 1).reshape(3 * len(rows), -1)
        fields = torch.from_numpy(np.concatenate([inputs, targets]).T).to(torch.bfloat16)
        bits, n = fields.contiguous().view(torch.uint16).numpy(), self.domain.n_side
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, tiled(bits.reshape(n, n, n, -1)))

    def _path(self, i: int) -> Path:
        path = self.simulations.path(i)
        return path.with_name(f"{path.stem}-{self.scales.key}.npy")
