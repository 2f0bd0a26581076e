"""An emulator as a run takes it: its weights, and the device and arithmetic of its pass."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from coca.configuration.run import EmulatorConfig
from coca.cosmology.background import Cosmology
from coca.emulator.device import (
    bytes_per_particle,
    choose_device,
    choose_precision,
    choose_slabs,
    sharers,
)
from coca.emulator.emulator import Emulator
from coca.frames import Frame
from coca.initial_conditions.linear_fields import InitialConditions
from coca.parallel.domain import Domain
from coca.parallel.ranks import OneRank, Ranks


@dataclass(frozen=True)
class Network:
    """A loaded emulator and where it runs."""

    emulator: Emulator
    device: torch.device
    precision: torch.dtype
    slabs: int
    """Pieces in which the network is done."""
    bytes_per_particle: int
    """Of a pass in one piece."""

    def frame(self, domain: Domain, cosmology: Cosmology, conditions: InitialConditions) -> Frame:
        """See `coca.emulator.emulator.Emulator.frame`."""
        return self.emulator.frame(
            domain, cosmology, conditions, self.device, self.precision, self.slabs
        )


def load_network(
    options: EmulatorConfig, device: str, particles: int, ranks: Ranks | None = None
) -> Network:
    """The emulator of a configuration, for a lattice of particles; errors as in `make_plan`."""
    ranks = ranks or OneRank()
    where, emulator = choose_device(device, ranks.node.rank), Emulator.load(options.weights)
    precision = choose_precision("auto", where)
    planes = max(1, particles // emulator.architecture.divisor // ranks.size)
    each = bytes_per_particle(precision)
    needed = each * particles**3 // ranks.size * sharers(where, ranks.node.ranks)
    slabs = choose_slabs(where, planes, needed)
    return Network(emulator, where, precision, slabs, each)
