"""Muon for the convolutions, Adam for the rest, as one optimiser with plain tensors as state.

Muon (Jordan et al. 2024) replaces the momentum of a matrix by its nearest semi-orthogonal
matrix, found by a Newton-Schulz iteration; a convolution kernel is the matrix
(out, in * 27).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def orthogonalise(G: Tensor, iterations: int = 5) -> Tensor:
    """Semi-orthogonal matrix near `G` (singular values 0.7 to 1.2), by Newton-Schulz."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G.T if G.shape[0] > G.shape[1] else G
    X = X / (X.norm() + 1e-7)
    for _ in range(iterations):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if G.shape[0] > G.shape[1] else X


class Optimiser:
    """Steps the parameters of a network from their gradients.

    Parameters
    ----------
    network : nn.Module
    momentum, betas : float
        Of Muon and of Adam.
    """

    def __init__(
        self, network: nn.Module, momentum: float = 0.95, betas: tuple[float, float] = (0.9, 0.98)
    ):
        self.parameters = dict(network.named_parameters())
        self.momentum, self.betas = momentum, betas
        self.state: dict[str, Tensor] = {}
        for name, p in self.parameters.items():
            self.state[f"{name}.m"] = torch.zeros_like(p)
            if not self._is_hidden(name, p):
                self.state[f"{name}.v"] = torch.zeros_like(p)

    @staticmethod
    def _is_hidden(name: str, p: Tensor) -> bool:
        return p.ndim == 5 and not name.startswith(("stem", "head"))

    @torch.no_grad()
    def step(self, iteration: int, muon_rate: float, adam_rate: float, decay: float) -> None:
        """One step; `iteration` counts from 0, `decay` is the decoupled weight decay."""
        for name, p in self.parameters.items():
            if p.grad is None:  # as for torch's optimisers
                continue
            hidden = self._is_hidden(name, p)
            rate = muon_rate if hidden else adam_rate
            update = self._muon(name, p.grad) if hidden else self._adam(name, p.grad, iteration)
            if p.ndim > 1:
                p.mul_(1.0 - rate * decay)
            p.add_(update, alpha=-rate)
            p.grad = None

    def _muon(self, name: str, gradient: Tensor) -> Tensor:
        m = self.state[f"{name}.m"]
        m.mul_(self.momentum).add_(gradient)
        G = (gradient + self.momentum * m).flatten(1)
        return orthogonalise(G).reshape(m.shape) * max(1.0, G.shape[0] / G.shape[1]) ** 0.5

    def _adam(self, name: str, gradient: Tensor, iteration: int) -> Tensor:
        m, v = self.state[f"{name}.m"], self.state[f"{name}.v"]
        b1, b2 = self.betas
        m.lerp_(gradient, 1 - b1)
        v.lerp_(gradient**2, 1 - b2)
        t = iteration + 1
        return m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + 1e-8)
