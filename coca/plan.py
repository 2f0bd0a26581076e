"""Everything that can be known to fail, checked before any work; and what the run will take."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from coca import initial, power
from coca.config import Config
from coca.errors import ConfigError
from coca.machine import choose_threads

if TYPE_CHECKING:
    import torch

    from coca.emulator.emulator import Emulator

FORCE_RATE = 3e8
"""Mesh cells times log2 of their number per second and core in a force evaluation, measured at
128^3 cells on a 2.8 GHz Xeon."""


@dataclass(frozen=True)
class Network:
    """A loaded emulator and where it runs."""

    emulator: Emulator
    device: torch.device
    precision: torch.dtype


@dataclass(frozen=True)
class Plan:
    """A checked configuration with what was loaded and decided on the way."""

    config: Config
    threads: int
    network: Network | None
    memory: int
    """Estimated peak memory in bytes."""
    warnings: tuple[str, ...]

    def describe(self) -> str:
        """The plan, the memory and the cost, for people."""
        c = self.config
        outputs = ", ".join(f"{z:g}" for z in c.output.redshifts)
        lines = [
            f"box          {c.box_size:g} Mpc/h, {c.particles}^3 particles, force mesh {c.mesh}^3",
            f"start        z = {c.initial_conditions.redshift:g}, seed {c.seed}",
            f"frame        {c.frame}, integrator {c.integrator.method}, gain {c.gain:g}",
            f"forces       {c.force_evaluations}, outputs at z = {outputs}",
            f"machine      {self.threads} threads{self._network_line()}",
            f"memory       {self.memory / 2**30:.2f} GiB at the peak, estimated",
            f"cost         about {self.cost():.1f} s of force evaluations",
            f"output       {c.output.directory}",
        ]
        return "\n".join(lines + [f"warning      {line}" for line in self.warnings])

    def cost(self) -> float:
        """Rough wall seconds of all force evaluations, the reference's included."""
        c = self.config
        forces = c.force_evaluations + (c.reference.force_evaluations if c.reference else 0)
        cells = c.mesh**3
        return forces * cells * math.log2(cells) / (FORCE_RATE * self.threads)

    def _network_line(self) -> str:
        if self.network is None:
            return ""
        return f", network on {self.network.device.type} in {self.network.precision}"


def make_plan(config: Config) -> Plan:
    """Check a configuration against this machine and its files.

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted.
    """
    threads = choose_threads(config.threads)
    power.check_source(config.linear_power.source, config.linear_power.file)
    if config.initial_conditions.file is not None:
        initial.check_file(config.initial_conditions.file, config.particles)
    network, warnings = _network(config)
    memory = estimate_memory(config, threads, network)
    _check_memory(memory)
    _check_directory(config.output.directory)
    return Plan(config, threads, network, memory, tuple(warnings))


def estimate_memory(config: Config, threads: int, network: Network | None) -> int:
    """Peak bytes: the larger of the network's pass and of the integration, with the code's own."""
    N, M = config.particles**3, config.mesh**3
    functions = len(network.emulator.functions) if network else 0
    fields = 12 * N * (2 + functions) if config.frame != "rest" else 0
    conditions = 28 * N
    mesh = M * (4 * 4 + 2 * 4 + 4 * (threads - 1)) + 16 * N
    outputs = 24 * N * len(config.output.redshifts) * (3 if config.reference else 2)
    integration = conditions + fields + mesh + 96 * N + outputs
    features, activations = 64 * N, 500 * N
    inference = conditions + features + activations if network else 0
    own = (850 if network else 400) * 2**20  # libraries, and the compiler on a first run
    return own + max(integration, inference)


def _network(config: Config) -> tuple[Network | None, list[str]]:
    if config.frame != "emulator":
        return None, []
    from coca.emulator.device import choose_device, choose_precision
    from coca.emulator.emulator import Emulator

    device = choose_device(config.device)
    emulator = Emulator.load(config.emulator.weights)
    emulator.check(config.particles, config.box_size)
    warnings = emulator.trained.warnings(config.cosmology.build(), config.output.redshifts)
    precision = choose_precision(config.emulator.precision, device)
    return Network(emulator, device, precision), warnings


def _check_memory(memory: int) -> None:
    total = psutil.virtual_memory().total
    if memory > total:
        raise ConfigError(
            f"particles, mesh: need {memory / 2**30:.1f} GiB of memory, this machine has "
            f"{total / 2**30:.1f} GiB; wanted fewer particles or a coarser mesh"
        )


def _check_directory(directory: Path) -> None:
    existing = next(p for p in (directory, *directory.absolute().parents) if p.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            f"output.directory: found {directory}, wanted a directory that can be written"
        )
