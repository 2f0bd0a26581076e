"""An emulator as a run takes it: its weights, and the device and arithmetic of its pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from coca.configuration.sections import EmulatorConfig
from coca.cosmology.background import Cosmology
from coca.emulator.device import (
    bytes_per_particle,
    choose_device,
    choose_precision,
    choose_slabs,
    sharers,
)
from coca.emulator.weights_file import Weights, read_weights
from coca.frames import Frame
from coca.initial_conditions.linear_fields import InitialConditions
from coca.parallel.domain import Domain
from coca.parallel.ranks import OneRank, Ranks

if TYPE_CHECKING:
    from coca.emulator.emulator import Emulator


@dataclass(frozen=True)
class Network:
    """Checked weights and where their network runs; torch is loaded when it does."""

    weights: Weights
    device: str
    """A name of torch's, such as "cpu" or "cuda:1"."""
    precision: str
    """A dtype of torch's by name."""
    slabs: int
    """Pieces in which the network is done."""
    bytes_per_particle: int
    """Bytes per particle of a pass in one piece."""

    @property
    def kind(self) -> str:
        """The device's, without a number."""
        return self.device.partition(":")[0]

    @cached_property
    def emulator(self) -> Emulator:
        """The network with its weights."""
        from coca.emulator.emulator import Emulator

        return Emulator.of(self.weights)

    def frame(self, domain: Domain, cosmology: Cosmology, conditions: InitialConditions) -> Frame:
        """The frame of the emulator, see `coca.emulator.emulator.Emulator.frame`."""
        emulator = self.emulator
        import torch

        device, precision = torch.device(self.device), getattr(torch, self.precision)
        return emulator.frame(domain, cosmology, conditions, device, precision, self.slabs)


def load_network(
    options: EmulatorConfig, device: str, particles: int, ranks: Ranks | None = None
) -> Network:
    """The emulator of a configuration, for a lattice of particles; errors as in `make_plan`."""
    ranks = ranks or OneRank()
    where, weights = choose_device(device, ranks.node.rank), read_weights(options.weights)
    precision = choose_precision("auto", where)
    planes = max(1, particles // weights.architecture.divisor // ranks.size)
    each = bytes_per_particle(precision)
    needed = each * particles**3 // ranks.size * sharers(where, ranks.node.ranks)
    slabs = choose_slabs(where, planes, needed)
    return Network(weights, where, precision, slabs, each)
