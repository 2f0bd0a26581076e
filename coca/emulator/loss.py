"""The loss: errors of trajectories in Lagrangian space and of the density in Eulerian space.

    loss = 3 ln L_lagrangian + ln L_eulerian

(Jamieson et al. 2022, arXiv:2206.04594), where both L are fractions, so that every simulation
counts by what is left of it and no heavy halo rules. The time functions are orthonormal over the
times of the training: the squared error of their coefficients is the mean squared error of
positions over D, and with the metric of their derivatives that of velocities dx/dD. L_lagrangian is
the mean of both errors, each over its variance beyond 2LPT; L_eulerian the squared error of the
density, CIC on a mesh of as many cells as particles, over that density's variance, at one growth
factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.emulator.examples import Example, Examples
from coca.emulator.features import CHANNELS
from coca.emulator.training_set import training_times
from coca.gravity.mesh import Mesh

LAGRANGIAN_WEIGHT = 3.0


class Losses(NamedTuple):
    """Fractions of a variance that are left."""

    positions: float
    """Loss of trajectories beyond 2LPT, mean over D."""
    velocities: float
    """Loss of dx/dD beyond 2LPT, mean over D."""
    density: float
    """Loss of the density contrast."""

    def __str__(self) -> str:
        return " ".join(f"{value:.4f}" for value in self)

    @property
    def lagrangian(self) -> float:
        """Mean of positions and velocities."""
        return 0.5 * (self.positions + self.velocities)

    @property
    def total(self) -> float:
        """What is minimised."""
        return LAGRANGIAN_WEIGHT * float(np.log(self.lagrangian)) + float(np.log(self.density))


def mean_losses(losses: Sequence[Losses]) -> Losses:
    """Their means."""
    return Losses(*map(float, np.mean(losses, axis=0)))


class Loss:
    """Losses of the network's outputs and their derivatives, without a graph, on the host.

    Parameters
    ----------
    examples : Examples
    count : int
        Time functions K of the network, the first of the examples' J.
    """

    def __init__(self, examples: Examples, count: int):
        self.examples, self.domain, self.count = examples, examples.domain, count
        self._scale = np.repeat(examples.scales.outputs[:count], 3).astype(np.float32)
        self._metric = velocity_metric(examples)
        self._meshes = [Mesh(self.domain, self.domain.n_side) for _ in range(2)]
        self._variances: dict[int, tuple[float, float]] = {}

    def __call__(
        self, outputs: Tensor, example: Example, D: float, shift: np.ndarray
    ) -> tuple[Losses, Tensor]:
        """Losses and the derivative of their total.

        Parameters
        ----------
        outputs : tensor (1, 8 * 3 K, n/2, n/2, n/2)
            Folded coefficients over their rms.
        example : Example
        D : float
            Growth factor of the density.
        shift : array (3,)
            Of the density's mesh, in cells; errors should not depend on where it lies.

        Returns
        -------
        losses : Losses
        gradient : tensor
            As `outputs`.
        """
        errors, x = self.errors(outputs, example, D)
        positions, velocities, gradient = self._trajectories(errors, example)
        x += (self.domain.cell * shift).astype(np.float32)[:, None]
        density, force = self._density(x)
        losses = Losses(positions, velocities, density)
        force *= np.float32(1.0 / density)
        b = np.repeat(self.examples.functions(D)[: self.count], 3).astype(np.float32)
        kernels.training.add_force(force, b, self._scale, gradient.numpy())
        cells = gradient.flatten(3).to(outputs.device, outputs.dtype)
        return losses, cells.permute(3, 0, 1, 2)[None]

    def errors(self, outputs: Tensor, example: Example, D: float) -> tuple[Tensor, np.ndarray]:
        """Errors of the coefficients and the positions that they give.

        Returns
        -------
        errors : tensor (n/2, n/2, n/2, 8, 3 K) float32
            In Mpc/h.
        x : array (2, 3, N) float32
            True and emulated positions at D in Mpc/h, in Lagrangian order.
        """
        cells = outputs.detach()[0].permute(1, 2, 3, 0).float().cpu().unflatten(3, (8, -1))
        errors, x = torch.empty(cells.shape), np.empty((2, 3, self.domain.particles), np.float32)
        growth = D, self._cosmology(example).D2_of_D(D)[0]
        kernels.training.trajectory_errors(
            cells.numpy(),
            self._scale,
            example.fields,
            *example.symmetry.cells(self.domain.n_side),
            np.array(example.symmetry.axes),
            np.array(example.symmetry.signs, np.float32),
            CHANNELS,
            np.float32(self.examples.scales.inputs[[0, 3]] * growth),
            np.float32(self.examples.functions(D)),
            errors.numpy(),
            x,
        )
        for positions in x:
            self.domain.add_lattice(positions, positions)
        return errors, x

    def _trajectories(self, errors: Tensor, example: Example) -> tuple[float, float, Tensor]:
        """Fractions left of positions and velocities, and the derivative of their term."""
        K, N = self.count, self.domain.particles
        metric = torch.from_numpy(np.kron(self._metric[:K, :K], np.eye(3))).float()
        rows = errors.flatten(0, 3)
        slopes = rows @ metric
        of_positions, of_velocities = (N * variance for variance in self.variances(example))
        positions = float(torch.vdot(rows.flatten(), rows.flatten())) / of_positions
        velocities = float(torch.vdot(rows.flatten(), slopes.flatten())) / of_velocities
        weight = 2.0 * LAGRANGIAN_WEIGHT / (positions + velocities)
        slopes.mul_(weight / of_velocities).add_(rows, alpha=weight / of_positions)
        return positions, velocities, slopes.view(errors.shape)

    def variances(self, example: Example) -> tuple[float, float]:
        """Losses of positions and velocities beyond 2LPT of a simulation, three components
        together."""
        if example.number not in self._variances:
            targets = np.ascontiguousarray(example.fields[:, CHANNELS:].T)
            rows = torch.from_numpy(targets).view(torch.bfloat16).float()
            rows = rows.view(3, len(self._metric), -1).swapaxes(0, 1).flatten(1)
            moments = (rows @ rows.T / targets.shape[1]).double().numpy()
            variances = np.trace(moments), np.sum(moments * self._metric)
            self._variances[example.number] = float(variances[0]), float(variances[1])
        return self._variances[example.number]

    def _density(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Fraction left of the density, and its derivative in the emulated positions (3, N)."""
        for mesh, positions in zip(self._meshes, x, strict=True):
            mesh.paint(positions)
        true, difference = (mesh.field[..., : self.domain.n_side] for mesh in self._meshes)
        variance = float(np.square(true - np.float32(1)).sum(dtype=np.float64))
        difference -= true
        fraction = float(np.square(difference).sum(dtype=np.float64)) / variance
        slopes = np.empty_like(x[1])
        kernels.training.read_slopes(x[1], 1.0 / self.domain.cell, difference, slopes)
        slopes *= np.float32(2.0 / variance)
        return fraction, slopes

    def _cosmology(self, example: Example) -> Cosmology:
        return self.examples.simulations.planned[example.number].cosmology


def velocity_metric(examples: Examples) -> np.ndarray:
    """Mean over the training's times of products of the time functions' derivatives, (J, J)."""
    functions = examples.functions
    times = training_times(examples.simulations.config)
    slopes = [[functions.growth(k)(D)[1] for D in times] for k in range(len(functions))]
    return np.array(slopes) @ np.array(slopes).T / len(times)
