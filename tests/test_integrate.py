"""What must always hold of frames and integrators (DESIGN: convergence, exact frames, waves)."""

import numpy as np
import pytest

from coca.cosmology.background import Cosmology
from coca.frames import SeparableFrame, Term, rest_frame
from coca.gravity.particle_mesh import Acceleration, ParticleMesh
from coca.initial_conditions import lpt
from coca.initial_conditions.linear_fields import InitialConditions, from_seed
from coca.integration import schemes
from coca.integration.integrate import drift, initial_state, integrate, kick
from coca.integration.kicks import ResidualKick, VelocityKick
from coca.parallel.domain import Domain
from coca.particles import State
from coca.statistics.spectra import density_modes

D_START = 0.06


def uniform_edges(D0, D1, steps):
    return schemes.edges(D0, D1, schemes.power_fractions(steps))


class Problem:
    """Initial conditions with the force that moves them."""

    def __init__(self, domain, cosmology, conditions, force):
        self.domain, self.cosmology, self.force = domain, cosmology, force
        self.conditions = conditions
        self.lpt = conditions.lpt_frame(cosmology)

    def bullfrog(self, steps, outputs=(1.0,), scheme=schemes.bullfrog):
        rest = rest_frame(self.domain.particles)
        plan = scheme(self.cosmology, uniform_edges(D_START, outputs[-1], steps))
        state = initial_state(self.lpt, rest, D_START)
        run = integrate(self.domain, rest, self.force, VelocityKick(), plan, state, outputs)
        return list(run)

    def residual(self, frame, steps, gain=0.0, outputs=(1.0,), force=None):
        plan = schemes.residual(self.cosmology, uniform_edges(D_START, outputs[-1], steps))
        rule = ResidualKick(self.domain, self.cosmology, frame, gain)
        state = initial_state(self.lpt, frame, D_START)
        run = integrate(self.domain, frame, force or self.force, rule, plan, state, outputs)
        return list(run)


@pytest.fixture(scope="module")
def smooth(cosmology):
    """Waves well before shell crossing until D = 1, on a periodic mesh."""
    domain = Domain(64.0, 16)
    n, rng = domain.n, np.random.default_rng(2)
    delta_k = np.fft.rfftn(rng.normal(size=(n, n, n))).astype(np.complex64) / n**3
    i = np.fft.fftfreq(n, 1 / n)
    k = np.sqrt(i[:, None, None] ** 2 + i[None, :, None] ** 2 + np.arange(n // 2 + 1) ** 2)
    delta_k[(k > 1.5) | (k == 0)] = 0
    delta_k *= np.float32(0.35 / np.sqrt(2 * np.sum(np.abs(delta_k) ** 2)))
    psi1 = lpt.first_order(domain, delta_k)
    conditions = InitialConditions(delta_k, psi1, lpt.second_order(domain, delta_k))
    return Problem(domain, cosmology, conditions, ParticleMesh(domain, 16))


@pytest.fixture(scope="module")
def nonlinear(domain, cosmology, conditions):
    return Problem(domain, cosmology, conditions, ParticleMesh(domain, 64))


def noisy_frame(problem, scale):
    """2LPT plus random displacements that grow in time: an emulator that knows nothing."""
    noise = np.random.default_rng(7).normal(size=problem.conditions.psi1.shape) * scale
    terms = [
        Term(lambda D: (D, 1.0, 0.0), problem.conditions.psi1),
        Term(problem.cosmology.D2_of_D, problem.conditions.psi2),
        Term(lambda D: (D**3, 3 * D**2, 6 * D), noise.astype(np.float32)),
    ]
    return SeparableFrame(problem.domain.particles, *terms)


def frames(problem):
    return {
        "rest": rest_frame(problem.domain.particles),
        "lpt": problem.lpt,
        "noise": noisy_frame(problem, 0.5),
    }


def rms(a, b):
    return float(np.sqrt(np.mean((a.disp - b.disp) ** 2, dtype=np.float64)))


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


@pytest.mark.parametrize("scheme", [schemes.bullfrog, schemes.fastpm])
def test_velocity_schemes_converge_at_second_order(smooth, scheme):
    reference = smooth.bullfrog(512)[-1]
    steps = np.array([32, 64, 128])
    errors = [rms(smooth.bullfrog(n, scheme=scheme)[-1], reference) for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -2.2 < slope < -1.8, errors


def test_sums_of_some_particles_are_those_of_all(nonlinear):
    """Rows of particles against the fields of the frame, for frames with and without terms."""
    who = np.array([5, 0, nonlinear.domain.particles - 1])
    for frame in (nonlinear.lpt, rest_frame(nonlinear.domain.particles)):
        weights = [frame.weights(0.5, (1.0, 0.0, 0.0)), frame.weights(0.7, (0.0, 1.0, 0.5))]
        rows = np.full((3, 7), np.nan, np.float32)
        frame.gather(weights, who, rows)
        wanted = frame.displacement(0.5), frame.velocity(0.7) + 0.5 * frame.acceleration(0.7)
        np.testing.assert_allclose(rows[:, :3], wanted[0][:, who].T, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(rows[:, 3:6], wanted[1][:, who].T, rtol=1e-5, atol=1e-6)
        assert np.isnan(rows[:, 6]).all()


def test_a_frame_without_residual_is_followed_exactly(nonlinear):
    """Whatever the steps: force and frame cancel, so the particles stay on the frame."""
    frame, cosmology, domain = nonlinear.lpt, nonlinear.cosmology, nonlinear.domain

    def exact_force(x, density, out):
        D = exact_force.step.D_mid
        g = -D * frame.velocity(D) - frame.acceleration(D) / cosmology.c(D)
        return Acceleration(np.float32(g), np.zeros(domain.particles, np.float32))

    plan = schemes.residual(cosmology, uniform_edges(D_START, 1.0, 3))
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
    n, k = domain.n, domain.kf
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


def test_frame_derivatives_are_derivatives(smooth):
    frame, D, h = noisy_frame(smooth, 0.5), 0.6, 1e-2
    forward, backward = frame.displacement(D + h), frame.displacement(D - h)
    velocity = (forward - backward) / (2 * h)
    np.testing.assert_allclose(frame.velocity(D), velocity, atol=1e-3)
    acceleration = (frame.velocity(D + h) - frame.velocity(D - h)) / (2 * h)
    np.testing.assert_allclose(frame.acceleration(D), acceleration, atol=5e-3)
    total = np.ones_like(velocity)
    frame.add(D, (0.5, 1.7, -2.0), total)
    terms = 0.5 * frame.displacement(D) + 1.7 * frame.velocity(D) - 2.0 * frame.acceleration(D)
    np.testing.assert_allclose(total, 1.0 + terms, atol=2e-5)


def test_a_wrong_schedule_fails_at_once(cosmology):
    zeros = np.zeros((3, 8), np.float32)
    state = State(zeros.copy(), zeros.copy(), 0.2, 0.2)
    step = schemes.bullfrog(cosmology, np.array([0.2, 0.4]))[0]
    with pytest.raises(ValueError, match="kick"):
        kick(state, step, VelocityKick(), Acceleration(zeros, None))
    drift(state, 0.3)
    with pytest.raises(ValueError, match="drift"):
        drift(state, 0.4)


def test_bullfrog_weights_in_einstein_de_sitter():
    """The closed form with E = -3/7 D^2 (Rampf, List & Hahn 2024)."""
    step = schemes.bullfrog(Cosmology(1.0, 0.05, 0.7, 1.0, 0.8), np.array([0.2, 0.6]))[0]
    E = -3 / 7 * np.square([0.2, 0.6])
    slope = -6 / 7 * np.array([0.2, 0.6])
    F = (E[0] + slope[0] * 0.2) / 0.4 - 0.4
    assert step.alpha == pytest.approx((slope[1] - F) / (slope[0] - F), rel=1e-6)
    assert step.beta == pytest.approx((1 - step.alpha) / 0.4, rel=1e-6)
