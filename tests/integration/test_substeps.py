"""Sub-steps of particles whose orbits a step does not resolve."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from coca.frames import rest_frame
from coca.gravity.particle_mesh import Acceleration, ParticleMesh
from coca.integration import schemes, substeps
from coca.integration.substeps import SubStepper
from coca.parallel.domain import Domain
from coca.particles import State

N, BOX = 16, 32.0


@pytest.fixture
def box():
    return Domain(BOX, N, 2)


def well(cosmology, step, strength):
    """A harmonic potential in the middle of the box: positions and velocities of particles in it
    that mirror one another, and where they are at some later D, by an accurate integration."""
    rng = np.random.default_rng(3)
    half = rng.normal(0, 0.1, (2, 3, N**3 // 2))  # small in a cell of 4 Mpc/h
    y, v = (np.concatenate([part, -part], axis=1) for part in half)

    def slope(D, yv):
        y, v = yv.reshape(2, -1)
        growth = (D / step.D_mid) ** substeps.GROWTH
        return np.concatenate([v, -cosmology.c(D) * (D * v + strength * growth * y)])

    def at(*times):
        run = solve_ivp(slope, (step.D0, times[-1]), np.r_[y.ravel(), v.ravel()], t_eval=times,
                        rtol=1e-7, atol=1e-9)  # fmt: skip
        return [column.reshape(2, 3, -1) for column in run.y.T]

    return y, v, at, lambda x: np.float32(strength * (x - np.float32(BOX / 2)))


@pytest.mark.parametrize("squared_phase", [0.5, 1.0])
def test_orbits_in_a_well_are_followed(box, cosmology, squared_phase):
    """Where the step turns particles by a radian and more, sub-steps of half its length leave a
    quarter of its error at the end, and less than a third in the middle of the next step."""
    steps = schemes.residual(cosmology, np.array([0.6, 0.8, 1.0]))
    step, H = steps[0], 0.2
    c = cosmology.c(step.D_mid)
    strength = squared_phase / (c * 0.25 * H**2)
    y, v, at, force = well(cosmology, step, strength)
    q = box.add_lattice(np.zeros((3, N**3), np.float32))
    e = np.float32(y + BOX / 2 - q + 0.5 * H * v)  # straight to the middle
    state = State(e, np.float32(v), step.D_mid, step.D0)
    g = force(q + e)
    s_c = g.copy()  # of a frame at rest
    density = np.full(N**3, 3.0 * strength - 1.0, np.float32)
    acceleration = Acceleration(s_c, density, force)
    follow = SubStepper(box, cosmology, rest_frame(N**3), steps, 0.25)
    found = follow(state, step, acceleration, c)
    np.testing.assert_array_equal(np.sort(found.indices), np.arange(N**3))
    explicit_w = step.alpha * v - c * step.beta * g
    explicit = e + 0.5 * H * explicit_w + q - BOX / 2, explicit_w
    end, ahead = at(step.D1, steps[1].D_mid)
    for before, change, truth in zip(explicit, (found.e, found.w), end, strict=True):
        error = np.std(before + change - truth)
        assert error < np.std(before - truth) / 4
    straight = (steps[1].D_mid - step.D1) * (explicit[1] + found.w) + explicit[0] + found.e
    assert np.std(straight + found.ahead - ahead[0]) < np.std(straight - ahead[0]) / 3


def test_sub_steps_of_a_halo_leave_its_centre_of_mass(domain, cosmology, conditions, lpt_state):
    """In a real potential, sub-steps change the momentum of all by little of what they change."""
    frame, state, steps, step, acceleration = lpt_state
    follow = SubStepper(domain, cosmology, frame, steps, 0.05)
    found = follow(state, step, acceleration, cosmology.c(step.D_mid))
    assert len(found.indices) > 0.02 * domain.particles
    for change in (found.e, found.w, found.ahead):
        scatter = np.sqrt(np.mean(change.astype(np.float64) ** 2))
        assert scatter > 0
        assert np.abs(change.mean(axis=1, dtype=np.float64)).max() < 0.05 * scatter


def test_particles_in_resolved_places_have_no_sub_steps(domain, cosmology, lpt_state):
    frame, state, steps, step, acceleration = lpt_state
    without, none, few, many = (
        SubStepper(domain, cosmology, frame, steps, threshold)(
            state, step, acceleration, cosmology.c(step.D_mid)
        )
        for threshold in (None, 1e6, 0.3, 0.1)
    )
    assert not len(without.indices) and not len(none.indices)
    assert set(few.indices) < set(many.indices)


@pytest.fixture
def lpt_state(domain, cosmology, conditions):
    """Particles on 2LPT trajectories in the middle of the last but one step of three."""
    frame = conditions.lpt_frame(cosmology)
    steps = schemes.residual(cosmology, np.array([0.06, 0.4, 0.7, 1.0]))
    step = steps[1]
    zeros = np.zeros((3, domain.particles), np.float32)
    state = State(zeros, zeros.copy(), step.D_mid, step.D0)
    x = domain.add_lattice(frame.displacement(step.D_mid))
    acceleration = ParticleMesh(domain, 2 * domain.n_side)(x, True)
    frame.add(step.D_mid, (0.0, step.D_mid, 1.0 / cosmology.c(step.D_mid)), acceleration.g)
    return frame, state, steps, step, acceleration
