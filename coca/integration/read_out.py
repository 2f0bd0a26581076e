"""Where particles are seen at a step's end: a small network moves them from where a mesh's force
has brought them to where N-body has them.

A mesh of twice the particles makes haloes too wide and too cold. What is missing is a function
of what can be measured where a particle has come to and in its Lagrangian neighbourhood, which
tells what halo it belongs to. So the force is taken once more, where particles are seen, and a
network of two hidden layers (`kernels.lattice_network`) turns scalars of density, acceleration,
residual acceleration and relative position and velocity of neighbours into coefficients of vectors
of these:

    x <- x + sum_i c_i V_i,   D v <- D v + sum_i c'_i V_i.

Densities that pull particles together by displacements learned for each scale are those of
potential gradient descent (arXiv:1804.00671) and Lagrangian deep learning (arXiv:2010.02926); the
Lagrangian neighbourhood is what is added here. Where no residual acceleration is measured near a
particle it stays where it is, so that a frame without residual is followed exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from coca import kernels
from coca.frames import Frame
from coca.gravity.mesh import GHOSTS
from coca.gravity.particle_mesh import Acceleration
from coca.integration.integrate import Force
from coca.kernels import lattice_layout as layout
from coca.kernels.lattice_layout import OUTPUTS, REACHES, SCALARS
from coca.parallel import second_process
from coca.parallel.domain import Domain
from coca.particles import State

REACH = REACHES[-1]
CHUNK = 16
"""Planes of the particle lattice whose neighbourhood means are in memory at a time."""
HIDDEN = 32
"""Width of the hidden layers."""
MEASURED = 3 + 3 + 1
"""Numbers for each particle of positions and of what is measured there, while fields are made."""


@dataclass(frozen=True)
class ReadOutNetwork:
    """The network's weights, arrays float32: layers of SCALARS, HIDDEN, HIDDEN and OUTPUTS."""

    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray

    @classmethod
    def names(cls) -> list[str]:
        """Names of the arrays."""
        return [field.name for field in fields(cls)]

    @staticmethod
    def shapes() -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays."""
        widths = SCALARS, HIDDEN, HIDDEN, OUTPUTS
        found: dict[str, tuple[int, ...]] = {}
        for i in range(3):
            found |= {f"w{i + 1}": (widths[i + 1], widths[i]), f"b{i + 1}": (widths[i + 1],)}
        return found

    def layers(self) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
        """Weights and biases as the kernel takes them, with a number of outputs that is a multiple
        of four."""
        more = -OUTPUTS % 4
        weights = self.w1, self.w2, np.pad(self.w3, ((0, more), (0, 0)))
        biases = self.b1, self.b2, np.pad(self.b3, (0, more))
        return tuple(map(np.ascontiguousarray, weights)), tuple(map(np.ascontiguousarray, biases))


class LastForce(NamedTuple):
    """What the last force before a read-out showed."""

    residual: np.ndarray
    """s / c, array (3, N) float32."""
    delta: np.ndarray
    """Density contrast, array (N,) float32."""
    strength: float
    """H^2 c of its step."""


class LatticeFields:
    """What a network sees of particles on their lattice.

    Parameters
    ----------
    domain : Domain
    frame : Frame
    force : Force
        Taken once, where the particles are.
    state : State
        At one growth factor.
    last : LastForce
    """

    def __init__(self, domain: Domain, frame: Frame, force: Force, state: State, last: LastForce):
        planes, n, _ = domain.lattice
        self.domain, self.D = domain, state.D_e
        self.padded = np.empty((planes + 2 * REACH, layout.FIELDS, n, n), np.float32)
        own = self.padded[REACH : REACH + planes]
        moved, inverse = state.w.copy(), np.float32(1.0 / domain.cell)
        frame.add(self.D, (0.0, 1.0, 0.0), moved)
        _fill(own, layout.VELOCITY, moved, np.float32(self.D) * inverse)
        moved[:] = state.e
        frame.add(self.D, (1.0, 0.0, 0.0), moved)
        _fill(own, layout.DISPLACEMENT, moved, inverse)
        measured = self._measure(force, moved)
        _fill(own, layout.INWARD, measured.g, inverse)
        lattice = domain.lattice
        second_process.wait()
        kernels.lattice_network.prepare(
            own, last.residual.reshape(3, *lattice), np.float32(last.strength) * inverse,
            measured.delta.reshape(lattice), last.delta.reshape(lattice),
        )  # fmt: skip
        below, above = domain.ghost_planes(own, REACH, REACH, GHOSTS)
        self.padded[:REACH], self.padded[REACH + planes :] = below, above

    def _measure(self, force: Force, disp: np.ndarray) -> Acceleration:
        """The force where particles are displaced to, in the memory of the displacements."""
        x = self.domain.add_lattice(disp, out=disp)
        return force(x, True, x)

    def chunks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Some planes at a time: which, their fields and their neighbourhood means, see
        `kernels.lattice_network`."""
        planes, n, _ = self.domain.lattice
        for first in range(0, planes, CHUNK):
            part = slice(first, min(first + CHUNK, planes))
            count = part.stop - first
            shape = count, layout.WIDTHS, layout.AVERAGED, n, n
            around, means = self.padded[first : part.stop + 2 * REACH], np.empty(shape, np.float32)
            kernels.lattice_network.average(around, REACH, means)
            yield part, around[REACH : REACH + count], means

    def move(
        self, network: ReadOutNetwork, conditions: np.ndarray, share: float, state: State
    ) -> None:
        """Move the particles of a state, in place, as a network under conditions (3,) says, by a
        share of what it says in position."""
        layers, cell = network.layers(), self.domain.cell
        scale = np.float32(share * cell), np.float32(cell / self.D)
        e, w = (part.reshape(3, *self.domain.lattice) for part in (state.e, state.w))
        for part, fields_, means in self.chunks():
            kernels.lattice_network.move(
                fields_, means, conditions.astype(np.float32), *layers, scale, part.start, e, w
            )  # fmt: skip

    def features(self, conditions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (VELOCITIES, 3, N) and scalars (SCALARS, N) float32, see
        `kernels.lattice_network.features`."""
        vectors = np.empty((layout.VELOCITIES, 3, *self.domain.lattice), np.float32)
        scalars = np.empty((SCALARS, *self.domain.lattice), np.float32)
        for part, fields_, means in self.chunks():
            kernels.lattice_network.features(
                fields_, means, conditions.astype(np.float32), part.start, vectors, scalars
            )
        N = self.domain.own_particles
        return vectors.reshape(-1, 3, N), scalars.reshape(-1, N)


def _fill(own: np.ndarray, first: int, vectors: np.ndarray, scale: np.float32) -> None:
    """Put scaled vectors (3, N) into three fields from `first` on."""
    planes, _, n, _ = own.shape
    for c in range(3):
        np.multiply(vectors[c].reshape(planes, n, n), scale, out=own[:, first + c])


def read_out_memory(particles: int, ranks: int) -> int:
    """Bytes of a rank's arrays while a network moves particles, of so many along one axis."""
    plane, planes = particles**2, particles // ranks
    means = layout.WIDTHS * layout.AVERAGED * min(CHUNK, planes)
    return fields_memory(particles, planes) + 4 * plane * (MEASURED * planes + means)


def fields_memory(particles: int, planes: int) -> int:
    """Bytes of `LatticeFields` of so many planes."""
    return 4 * particles**2 * layout.FIELDS * (planes + 2 * REACH)
