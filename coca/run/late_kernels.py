"""Kernels that a run calls late, compiled by a second process from its start on.

They are those of fitted steps, of the network that reads these out, and of power spectra, which
together take as long to compile as all that a run needs beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from coca import kernels
from coca.frames import rest_frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration.fitted_table import CLASSES, DENSITIES, DENSITIES_BEFORE
from coca.integration.read_out import LastForce, LatticeFields, ReadOutNetwork
from coca.kernels.constants import FEATURES, TARGETS
from coca.parallel import second_process
from coca.parallel.domain import Domain
from coca.parallel.ranks import OneRank
from coca.particles import State
from coca.run.plan import Plan

PARTICLES = 8


@contextmanager
def compiled_beside(plan: Plan) -> Iterator[None]:
    """Have them compiled while a plan is run in the block, if it needs them, has more than one
    core, and numba's cache has them not."""
    if _wanted(plan) and not all(map(second_process.is_compiled, late_kernels())):
        with second_process.compiling(__name__):
            yield
    else:
        yield


def _wanted(plan: Plan) -> bool:
    alone = isinstance(plan.ranks, OneRank) and plan.threads > 1
    return alone and plan.methods[0].reads_out(plan.config.force_evaluations)


def late_kernels() -> list[Any]:
    """Those that `call_late_kernels` has compiled, in its order."""
    network, fourier = kernels.lattice_network, kernels.fourier
    return [
        kernels.substeps.above, kernels.fitted.step, network.prepare, network.average,
        network.move, fourier._binned_power,
    ]  # fmt: skip


def call_late_kernels() -> None:
    """Call each of them once, with few particles, in the order in which they are needed."""
    domain = Domain(float(PARTICLES), PARTICLES)
    count = domain.own_particles
    scalars, vectors = np.zeros(count, np.float32), np.zeros((3, count), np.float32)
    kernels.substeps.above(scalars, 0.0, domain.lattice)
    state = State(vectors.copy(), vectors.copy(), 1.0, 1.0)
    matrices = np.zeros((*CLASSES, TARGETS, FEATURES), np.float32)
    kernels.fitted.step(
        state.e, state.w, vectors, vectors.copy(), scalars, scalars, DENSITIES, DENSITIES_BEFORE,
        matrices, 1.0, 1.0,
    )  # fmt: skip
    measured, last = Acceleration(vectors, scalars), LastForce(vectors, scalars, 1.0)
    fields = LatticeFields(domain, rest_frame(count), lambda *_: measured, state, last)
    shapes = ReadOutNetwork.shapes().items()
    network = ReadOutNetwork(**{name: np.zeros(shape, np.float32) for name, shape in shapes})
    fields.move(network, np.zeros(3), 1.0, state)
    modes = np.zeros((PARTICLES, PARTICLES, PARTICLES // 2 + 1), np.complex64)
    kernels.fourier.binned_power(modes, modes, 0, domain.kf, 1)


if __name__ == "__main__":
    call_late_kernels()
