"""Fitted steps: each kick and drift is the best linear guess of where the particle will be.

In haloes the orbital time is shorter than a step, and no quadrature of the force can follow.
What can be known is the mean of a particle's residual at the step's end, given what was measured:
its residual now, its residual velocity, the residual acceleration here and a step before. A step is

    (e, H w)(D1) = (M + M_fit) (e, H w, H^2 s, H^2 s before).

M is the explicit kick and drift, and M_fit what is fitted on simulations by `coca fit`,
for each class of density now and a step before, the same in all directions; between two classes it
goes over from one to the other. Features that vanish stay so: a frame without residual is followed
exactly. Where haloes turn faster than the step, what `coca.integration.substeps` finds of their
particles comes on top. The last step's row for e is fitted to the power spectrum and the
correlation of the density, since the mean position of a particle in a halo is more central than the
particle.

All lengths scale with the particle spacing, so that M_fit depends on the number of steps, which
of them it is, and how nonlinear the box is at the end, `coca.integration.linear_density`.
docs/steps.md has the measurements.

The first steps of many are, where their boundaries are the same, those of fewer, so that what reads
out the end of these reads out every step on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.cosmology.background import Cosmology
from coca.frames import Frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration import substeps
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE, FittedCount
from coca.integration.integrate import Force
from coca.integration.kicks import Evaluation, FrameKick
from coca.integration.linear_density import LinearDensity
from coca.integration.read_out import LastForce, LatticeFields, ReadOutNetwork
from coca.integration.schemes import Step
from coca.integration.substeps import SubStepper
from coca.parallel.domain import Domain
from coca.particles import State

SHARPENING = 0.3
"""Share of what would keep each class's mean: with it the power at k = 1 h/Mpc is that of classes
with sharp edges."""
_NOTHING_READ_OUT: dict[str, np.ndarray] = {
    "seen_e": np.empty((3, 0), np.float32),
    "seen_w": np.empty((3, 0), np.float32),
    "seen_at": np.empty(0),
}


def explicit_matrix(step: Step) -> np.ndarray:
    """The matrix (TARGETS, FEATURES) of the explicit kick and the drift after it."""
    H = step.D1 - step.D0
    kick = np.array([0.0, step.alpha, -step.beta / H, 0.0])
    return np.array([np.array([1.0, 0, 0, 0]) + 0.5 * kick, kick])


def _matrices(step: Step, deviation: np.ndarray) -> np.ndarray:
    """What the kernel takes, from deviations (*CLASSES, TARGETS, FEATURES)."""
    return np.ascontiguousarray(explicit_matrix(step) + sharpened(deviation), np.float32)


def sharpened(matrices: np.ndarray, strength: float = SHARPENING) -> np.ndarray:
    """Matrices (*CLASSES, ...) that do as `matrices` of classes with sharp edges would when they go
    over from class to class, see `kernels.fitted`; at strength 1 each class keeps its mean."""
    before, now = unmixing(strength)
    flat = now @ matrices.reshape(*CLASSES, -1)
    return np.tensordot(before, flat, 1).reshape(matrices.shape)


@cache
def unmixing(strength: float = SHARPENING) -> tuple[np.ndarray, np.ndarray]:
    """What `sharpened` multiplies classes before and now by, square arrays."""

    def inverse(edges: np.ndarray) -> np.ndarray:
        full = np.linalg.inv(_mixing(edges))
        return strength * full + (1.0 - strength) * np.eye(len(full))

    return inverse(DENSITIES_BEFORE), inverse(DENSITIES)


def _mixing(edges: np.ndarray) -> np.ndarray:
    """Share (classes, classes) that each class's matrix has in the mean of another, for particles
    spread evenly in ln(1 + delta), the open classes one wide.

    In the half of a transition that lies in a class the other's share is a quarter, on average.
    """
    widths = np.concatenate([[1.0], np.diff(np.log(edges.astype(np.float64))), [1.0]])
    share = 0.25 * kernels.fitted.RAMP / widths
    mixing = np.diag(share[:-1], 1) + np.diag(share[1:], -1)
    return mixing + np.diag(1.0 - mixing.sum(axis=1))


class ReadOut(NamedTuple):
    """How particles are seen at a step's end, once its matrices have been applied."""

    network: ReadOutNetwork | None = None
    conditions: np.ndarray = np.zeros(3)
    """What the network sees of the box, array (3,)."""
    share: float = 1.0
    """How much of the network's displacements is taken."""

    @classmethod
    def of(cls, table: FittedCount, density: LinearDensity) -> ReadOut:
        """How a run of a table's steps, that ends with this density, is seen."""
        conditions, share = table.conditions(density), table.share(density)
        return cls(table.network, conditions, share)


class FittedKick(FrameKick):
    """Takes the residual to the end of the step, displacement and velocity.

    Parameters
    ----------
    domain : Domain
    cosmology : Cosmology
    frame : Frame
    steps : list of Step
        All steps of the run, with the boundaries that were fitted.
    substep_threshold : float or None
        Squared phase beyond which particles have sub-steps; without one none have.
    """

    moves = True

    def __init__(
        self,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        steps: list[Step],
        substep_threshold: float | None,
    ):
        super().__init__(domain, cosmology, frame)
        self._matrices: dict[Step, np.ndarray] = {}
        self._shorter: dict[Step, tuple[FittedCount, LinearDensity]] = {}
        self._read_outs: dict[Step, ReadOut] = {}
        self._longer: tuple[FittedCount, LinearDensity] | None = None
        self._goes_on: State | None = None
        self._force: Force | None = None
        self._sub_steps = SubStepper(domain, cosmology, frame, steps, substep_threshold)
        self.changes = substeps.no_substeps()
        """What sub-steps add to the step that was measured last."""
        self.memory = {
            "before": np.zeros((3, frame.n_particles), np.float32),
            "delta_before": np.full(frame.n_particles, -1.0, np.float32),
            "indices": self.changes.indices,
            "ahead": self.changes.ahead,
            **_NOTHING_READ_OUT,
        }

    @classmethod
    def of_table(
        cls,
        domain: Domain,
        cosmology: Cosmology,
        frame: Frame,
        table: FittedCount,
        steps: list[Step],
        density: LinearDensity,
        force: Force,
        shorter: Sequence[FittedCount] = (),
        longer: FittedCount | None = None,
    ) -> FittedKick:
        """The kick of a table's steps.

        Parameters
        ----------
        domain : Domain
        cosmology : Cosmology
        frame : Frame
        table : FittedCount
        steps : list of Step
        density : LinearDensity
            At the last step's end.
        force : Force
            Taken once more where particles are seen, if the table has a network.
        shorter : sequence of FittedCount
            What ends with the first step, the second and so on, see `FittedSteps.shorter`; its last
            matrices read these out.
        longer : FittedCount, optional
            Takes the same steps and one more, see `FittedSteps.longer`; where particles would go on
            after the last step.
        """
        rule = cls(domain, cosmology, frame, steps, table.substep_threshold)
        for step, deviation in zip(steps, table.at(density), strict=True):
            rule._matrices[step] = _matrices(step, deviation)
        rule._read_outs[steps[-1]], rule._force = ReadOut.of(table, density), force
        for step, other in zip(steps, shorter, strict=False):
            rule._shorter[step] = other, density._replace(D=step.D1)
        if longer is not None:
            D0, share = steps[0].D0, longer.fractions[len(steps)]
            rule._longer = longer, density._replace(D=D0 + (steps[-1].D1 - D0) / share)
        return rule

    def set_matrices(self, step: Step, deviation: np.ndarray) -> None:
        """Take a step with deviations (*CLASSES, TARGETS, FEATURES) from the explicit matrix."""
        self._matrices[step] = _matrices(step, deviation)

    def aim(self, x: np.ndarray) -> None:
        """Particles that had sub-steps are where those lead."""
        kernels.substeps.add_at(self.memory["ahead"], self.memory["indices"], x)

    def measure(self, state: State, step: Step, acceleration: Acceleration) -> Acceleration:
        """s / c in the place of g; particles that need it go through their sub-steps."""
        measured = super().measure(state, step, acceleration)
        self.changes = self._sub_steps(state, step, measured, self.cosmology.c(step.D_mid))
        return measured

    def read_out(self, state: State, step: Step, measured: Acceleration) -> None:
        """Note where particles are seen at the step's end, or where they would go on from the
        last one's, if tables say it."""
        if step in self._shorter:
            table, density = self._shorter[step]
            seen = self._other_end(state, step, measured, table.last_at(density))
            self._apply(seen, step, measured, ReadOut.of(table, density))
            self.memory["seen_e"], self.memory["seen_w"] = seen.e, seen.w
            self.memory["seen_at"] = np.array([step.D1])
        elif step in self._read_outs and self._longer is not None:
            table, density = self._longer
            deviation = table.at(density)[len(self._matrices) - 1]
            self._goes_on = self._other_end(state, step, measured, deviation)

    def _other_end(
        self, state: State, step: Step, measured: Acceleration, deviation: np.ndarray
    ) -> State:
        """The step's end with other matrices; the state stays."""
        end = State(state.e.copy(), state.w.copy(), step.D1, step.D1)
        matrices, before = _matrices(step, deviation), self.memory["before"].copy()
        self._step(end, step, measured, matrices, before)
        return end

    def seen(self, D: float) -> State | None:
        """Where particles are seen at D, if `read_out` noted it; of the last growth factor only."""
        if D not in self.memory["seen_at"]:
            return None
        return State(self.memory["seen_e"], self.memory["seen_w"], D, D)

    def goes_on(self, D: float) -> State | None:
        """Where particles would go on from the last step's end, if `read_out` noted it."""
        return self._goes_on if self._goes_on and self._goes_on.D_e == D else None

    def _step(
        self,
        state: State,
        step: Step,
        measured: Acceleration,
        matrices: np.ndarray,
        before: np.ndarray,
    ) -> tuple[float, float]:
        """Take the residual to the step's end by matrices; sums of `kernels.fitted.step`."""
        sums = kernels.fitted.step(
            state.e,
            state.w,
            measured.g,
            before,
            measured.delta,
            self.memory["delta_before"],
            DENSITIES,
            DENSITIES_BEFORE,
            matrices,
            step.D1 - step.D0,
            self.cosmology.c(step.D_mid),
        )
        self.changes.add_to(state)
        return sums

    def _apply(self, state: State, step: Step, measured: Acceleration, read_out: ReadOut) -> None:
        """Bring the particles of a state at a step's end to where they are seen."""
        at_end = State(state.e, state.w, step.D1, step.D1)
        if read_out.network is not None:
            assert self._force is not None
            last = self.last_force(step, measured)
            fields = LatticeFields(self.domain, self.frame, self._force, at_end, last)
            fields.move(read_out.network, read_out.conditions, read_out.share, at_end)

    def last_force(self, step: Step, measured: Acceleration) -> LastForce:
        """What a step's force showed, for a network that reads out its end."""
        H, c = step.D1 - step.D0, self.cosmology.c(step.D_mid)
        return LastForce(measured.g, measured.delta, H**2 * c)

    def advance(self, state: State, step: Step, measured: Acceleration) -> Evaluation:
        """Take the residual to the step's end; say what the force showed."""
        matrices, before = self._matrices[step], self.memory["before"]
        sums = self._step(state, step, measured, matrices, before)
        self._apply(state, step, measured, self._read_outs.get(step, ReadOut()))
        if step.D1 not in self.memory["seen_at"]:
            self.memory |= _NOTHING_READ_OUT
        self.memory |= {"indices": self.changes.indices, "ahead": self.changes.ahead}
        self.memory["delta_before"] = measured.delta
        return self.evaluation(step, sums)
