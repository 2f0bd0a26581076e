"""The network that reads out: its kernel beside NumPy, and what it leaves alone."""

import numpy as np
import pytest
from coca.kernels import lattice_layout as layout
from scipy.ndimage import uniform_filter

from coca.frames import rest_frame
from coca.gravity.particle_mesh import Acceleration
from coca.integration.read_out import REACH, LastForce, LatticeFields, ReadOutNetwork
from coca.parallel.domain import Domain
from coca.particles import State

D = 0.8
CONDITIONS = np.array([0.5, -0.3, -0.2])


@pytest.fixture(scope="module")
def small():
    """A lattice whose chunks of planes differ in size."""
    return Domain(40.0, 20)


def smooth(domain, seed, count=3):
    """Vectors (count, N) that neighbours share in part."""
    n = domain.n_side
    noise = np.random.default_rng(seed).normal(size=(count, n, n, n))
    values = [uniform_filter(part, 3, mode="wrap") for part in noise]
    return np.float32(8.0 * np.array(values).reshape(count, -1))


def network(seed=1):
    rng = np.random.default_rng(seed)
    shapes = ReadOutNetwork.shapes().items()
    return ReadOutNetwork(**{name: np.float32(rng.normal(0, 0.3, s)) for name, s in shapes})


def force_of(domain):
    """Accelerations and densities that only depend on which particle asks."""
    g, delta = smooth(domain, 2), np.abs(smooth(domain, 3, 1)[0])

    def force(x, density, out):
        out[:] = g
        return Acceleration(out, delta)

    return force


def fields_of(domain, state, residual, force=None):
    last = LastForce(residual, np.abs(smooth(domain, 4, 1)[0]), 0.5)
    return LatticeFields(
        domain, rest_frame(domain.particles), force or force_of(domain), state, last
    )


def state_of(domain):
    return State(smooth(domain, 5), smooth(domain, 6), D, D)


def test_means_are_over_cubes_of_the_lattice(small):
    fields = fields_of(small, state_of(small), smooth(small, 7))
    own = fields.padded[REACH:-REACH]
    for part, _, means in fields.chunks():
        for n, h in enumerate(layout.REACHES):
            for c in (layout.DISPLACEMENT, layout.VELOCITY + 2, layout.LOG_DENSITY):
                wanted = uniform_filter(own[:, c].astype(float), 2 * h + 1, mode="wrap")[part]
                np.testing.assert_allclose(
                    means[:, n, c], wanted, atol=1e-5 * np.abs(own[:, c]).max()
                )


def test_the_kernel_moves_particles_as_the_network_says(small):
    """Beside matrix products of NumPy; sums of some thousand float32 products."""
    state, weights = state_of(small), network()
    fields = fields_of(small, state, smooth(small, 7))
    vectors, scalars = fields.features(CONDITIONS)
    hidden = scalars
    for number in (1, 2, 3):
        hidden = getattr(weights, f"w{number}") @ hidden + getattr(weights, f"b{number}")[:, None]
        hidden *= np.clip(hidden / 6 + 0.5, 0, 1) if number < 3 else 1
    moved = hidden[: layout.VECTORS], hidden[layout.VECTORS :]
    e = state.e + 0.9 * small.cell * np.einsum("vn,vcn->cn", moved[0], vectors[: layout.VECTORS])
    w = state.w + small.cell / D * np.einsum("vn,vcn->cn", moved[1], vectors)
    assert np.std(e - state.e) > 0.1 * small.cell, "nothing moves"
    fields.move(weights, CONDITIONS, 0.9, state)
    np.testing.assert_allclose(state.e, e, atol=2e-5 * np.abs(e).max())
    np.testing.assert_allclose(state.w, w, atol=2e-5 * np.abs(w).max())


def test_what_is_seen_turns_with_the_box(small):
    """Axes in another order, for all that goes in: the same particles move alike."""
    order, n = (2, 0, 1), small.n_side

    def turned(values):
        box = values.reshape(-1, n, n, n).transpose(0, *(1 + np.array(order)))
        return np.ascontiguousarray(box.reshape(len(values), -1)[list(order)])

    state, residual, force = state_of(small), smooth(small, 7), force_of(small)
    other = State(turned(state.e), turned(state.w), D, D)

    def turned_force(x, density, out):
        found = force(x, density, np.empty_like(x))
        out[:] = turned(found.g)
        return Acceleration(out, turned(np.tile(found.delta, (3, 1)))[0])

    def moved(state, residual, force, delta):
        last = LastForce(residual, delta, 0.5)
        frame = rest_frame(small.particles)
        LatticeFields(small, frame, force, state, last).move(network(), CONDITIONS, 1.0, state)
        return state

    delta = np.abs(smooth(small, 4, 1)[0])
    first = moved(state, residual, force, delta)
    second = moved(other, turned(residual), turned_force, turned(np.tile(delta, (3, 1)))[0])
    for a, b in ((first.e, second.e), (first.w, second.w)):
        np.testing.assert_allclose(turned(a), b, atol=1e-4 * np.abs(a).max())


def test_nothing_moves_where_no_residual_is_measured(small):
    """At round-off of a residual no particle moves by more than round-off."""
    state = state_of(small)
    before = state.e.copy(), state.w.copy()
    residual = np.float32(1e-6) * smooth(small, 7)
    fields_of(small, state, residual).move(network(), CONDITIONS, 1.0, state)
    for after, old in zip((state.e, state.w), before, strict=True):
        assert np.abs(after - old).max() < 1e-6 * np.abs(old).max()
