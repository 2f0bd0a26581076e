"""Weights averaged over the last part of a training."""

from __future__ import annotations

import copy

import torch

from coca.emulator.network import UNet

WIDTH = 17.0
"""Exponent of the memory: iterations count as (t / t_now)^WIDTH, so that the average is over about
the last twentieth of a training, however long it is (Karras et al. 2024, arXiv:2312.02696)."""


class Average:
    """A network whose parameters follow those of another.

    Parameters
    ----------
    network : UNet
        The one that is trained.
    """

    def __init__(self, network: UNet):
        self._followed = network
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Take in the parameters after an iteration, counted from 0."""
        weight = 1.0 - (1.0 - 1.0 / (iteration + 1)) ** (WIDTH + 1)
        averages, values = self.network.parameters(), self._followed.parameters()
        torch._foreach_lerp_(list(averages), list(values), weight)
