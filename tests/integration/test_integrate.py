"""What must always hold of frames and integrators (DESIGN: convergence, exact frames, waves)."""

import numpy as np
import pytest

from coca.gravity.particle_mesh import Acceleration, ParticleMesh
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.integration import schemes
from coca.integration.integrate import drift, initial_state, integrate, kick
from coca.integration.kicks import ResidualKick, VelocityKick
from coca.parallel.domain import Domain
from coca.particles import State
from coca.statistics.spectra import density_modes
from tests.problem import D_START, Problem, frames, rms, uniform_boundaries


@pytest.mark.parametrize("gain", [0.0, 8.0])
@pytest.mark.parametrize("name", ["rest", "lpt", "noise"])
def test_every_frame_converges_to_bullfrog_at_second_order(smooth, name, gain):
    reference = smooth.bullfrog(1024)[-1]
    frame = frames(smooth)[name]
    steps = np.array([64, 128, 256])
    errors = [rms(smooth.residual(frame, n, gain)[-1], reference) for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -2.2 < slope < -1.8, errors


@pytest.mark.parametrize("name", ["rest", "lpt", "noise"])
def test_every_frame_converges_in_haloes(nonlinear, name):
    """After shell crossing the slope is not clean, but a wrong frame is forgotten all the same."""
    reference = nonlinear.bullfrog(128)[-1]
    frame = frames(nonlinear)[name]
    errors = [rms(nonlinear.residual(frame, n, 8.0)[-1], reference) for n in (8, 32, 128)]
    assert errors[1] < 0.5 * errors[0]
    assert errors[2] < 0.35 * errors[1]


def test_a_frame_without_residual_is_followed_exactly(nonlinear):
    """Whatever the steps: force and frame cancel, so the particles stay on the frame."""
    frame, cosmology, domain = nonlinear.lpt, nonlinear.cosmology, nonlinear.domain

    def exact_force(x, density, out):
        D = exact_force.step.D_mid
        g = -D * frame.velocity(D) - frame.acceleration(D) / cosmology.c(D)
        return Acceleration(np.float32(g), np.zeros(domain.particles, np.float32))

    plan = schemes.residual(cosmology, uniform_boundaries(D_START, 1.0, 3))
    state = initial_state(frame, frame, D_START)
    rule = ResidualKick(domain, cosmology, frame, 8.0)
    steps = iter(plan)
    exact_force.step = next(steps)

    def advance(evaluation):
        assert evaluation.residual_rms < 1e-4
        exact_force.step = next(steps, None)

    run = integrate(domain, frame, exact_force, rule, plan, state, [0.5, 1.0], advance)
    for snapshot in run:
        # float32 round-off of displacements of ~10 Mpc/h
        assert np.abs(snapshot.disp - frame.displacement(snapshot.D)).max() < 2e-5
        assert np.abs(snapshot.vel - frame.velocity(snapshot.D)).max() < 2e-4


def plane_wave(cosmology, amplitude):
    domain = Domain(64.0, 16)
    n, k = domain.n_side, domain.kf
    q = np.arange(n) * domain.cell
    psi1 = np.zeros((3, n, n, n), np.float32)
    psi1[0] = (amplitude / k * np.sin(k * q))[:, None, None]
    psi1 = psi1.reshape(3, -1)
    conditions = InitialConditions(None, psi1, np.zeros_like(psi1))
    lattice = domain.add_lattice(np.zeros_like(psi1))

    def sheet_force(x, density, out):
        """Before crossing, the force on a sheet is its displacement: g = -(x - q)."""
        return Acceleration(lattice - x, np.zeros(domain.particles, np.float32))

    return Problem(domain, cosmology, conditions, sheet_force)


@pytest.mark.parametrize("scheme", [schemes.bullfrog, schemes.fastpm])
@pytest.mark.parametrize("steps", [1, 3])
def test_plane_wave_is_zeldovich_to_round_off(cosmology, scheme, steps):
    problem = plane_wave(cosmology, 0.8)
    final = problem.bullfrog(steps, scheme=scheme)[-1]
    np.testing.assert_allclose(final.disp, problem.conditions.psi1, atol=2e-5)
    np.testing.assert_allclose(final.vel, problem.conditions.psi1, atol=1e-4)


def test_plane_wave_in_the_lpt_frame_is_zeldovich_to_round_off(cosmology):
    problem = plane_wave(cosmology, 0.8)
    final = problem.residual(problem.lpt, 2)[-1]
    np.testing.assert_allclose(final.disp, problem.conditions.psi1, atol=2e-5)


def test_plane_wave_with_the_mesh_force(cosmology):
    """With gravity from the mesh the wave follows Zel'dovich to the mesh's resolution.

    The lattice lies at the cells' centres here: on the nodes, CIC keeps a particle that does
    not move from sharing its mass with emptying neighbours.
    """
    problem = plane_wave(cosmology, 0.5)
    mesh = ParticleMesh(problem.domain, 48)
    half_cell = np.float32(0.5 * problem.domain.box_size / 48)
    problem.force = lambda x, density, out: mesh(x + half_cell)
    final, psi1 = problem.bullfrog(16)[-1], problem.conditions.psi1
    amplitude = np.sum(final.disp * psi1) / np.sum(psi1**2)
    assert amplitude == pytest.approx(1.0, abs=0.01)
    assert np.abs(final.disp - psi1).max() < 0.05 * psi1.max()


def test_large_scales_grow_linearly(cosmology, power):
    """The largest modes of a box of 800 Mpc/h, against delta_lin.

    Half the difference of a run and its paired run (Angulo & Pontzen 2016) has no second-order
    terms.
    """
    domain = Domain(800.0, 32)
    runs = []
    for paired in (False, True):
        conditions = from_seed(domain, power, 5, paired=paired)
        problem = Problem(domain, cosmology, conditions, ParticleMesh(domain, 96))
        runs.append(problem.bullfrog(12, outputs=(0.5, 1.0)))
    linear = -conditions.delta_k
    low = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -1, 0), (1, 0, 1), (0, 1, 1)]
    weight = np.array([np.abs(linear[mode]) ** 2 for mode in low])
    for plus, minus in zip(*runs, strict=True):
        modes = [density_modes(domain, domain.add_lattice(s.disp), 96) for s in (plus, minus)]
        ratio = np.array([0.5 * (modes[0] - modes[1])[mode] / linear[mode] for mode in low])
        growth = np.sum(weight * ratio.real) / np.sum(weight)
        # 32 particles across hold waves of 16 to 32 particles to one or two per cent
        assert growth == pytest.approx(plus.D, rel=0.02)


def test_momentum_is_conserved_through_a_run(nonlinear):
    final = nonlinear.residual(nonlinear.lpt, 4, gain=0.0)[-1]
    mean = final.vel.mean(axis=1, dtype=np.float64)
    assert np.abs(mean).max() < 1e-4 * final.vel.std()


def test_outputs_inside_steps_cost_no_force_and_converge(nonlinear):
    calls = []

    def counted(*arguments):
        calls.append(1)
        return nonlinear.force(*arguments)

    run = nonlinear.residual(nonlinear.lpt, 8, outputs=(0.3, 0.55, 0.8, 1.0), force=counted)
    assert len(calls) == 8
    assert [snapshot.D for snapshot in run] == [0.3, 0.55, 0.8, 1.0]
    final = nonlinear.residual(nonlinear.lpt, 8)[-1]
    np.testing.assert_array_equal(final.disp, run[-1].disp)


def test_dense_output_converges(smooth):
    outputs = (0.31, 0.77, 1.0)
    reference = smooth.bullfrog(256, outputs)
    coarse, fine = (smooth.residual(smooth.lpt, n, outputs=outputs) for n in (8, 32))
    for i in range(2):
        assert rms(fine[i], reference[i]) < 0.2 * rms(coarse[i], reference[i])


def test_without_forces_the_frame_is_the_answer(smooth):
    snapshots = smooth.residual(smooth.lpt, 0, outputs=(0.5, 1.0))
    np.testing.assert_array_equal(snapshots[0].disp, smooth.lpt.displacement(0.5))
    np.testing.assert_array_equal(snapshots[1].vel, smooth.lpt.velocity(1.0))


def test_a_wrong_schedule_fails_at_once(cosmology):
    zeros = np.zeros((3, 8), np.float32)
    state = State(zeros.copy(), zeros.copy(), 0.2, 0.2)
    step = schemes.bullfrog(cosmology, np.array([0.2, 0.4]))[0]
    with pytest.raises(ValueError, match="kick"):
        kick(state, step, VelocityKick(), Acceleration(zeros, None))
    drift(state, 0.3)
    with pytest.raises(ValueError, match="drift"):
        drift(state, 0.4)
