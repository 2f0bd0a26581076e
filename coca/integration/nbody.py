"""Converged N-body runs: the mesh's force on long steps, that of pairs on steps of each particle's.

The equation of motion in D, d(mu v)/dD = -c mu g with dmu/dD = c D mu, is kicked by

    v <- m v - (1 - m) g / D,   m = mu0 / mu1,

exact where g grows like D (Feng et al. 2016, arXiv:1603.00476): linear growth costs nothing. What
particles add to one another within the cut changes fast in haloes; the mesh's part is smooth, on
scales above the cut, and changes slowly. So in a long step a particle keeps the mesh's g / D, while
it is kicked, drifts and is kicked again with the force of pairs, in steps of its own that are
halves of halves of the long one. At the long step's end the mesh's g / D is known anew, and half of
its change is made up for: this is the trapezoidal rule, and all of it is of second order.

A particle's own step H resolves the fastest orbit that its neighbours allow, c kappa H^2 <= eta^2,
with kappa the sum of acceleration over distance of its pairs. Steps begin and end together at the
ends of long ones, where the state is: displacement and velocity at one time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.gravity.p3m import P3M, SlabParticles
from coca.integration import schemes
from coca.integration.kicks import Evaluation
from coca.integration.schemes import Step
from coca.parallel.domain import Domain
from coca.particles import Snapshot, State

LONG_STEPS = 64
"""Long steps from early times to today, uniform in D but for the first ones."""
EARLIEST = 0.2
"""Most that a long step takes of D."""
ETA = 0.18
"""Phase, in radians, that a particle's own step may take on its fastest orbit."""
COARSEST = 0.72
"""Largest such phase, however few the long steps: beyond it orbits are not followed."""
DEPTH = 8
"""Rungs of a particle's own steps."""
MARGIN = 1.5
"""Beyond the distance at the highest speed, what sources in other slabs are kept in reach."""


@dataclass
class WorkDone:
    """What a run has had to do."""

    long_steps: int = 0
    ticks: int = 0
    kicks: int = 0
    """Kicks of single particles, by pairs."""


class NBody:
    """Follows particles with P3M from one time to the next.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    force : P3M
    eta : float

    Attributes
    ----------
    memory : dict of arrays
        The forces at the state's time, kept for the next step: pairs are summed in an order that
        changes from step to step, so that a run that resumes needs them for the same bits.
    work : WorkDone
    """

    def __init__(self, domain: Domain, cosmology: Cosmology, force: P3M, eta: float = ETA):
        self.domain, self.cosmology, self.force, self.eta = domain, cosmology, force, eta
        self.memory: dict[str, np.ndarray] = {}
        self.work = WorkDone()

    def step(self, state: State, D1: float) -> None:
        """Take the state of particles at rest, both of its parts at one time, to `D1`."""
        D0, mu = state.D_e, self.cosmology.mu
        if state.D_w != D0:
            raise ValueError(f"displacement at D = {D0}, wanted the velocity's {state.D_w}")
        x = self.domain.add_lattice(state.e)
        if not self.memory:
            self.memory = self._forces(x, D0)
        before = self.memory["steady"]
        speed = float(np.sqrt(np.max(np.sum(state.w**2, axis=0), initial=0.0)))
        speed = max(self.domain.ranks.gather(speed))
        slab = self.force.gather(x, MARGIN * speed * (D1 - D0))
        v, steady, short = (slab.take(values) for values in (state.w, before, self.memory["short"]))
        moved = self._follow(slab, v, steady, short, D0, D1)
        state.e += slab.bring_home(moved)
        state.w[...] = slab.bring_home(v)
        after = self.force.long_range(self.domain.add_lattice(state.e, out=x), x)
        after /= np.float32(D1)
        state.w -= np.float32(0.5 * (1.0 - mu(D0) / mu(D1))) * (after - before)
        state.D_e = state.D_w = D1
        self.memory = {"steady": after, "short": slab.bring_home(short)}
        self.work.long_steps += 1

    def follow(
        self,
        steps: Sequence[Step],
        state: State,
        outputs: Sequence[float],
        on_evaluation: Callable[[Evaluation | None], None] = lambda evaluation: None,
        on_step: Callable[[], None] = lambda: None,
    ) -> Iterator[Snapshot]:
        """Follow the particles through long steps and yield snapshots, at each of which one ends
        or the first begins.

        Parameters
        ----------
        steps : sequence of Step
            From `long_steps`.
        state : State
            Of particles in the frame at rest; advanced in place.
        outputs : sequence of float
            In increasing order, the state's time or ends of steps.
        on_evaluation, on_step : callable, optional
            See `coca.integration.integrate.integrate`.
        """
        pending = list(outputs)
        if pending and pending[0] == state.D_e:
            yield Snapshot(pending.pop(0), state.e.copy(), state.w.copy())
        for step in steps:
            self.step(state, step.D1)
            on_evaluation(None)
            if pending and pending[0] == step.D1:
                pending.pop(0)
                yield Snapshot(step.D1, state.e.copy(), state.w.copy())
            if step is not steps[-1]:
                on_step()

    def _forces(self, x: np.ndarray, D: float) -> dict[str, np.ndarray]:
        """The memory at the start of a run."""
        slab = self.force.gather(x)
        short = slab.bring_home(self.force.short_range(slab))
        return {"steady": self.force.long_range(x) / np.float32(D), "short": short}

    def _follow(
        self,
        slab: SlabParticles,
        v: np.ndarray,
        steady: np.ndarray,
        short: np.ndarray,
        D0: float,
        D1: float,
    ) -> np.ndarray:
        """Advance velocities through a long step, and leave the pairs' force of its end in `short`;
        how far particles have moved."""
        ticks, H = 1 << DEPTH, D1 - D0
        start, moved = slab.tree.x.copy(), np.zeros_like(v)
        D = D0 + H * np.arange(2 * ticks + 1) / (2 * ticks)
        mu, c = self.cosmology.mu(D), self.cosmology.c(D)
        rungs, active = np.zeros(len(slab.targets), np.int8), slab.targets.copy()
        sizes = ticks >> np.arange(DEPTH + 1)
        tick = 0
        while True:
            factors = np.ones((2, DEPTH + 1), np.float32)
            if tick > 0:
                factors[0] = mu[np.maximum(2 * tick - sizes, 0)] / mu[2 * tick]
            if tick < ticks:
                factors[1] = mu[2 * tick] / mu[np.minimum(2 * tick + sizes, 2 * ticks)]
            phase = c[2 * tick] * (H / self.eta) ** 2
            kernels.rungs.kick(
                v, steady, short, active, rungs, tick, DEPTH, factors, 1.0 / D[2 * tick], phase
            )
            self.work.kicks += int(np.count_nonzero(active))
            self.work.ticks += 1
            if tick == ticks:
                return moved
            deepest = max(self.domain.ranks.gather(int(np.max(rungs, initial=0))))
            step = ticks >> deepest
            kernels.rungs.drift(start, v, H * step / ticks, moved, slab.tree.x)
            tick += step
            slab.follow()
            kernels.rungs.choose_active(rungs, slab.targets, tick, DEPTH, active)
            self.force.short_range(slab, active, short)


def phase_of(number: int) -> float:
    """Phase of particles' own steps with as many long steps: both fall as one."""
    return min(ETA * LONG_STEPS / number, COARSEST)


def long_steps(
    cosmology: Cosmology, D_start: float, outputs: Sequence[float], number: int = LONG_STEPS
) -> list[Step]:
    """Long steps, with all outputs among their ends: 1 / number in D, and early at most a share of
    D.

    Parameters
    ----------
    cosmology : Cosmology
    D_start : float
    outputs : sequence of float
        Growth factors in increasing order.
    number : int
    """
    ends = [D_start]
    for low, high in itertools.pairwise([D_start, *outputs]):
        t_low, t_high = _progress(low, number), _progress(high, number)
        count = int(np.ceil(t_high - t_low - 1e-9))
        fractions = t_low + (t_high - t_low) * np.arange(1, count) / max(count, 1)
        ends += [*(_at_progress(t, number) for t in fractions), high] if count else []
    return schemes.fastpm(cosmology, np.array(ends))


def _progress(D: float, number: int) -> float:
    """Long steps, in parts, until D: even in ln D as long as they are shorter so."""
    turn = 1.0 / (number * EARLIEST)
    return np.log(D / turn) / EARLIEST if turn > D else number * (D - turn)


def _at_progress(t: float, number: int) -> float:
    """The inverse of `_progress`."""
    turn = 1.0 / (number * EARLIEST)
    return float(turn * np.exp(t * EARLIEST) if t < 0 else turn + t / number)
