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
from coca.emulator.symmetry import Symmetry
from coca.emulator.time_functions import TimeFunctions, leading_functions
from coca.emulator.training_set import SimulationSet
from coca.errors import FileError
from coca.files.safetensors import read_tensors, write_tensors
from coca.initial_conditions import lpt
from coca.integration.fitted_kick import nonlinearity
from coca.parallel.domain import Domain

SCALE_SIMULATIONS = 16
"""Simulations from which time functions and normalisations are measured."""


class Scales(NamedTuple):
    """What is measured from the first simulations."""

    rotation: np.ndarray
    """(J, J): turns coefficients of the training's polynomials into those of time functions, the
    leading first."""
    inputs: np.ndarray
    """(CHANNELS,) rms of features."""
    outputs: np.ndarray
    """(J,) rms of coefficients of the time functions, Mpc/h."""

    @property
    def key(self) -> str:
        """A name for files that were made with them."""
        return hashlib.sha256(b"".join(a.tobytes() for a in self)).hexdigest()[:12]


class Example(NamedTuple):
    """One simulation, its cells folded as in `coca.emulator.layers`."""

    number: int
    """Index among the planned simulations."""
    inputs: np.ndarray
    """Features over their rms, (n/2, n/2, n/2, 8, CHANNELS) uint16: the bits of bfloat16."""
    targets: np.ndarray
    """Coefficients (n/2, n/2, n/2, 8, 3 J) of the time functions in Mpc/h, likewise."""

    @property
    def features(self) -> Tensor:
        """What the network takes, (1, 8 CHANNELS, n/2, n/2, n/2) bfloat16."""
        cells = torch.from_numpy(self.inputs).view(torch.bfloat16).flatten(3)
        return cells.permute(3, 0, 1, 2)[None]


def measured_scales(simulations: SimulationSet, domain: Domain) -> Scales:
    """Time functions and rms of features and coefficients of the first simulations there are;
    kept beside them, so that more simulations do not change them."""
    path = simulations.path(0).with_name(f"scales-{simulations.key}.safetensors")
    if not path.exists():
        write_tensors(path, save_file, _measure(simulations, domain)._asdict(), {})
    try:
        return Scales(**read_tensors(path, "numpy")[1])
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise FileError(f"{path}: cannot read: {error}; remove it to make it anew") from None


def _measure(simulations: SimulationSet, domain: Domain) -> Scales:
    present = simulations.present(simulations.training)[:SCALE_SIMULATIONS]
    J, count = len(simulations.basis), len(present)
    covariance, squares = np.zeros((J, J)), np.zeros(CHANNELS)
    for i in present:
        psi1, psi2, rows = simulations.load(i)
        covariance = covariance + rows @ rows.T / (rows.shape[1] * count)
        inputs = features(domain, lpt.density_of_displacement(domain, psi1), psi1, psi2)
        squares = squares + (inputs**2).mean(axis=(1, 2, 3)) / count
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
        J = len(simulations.basis)
        self.functions = TimeFunctions(scales.rotation @ simulations.basis.coefficients)
        self._ln_sigma: dict[int, float] = {}
        self._kinds = [(VECTORS, CHANNELS - 3 * VECTORS, 0), (J, 0, CHANNELS)]

    def load(self, i: int, symmetry: Symmetry | None = None) -> Example:
        """Simulation `i`, or its image."""
        symmetry, n = symmetry or Symmetry(), self.domain.n
        source, cells = self._fields(i), symmetry.cells(n)
        fields = []
        for vectors, scalars, first in self._kinds:
            columns, flips = symmetry.components(vectors, scalars)
            out = np.empty((*(n // 2,) * 3, 8, len(columns)), np.uint16)
            kernels.training.gather_folded(source, *cells, columns + first, flips, out)
            fields.append(out)
        return Example(i, *fields)

    def ln_sigma(self, i: int) -> float:
        """Of simulation `i`, see `coca.emulator.network.style_of`."""
        if i not in self._ln_sigma:
            delta_k = lpt.density_of_displacement(self.domain, self.simulations.load(i)[0])
            self._ln_sigma[i] = nonlinearity(self.domain, delta_k, 1.0)
        return self._ln_sigma[i]

    def _fields(self, i: int) -> np.ndarray:
        """bfloat16 rows (N, CHANNELS + 3 J), as they are on disk."""
        path = self._path(i)
        if not path.exists():
            self._make(i, path)
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise FileError(f"{path}: cannot read: {error}; remove it to make it anew") from None

    def _make(self, i: int, path: Path) -> None:
        psi1, psi2, rows = self.simulations.load(i)
        delta_k = lpt.density_of_displacement(self.domain, psi1)
        inputs = features(self.domain, delta_k, psi1, psi2).reshape(CHANNELS, -1)
        inputs /= self.scales.inputs[:, None].astype(np.float32)
        targets = (self.scales.rotation.astype(np.float32) @ rows).reshape(-1, inputs.shape[1])
        fields = torch.from_numpy(np.concatenate([inputs, targets]).T).to(torch.bfloat16)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, fields.contiguous().view(torch.uint16).numpy())

    def _path(self, i: int) -> Path:
        path = self.simulations.path(i)
        return path.with_name(f"{path.stem}-{self.scales.key}.npy")
