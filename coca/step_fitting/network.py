"""The network that reads out the last step, `coca.integration.read_out`, by descent for what is
measured in runs: power and correlation with the truth in real and in redshift space, and the sizes
and velocity dispersions of haloes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from coca.configuration.fitting import FitConfig
from coca.integration.fitted_table import FittedCount
from coca.integration.read_out import HIDDEN, ReadOutNetwork
from coca.kernels.lattice_layout import OUTPUTS, SCALARS, VECTORS
from coca.step_fitting.least_squares import factors
from coca.step_fitting.losses import loss_of_positions, loss_of_velocities, positions, power_bias
from coca.step_fitting.runs import FitRun, Report

SIZE_WEIGHT, DISPERSION_WEIGHT = 0.02, 0.05
"""Weights of (size / true size - 1)^2 and that of dispersions, mean squares both."""
POSITIONS, MOTIONS = slice(0, VECTORS), slice(VECTORS, OUTPUTS)
"""Which coefficients are of positions, and of velocities."""
WARM_UP = 0.1
"""Share of the iterations in which the learning rate rises."""
LARGEST_GRADIENT = 1.0
SAMPLED = 64
"""Every so many particles of a run tell mean and spread of what the network sees."""
REPORTS = 10


Features = tuple[torch.Tensor, torch.Tensor]


class Sample:
    """A run that has come to its end, where the network is to read it out.

    Parameters
    ----------
    run : FitRun
    count : FittedCount
        The steps that it takes.
    """

    def __init__(self, run: FitRun, count: FittedCount):
        self.run, self.conditions = run, count.conditions(run.density)
        run.follow(count)
        self.fields, domain = run.lattice_fields(), run.truth.domain
        self.e, self.w = torch.from_numpy(run.state.e), torch.from_numpy(run.state.w)
        self.cell = domain.cell
        self.estimate = run.estimate()
        run.rest()

    def features(self) -> Features:
        """Vectors (VELOCITIES, 3, N) and scalars (SCALARS, N)."""
        vectors, scalars = self.fields.features(self.conditions)
        return torch.from_numpy(vectors), torch.from_numpy(scalars)

    def displaced(self, network: Perceptron, seen: Features | None = None) -> torch.Tensor:
        """Residual displacements (3, N) of particles as they are seen."""
        vectors, scalars = seen or self.features()
        moved = _Sum.apply(network(scalars, POSITIONS), vectors[:VECTORS])
        return self.e + self.cell * moved

    def moved(self, network: Perceptron, seen: Features | None = None) -> torch.Tensor:
        """Residual velocities (3, N) of particles as they are seen."""
        vectors, scalars = seen or self.features()
        moved = _Sum.apply(network(scalars, MOTIONS), vectors)
        return self.w + self.cell / self.run.D_end * moved

    def loss(self, network: Perceptron, of: str, axis: int) -> torch.Tensor:
        """What "positions" or "velocities" leave to be desired, with a line of sight for these."""
        if of == "positions":
            return self.position_loss(network)
        return self.velocity_loss(network, axis)

    def position_loss(self, network: Perceptron) -> torch.Tensor:
        """What positions leave to be desired."""
        return loss_of_positions(
            self.run, positions(self.run, self.displaced(network)), SIZE_WEIGHT
        )

    def velocity_loss(self, network: Perceptron, axis: int) -> torch.Tensor:
        """What velocities leave to be desired, with a line of sight; positions are given."""
        run, seen = self.run, self.features()
        with torch.no_grad():
            x = positions(run, self.displaced(network, seen))
        v = torch.from_numpy(run.frame.velocity(run.D_end)) + self.moved(network, seen)
        return loss_of_velocities(run, x, v, axis, DISPERSION_WEIGHT)

    def error(self, network: Perceptron, share: float) -> float:
        """Rms error per component of the displacement, Mpc/h, with a share of the network's."""
        with torch.no_grad():
            e = (self.e + share * (self.displaced(network) - self.e)).numpy()
        return float(np.std((e - self.run.target(self.run.D_end)[0]).astype(np.float64)))


class _Sum(torch.autograd.Function):
    """Sum (3, N) of given vectors (m, 3, N) times shares (m, N)."""

    @staticmethod
    def forward(ctx: Any, shares: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        ctx.vectors = vectors
        return (shares[:, None] * vectors).sum(dim=0)

    @staticmethod
    def backward(ctx: Any, *derivatives: torch.Tensor) -> tuple[torch.Tensor, None]:
        return (derivatives[0] * ctx.vectors).sum(dim=1), None


def fit_network(
    runs: list[FitRun],
    count: FittedCount,
    config: FitConfig,
    report: Report,
    start: ReadOutNetwork | None = None,
) -> tuple[FittedCount, list[Sample], Perceptron]:
    """Steps with a network that reads out their end, from a network to start from, if there is one;
    the runs at that end, and the network as it was fitted."""
    samples = [Sample(run, count) for run in runs]
    network = perceptron_for(samples, start)
    descend(network, samples, config, report)
    fitted = replace(count, network=network.weights(), shares=None)
    return replace(fitted, shares=shares_of(runs, samples, network)), samples, network


@torch.no_grad()
def shares_of(runs: list[FitRun], samples: list[Sample], network: Perceptron) -> np.ndarray:
    """How much of the displacements is to be taken, array (K,), for the power to be right on
    average; descent by a few runs at a time leaves some per cent."""
    with_none = np.array([power_bias(sample.run, sample.e) for sample in samples])
    with_all = np.array([power_bias(sample.run, sample.displaced(network)) for sample in samples])
    weights = np.array([run.weights for run in runs])
    prior = np.ones(weights.shape[1])
    prior[runs[0].on_nodes.size :] = 0.0
    return factors(weights, prior, with_none, with_all)


class Perceptron(nn.Module):
    """The network, of scalars (SCALARS, N) with a mean and a spread; it moves nothing yet."""

    def __init__(self, mean: torch.Tensor, spread: torch.Tensor):
        super().__init__()
        self.mean, self.spread = mean, spread
        self.first = nn.Linear(SCALARS, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN)
        self.last = nn.Linear(HIDDEN, OUTPUTS)
        for part in self.last.parameters():
            nn.init.zeros_(part)

    def forward(self, scalars: torch.Tensor, rows: slice) -> torch.Tensor:
        """Some of the coefficients (OUTPUTS, N)."""
        w1, b1 = self._first()
        hidden = nn.functional.hardswish(torch.addmm(b1[:, None], w1, scalars))
        w2, b2 = self.second.weight, self.second.bias[:, None]
        hidden = nn.functional.hardswish(torch.addmm(b2, w2, hidden))
        return torch.addmm(self.last.bias[rows, None], self.last.weight[rows], hidden)

    def _first(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weights and biases of the first layer, with mean and spread in them."""
        w1 = self.first.weight / self.spread
        return w1, self.first.bias - w1 @ self.mean

    def take(self, network: ReadOutNetwork) -> None:
        """Become another network, the mean and spread of whose scalars may be others."""
        w1, b1, *layers = (torch.from_numpy(array.copy()) for array in vars(network).values())
        own = self.second.weight, self.second.bias, self.last.weight, self.last.bias
        with torch.no_grad():
            self.first.weight.copy_(w1 * self.spread)
            self.first.bias.copy_(b1 + w1 @ self.mean)
            for part, values in zip(own, layers, strict=True):
                part.copy_(values)

    def weights(self) -> ReadOutNetwork:
        """The weights, with mean and spread in the first layer."""
        layers = self.second.weight, self.second.bias, self.last.weight, self.last.bias
        parts = (*self._first(), *layers)
        return ReadOutNetwork(*(part.detach().numpy().copy() for part in parts))


def perceptron_for(samples: list[Sample], start: ReadOutNetwork | None = None) -> Perceptron:
    """A network whose first layer sees what is of order one in these runs; it moves what `start`
    does."""
    seen = torch.cat([sample.features()[1][:, ::SAMPLED].clone() for sample in samples], dim=1)
    torch.manual_seed(len(samples))
    network = Perceptron(seen.mean(dim=1), seen.std(dim=1) + 1e-3)
    if start is not None:
        network.take(start)
    return network


def descend(network: Perceptron, samples: list[Sample], config: FitConfig, report: Report) -> None:
    """Train on a batch of runs at a time, by Adam; positions and velocities in turn."""
    optimiser = torch.optim.Adam(network.parameters(), config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.iterations, pct_start=WARM_UP
    )
    lately: dict[str, list[float]] = {"positions": [], "velocities": []}
    rng = np.random.default_rng(config.seed)
    for number in range(1, config.iterations + 1):
        optimiser.zero_grad()
        of = "positions" if number % 2 else "velocities"
        for i in rng.choice(len(samples), config.batch, replace=False):
            loss = samples[i].loss(network, of, int(rng.integers(3)))
            (loss / config.batch).backward()
            lately[of].append(loss.item())
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        schedule.step()
        if number % max(2, config.iterations // REPORTS) == 0:
            left = ", ".join(f"{name} {np.mean(values):.4f}" for name, values in lately.items())
            report(f"iteration {number} of {config.iterations}: {left}")
            lately = {name: [] for name in lately}
