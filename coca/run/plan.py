"""The plan of a run: a configuration that has been checked, and what the run will take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from coca.configuration.run import Config
from coca.configuration.values import MOST_FOR_TOLERANCE
from coca.cosmology import linear_power
from coca.cosmology.amplitude import Amplitude, known_amplitude
from coca.emulator.loaded import Network, load_network
from coca.errors import CocaError, ConfigError
from coca.parallel.domain import check_ranks
from coca.parallel.machine import check_memory
from coca.parallel.ranks import OneRank, Ranks
from coca.run.checks import (
    check_knots,
    check_light_cone,
    check_output,
    check_pairs,
    check_start,
    check_tolerance,
    cone_volume,
    table_warnings,
    thread_warnings,
)
from coca.run.cost import Cost
from coca.run.memory import estimate_memory
from coca.run.method import Method, choose_methods
from coca.run.start_redshift import start_warnings

if TYPE_CHECKING:
    from coca.emulator.user_emulator import OwnEmulator


@dataclass(frozen=True)
class Plan:
    """A checked configuration with what was loaded and decided on the way."""

    config: Config
    ranks: Ranks
    threads: int
    """Threads of every rank."""
    network: Network | None
    methods: tuple[Method, ...]
    """What to try, the next where a force rejects the frame."""
    memory: int
    """Estimated peak memory of a rank in bytes."""
    warnings: tuple[str, ...]
    redshift: float
    """Redshift of the start."""
    own: OwnEmulator | None = None
    """The user's emulator, in the network's place."""
    amplitude: Amplitude | None = None
    """That of the linear power; None where a plan is made without `make_plan`."""

    def describe(self) -> str:
        """The plan, the memory and the cost, for people."""
        c = self.config
        outputs = ", ".join(f"{z:g}" for z in c.output.redshifts)
        lines = [
            f"box          {c.box_size:g} Mpc/h, {c.particles}^3 particles, force mesh {c.mesh}^3",
            f"cosmology    {self._cosmology()}",
            f"start        z = {self.redshift:g}, {self._source()}",
            f"method       {self.methods[0].describe(self._count())}",
            f"forces       {c.force_evaluations}{self._tolerance()}, outputs at z = {outputs}",
            *self._reference_line(),
            f"machine      {self._ranks()}{self.threads} threads{self._network_line()}",
            f"memory       {self.memory / 2**30:.2f} GiB at the peak{self._each()}, estimated",
            self._cost_line(),
            f"output       {c.output.directory}",
            *self._light_cone(),
        ]
        return "\n".join(lines + [f"warning      {line}" for line in self.warnings])

    def _light_cone(self) -> list[str]:
        cone = self.config.light_cone
        if cone is None:
            return []
        chi, boxes = cone_volume(self.config, cone)
        return [
            f"light cone   to z = {cone.z_max:g}, {chi:.0f} Mpc/h: {boxes:.3g} volumes of the box, "
            f"{boxes * self.config.particles**3:.3g} particles in maps of n_side {cone.n_side}"
        ]

    def _cosmology(self) -> str:
        c = self.config.build_cosmology()
        dark = "" if c.background.is_lambda else f", w0 = {c.w0:g}, wa = {c.wa:g}"
        amplitude = self.amplitude.describe() if self.amplitude else f"sigma_8 = {c.sigma_8:g}"
        neutrinos = f", m_nu = {c.m_nu:g} eV" if c.m_nu else ""
        return f"Omega_m = {c.Omega_m:g}, {amplitude}{dark}{neutrinos}"

    def _source(self) -> str:
        return self.config.modes

    def _ranks(self) -> str:
        return f"{self.ranks.size} ranks of " if self.ranks.size > 1 else ""

    def _each(self) -> str:
        return " of each rank" if self.ranks.size > 1 else ""

    def _count(self) -> int | None:
        count = self.config.force_evaluations
        return None if count == "auto" else count

    def _tolerance(self) -> str:
        if self.config.tolerance is None:
            return ""
        most = self.methods[0].at_least(MOST_FOR_TOLERANCE)
        error = f"{self.config.tolerance:g} Mpc/h rms"
        return f", as many as an estimated error of {error} takes, {most} at most"

    def _reference_line(self) -> list[str]:
        reference = self.config.reference
        if reference is None:
            return []
        count = reference.force_evaluations or None
        seconds = self.cost.run(reference.method, count)
        name = Method(reference.method).describe(count)
        return [f"reference    {name}, about {seconds:.1f} s of forces"]

    @property
    def cost(self) -> Cost:
        """What the run will take."""
        return Cost(self.config, self.threads * self.ranks.size)

    def _cost_line(self) -> str:
        line = f"cost         about {self.cost.forces(self.methods[0].name):.1f} s of forces"
        if self.config.tolerance is not None:
            line += f" and {self.cost.one_force():.2f} s for each that the tolerance takes"
        if self.network is not None and self.network.device == "cpu":
            line += f", {self.cost.network():.1f} s of the network"
        return line

    def _network_line(self) -> str:
        if self.network is None:
            return ""
        network = self.network
        pieces = f" in {network.slabs} slabs" if network.slabs > 1 else ""
        return f", network on {network.kind} in {network.precision}{pieces}"


def make_plan(config: Config, ranks: Ranks | None = None, own: OwnEmulator | None = None) -> Plan:
    """Check a configuration against this machine and its files.

    Parameters
    ----------
    config : Config
    ranks : Ranks, optional
        Who shares the run; by default nobody.
    own : OwnEmulator, optional
        What gives the frame with frame: emulator, in the place of the network.

    Raises
    ------
    CocaError
        Names the key or file, what was found and what is wanted; on all ranks.
    """
    ranks = ranks or OneRank()
    strength = ranks.once(lambda: _amplitude(config))  # what one computes others find kept
    with ranks.together(CocaError):
        plan = _plan(config, ranks, own)
    return replace(_agreed(plan), amplitude=strength)


def _amplitude(config: Config) -> Amplitude:
    source = config.linear_power.source
    linear_power.check_source(source, config.linear_power.file)
    return known_amplitude(config.build_cosmology(), source)


def _agreed(plan: Plan) -> Plan:
    """The plan with what all ranks have to do alike, and everybody's warnings.

    What a rank decides by its own device would have it send other planes than its neighbours wait
    for: the most slabs of all are taken, and single precision if any rank has no other.
    """
    ranks, network = plan.ranks, plan.network
    warnings = tuple(dict.fromkeys(line for w in ranks.gather(plan.warnings) for line in w))
    if network is not None:
        kinds = set(ranks.gather(network.kind))
        if len(kinds) > 1:
            raise ConfigError(
                f"device: found {' and '.join(sorted(kinds))}, wanted one on all ranks"
            )
        precisions = ranks.gather(network.precision)
        widest = "float32" if "float32" in precisions else network.precision
        slabs = max(ranks.gather(network.slabs))
        network = replace(network, precision=widest, slabs=slabs)
    return replace(plan, network=network, warnings=warnings)


def _plan(config: Config, ranks: Ranks, own: OwnEmulator | None) -> Plan:
    start = check_start(config, ranks)
    check_pairs(config)
    network, remarks = _network(config, ranks) if own is None else (None, [])
    if own is not None:
        check_knots(config, own)
    warnings = [*start.warnings, *remarks]
    warnings += start_warnings(config, config.build_cosmology(), start.redshift)
    if config.force.deconvolve and config.mesh == 2 * config.particles:
        warnings.append(
            "force.deconvolve multiplies what the lattice leaves on a mesh of twice the particles"
        )
    methods, remarks = choose_methods(config, own is not None)
    warnings += remarks
    check_tolerance(config, methods[0])
    if methods[0].table is not None and config.force_evaluations != 0:
        warnings += table_warnings(config, methods[0].table, start.redshift)
    warnings += thread_warnings(start.threads, ranks)
    memory = _memory(config, network, methods, ranks, own)
    check_output(config, ranks)
    check_light_cone(config, start.redshift, ranks)
    return Plan(
        config, ranks, start.threads, network, methods, memory, tuple(warnings), start.redshift, own
    )


def _memory(
    config: Config,
    network: Network | None,
    methods: tuple[Method, ...],
    ranks: Ranks,
    own: OwnEmulator | None,
) -> int:
    """Bytes of each rank, where the machine has them and ranks can share the sub-steps."""
    sub_steps = [method.sub_steps(config.force_evaluations) for method in methods]
    if any(sub_steps):
        half = config.particles // 2
        what = f"{half}, half of particles, for the sub-steps of fitted steps"
        check_ranks(half, ranks.size, what)
    fitted_steps = any(method.table for method in methods)
    read_out = any(method.reads_out(config.force_evaluations) for method in methods)
    memory = estimate_memory(config, network, fitted_steps, sub_steps[0], read_out, ranks.size)
    memory += 12 * len(own.knots) * config.particles**3 // ranks.size if own else 0
    wanted = "fewer particles or a coarser mesh"
    check_memory("particles, mesh", memory, wanted, ranks.node.ranks)
    return memory


def _network(config: Config, ranks: Ranks) -> tuple[Network | None, list[str]]:
    if config.frame != "emulator":
        return None, []
    network = load_network(config.emulator, config.device, config.particles, ranks)
    network.weights.check(config.particles, config.box_size, ranks.size)
    cell, cosmology = config.box_size / config.particles, config.build_cosmology()
    return network, network.weights.trained.warnings(cell, cosmology, config.output.redshifts)
