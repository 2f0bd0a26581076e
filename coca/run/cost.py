"""Rough seconds that a run will take, from its sizes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from coca.configuration.run import Config
from coca.integration.nbody import LONG_STEPS
from coca.run.method import BULLFROG_REFERENCE

FORCE_RATE = 7.5e8
"""Mesh cells times log2 of their number per second and core in a force evaluation with central
differences, on a 2.8 GHz Xeon."""
NBODY_RATE = 4e5
"""Particles per second and core that a long step of N-body takes to its end, at z = 0, there."""
NETWORK_RATE = 5e5
"""Particles per second and core in the pass of the shipped network, in float32, there."""


@dataclass(frozen=True)
class Cost:
    """Wall seconds of a configuration's forces and network on CPUs."""

    config: Config
    cores: int
    """Threads of all ranks."""

    def forces(self, method: str) -> float:
        """Seconds of all force evaluations, the reference's included; of the run's own none where
        the tolerance decides how many there are."""
        count, reference = self.config.force_evaluations, self.config.reference
        seconds = self.run(method, None if count == "auto" else count)
        if reference is not None:
            seconds += self.run(reference.method, reference.force_evaluations)
        return seconds

    def run(self, method: str, count: int | None) -> float:
        """Seconds of a method with a number of forces, or as many as converge."""
        if method == "nbody":
            steps = count or LONG_STEPS
            return self.config.particles**3 * steps / (NBODY_RATE * self.cores)
        return (count or (BULLFROG_REFERENCE if method == "bullfrog" else 0)) * self.one_force()

    def one_force(self) -> float:
        """Seconds of a force on the mesh."""
        cells = self.config.mesh**3
        return cells * math.log2(cells) / (FORCE_RATE * self.cores)

    def network(self) -> float:
        """Seconds of a pass of the network."""
        return self.config.particles**3 / (NETWORK_RATE * self.cores)
