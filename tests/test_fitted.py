"""Fitted steps: kernels, the table, the run with them, and the fit."""

import re
from itertools import pairwise

import numpy as np
import pytest
import torch

from coca import kernels
from coca.__main__ import main
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config, make_config
from coca.errors import FileError
from coca.gravity.particle_mesh import Acceleration
from coca.integration import schemes
from coca.integration.fitted_kick import FittedKick, nonlinearity, sharpened
from coca.integration.fitted_table import (
    CLASSES,
    DENSITIES,
    DENSITIES_BEFORE,
    MATRIX,
    FittedSteps,
    shipped,
)
from coca.integration.integrate import initial_state, integrate
from coca.run.plan import make_plan
from coca.run.simulation import simulate
from coca.statistics.spectra import density_modes, particle_spectra
from coca.step_fitting.density import POWER_WEIGHT, torch_density_modes
from coca.step_fitting.fit import edge_fractions, phase_of
from coca.step_fitting.least_squares import least_squares
from coca.step_fitting.runs import make_members

FEATURES, TARGETS = kernels.fitted.FEATURES, kernels.fitted.TARGETS


@pytest.fixture(scope="module")
def table():
    return FittedSteps.load(shipped("lpt"))


EDGES = DENSITIES, DENSITIES_BEFORE


@pytest.fixture
def particles():
    """Residuals of 2000 particles: more than a block."""
    rng = np.random.default_rng(4)
    return [rng.normal(size=(3, 2000)).astype(np.float32) for _ in range(4)]


@pytest.fixture
def densities():
    """Density contrasts of them now and before: empty to crowded, some on and near edges."""
    rng = np.random.default_rng(9)
    delta, before = (10 ** rng.uniform(-1.5, 3, (2, 2000)) - 1).astype(np.float32)
    delta[:13], before[:5] = DENSITIES - 1, DENSITIES_BEFORE - 1
    delta[20:33], before[20:25] = 1.03 * DENSITIES - 1, 0.98 * DENSITIES_BEFORE - 1
    return delta, before


def features(particles, H, c):
    e, w, s, before = particles
    return np.array([e, H * w, H * H * c * s, before], np.float64)


def shares(delta, edges):
    """How much of every class is in each particle's matrix: all of one, or near an edge, from
    6 % below it to 6 % above, of two."""
    over = (1.0 + delta.astype(np.float64))[:, None] / edges.astype(np.float64)
    rise = np.clip((over - 0.94) / 0.12, 0, 1)
    above, below = np.pad(rise, [(0, 0), (1, 0)], constant_values=1), np.pad(rise, [(0, 0), (0, 1)])
    return above - below


def test_step_equals_its_plain_twin(particles, densities):
    M = np.random.default_rng(5).normal(size=(*CLASSES, TARGETS, FEATURES)).astype(np.float32)
    H, c = 0.2, 3.0
    F = features(particles, H, c)
    now, before = (shares(*pair) for pair in zip(densities, EDGES, strict=True))
    wanted = np.einsum("pb,pk,bktf,fcp->tcp", before, now, M.astype(np.float64), F)
    sums = kernels.fitted.step(*particles, *densities, *EDGES, M, H, c)
    # near an edge of 150 round-off of the density counts 1e-7 * 150 / 18
    np.testing.assert_allclose(particles[0], wanted[0], atol=1e-4)
    np.testing.assert_allclose(particles[1], wanted[1] / H, atol=1e-4 / H)
    np.testing.assert_allclose(particles[3], F[2], rtol=1e-6)
    y = c * (1.0 + densities[0].astype(np.float64)) / 3.0 * 0.01
    squares = (particles[2].astype(np.float64) ** 2).sum(axis=0)
    np.testing.assert_allclose(sums, (squares.sum(), (squares / (1 + y) ** 2).sum()), rtol=1e-5)


def test_classes_go_over_from_one_to_the_next(densities):
    for delta, edges in zip(densities, EDGES, strict=True):
        wanted = shares(delta, edges) @ np.arange(len(edges) + 1)
        # round-off of the density, 1e-7, over an eighth
        np.testing.assert_allclose(kernels.fitted.place(delta, edges), wanted, atol=2e-5)


def test_sharpened_matrices_have_the_fitted_means():
    """At full strength over each class, of particles spread evenly in ln(1 + delta)."""
    M = np.random.default_rng(12).normal(size=CLASSES)
    sharp = sharpened(M, 1.0)
    ends = [np.concatenate([[e[0] / np.e], e, [e[-1] * np.e]]).astype(float) for e in EDGES]
    inside = [[np.geomspace(*pair, 20001)[1:-1] - 1 for pair in pairwise(e)] for e in ends]
    now, before = (
        [shares(x, e).mean(axis=0) for x in i] for i, e in zip(inside, EDGES, strict=True)
    )
    mean = np.array(before) @ sharp @ np.array(now).T
    # a transition is 6 % wide, and taken as even in ln(1 + delta)
    np.testing.assert_allclose(mean, M, atol=0.1 * np.abs(sharp - M).max())


def test_round_off_of_the_density_moves_nobody_far(particles, densities):
    M = np.random.default_rng(5).normal(size=(*CLASSES, TARGETS, FEATURES)).astype(np.float32)
    other = [field.copy() for field in particles]
    kernels.fitted.step(*particles, *densities, *EDGES, M, 0.2, 3.0)
    nearby = [np.float32((1 + delta) * (1 + 1e-5) - 1) for delta in densities]
    kernels.fitted.step(*other, *nearby, *EDGES, M, 0.2, 3.0)
    # matrices differ by 5 at most, and features are of order 5
    assert np.abs(particles[0] - other[0]).max() < 1e-5 / 0.12 * 25


def test_moments_equal_their_plain_twin(particles):
    H, c = 0.2, 3.0
    rng = np.random.default_rng(6)
    end_e, end_w = rng.normal(size=(2, 3, 2000)).astype(np.float32)
    now, before = (rng.integers(0, CLASSES[i], 2000).astype(np.uint8) for i in (1, 0))
    sums, counts = kernels.fitted.moments(*particles, now, before, H, c, end_e, end_w, CLASSES)
    rows = np.concatenate([features(particles, H, c), [end_e, H * end_w]])
    for b, k in np.ndindex(CLASSES):
        mine = (before == b) & (now == k)
        wanted = np.einsum("icp,jcp->ij", rows[:FEATURES][..., mine], rows[..., mine])
        np.testing.assert_allclose(sums[b, k], wanted, atol=1e-4)
        assert counts[b, k] == mine.sum()


def test_density_classes_count_the_edges_below():
    delta = np.array([-1.5, -0.95, 0.0, 0.2, 1e6], np.float32)
    out = np.empty(delta.size, np.uint8)
    kernels.fitted.classify(delta, DENSITIES, out)
    np.testing.assert_array_equal(out, np.searchsorted(DENSITIES, 1 + delta))


def test_least_squares_finds_the_matrices(particles):
    """Matrices that differ between nodes, from particles without noise."""
    rng = np.random.default_rng(7)
    true = rng.normal(size=(2, TARGETS, FEATURES))
    moments, weights = [], []
    for h in ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)):
        rows = rng.normal(size=(*CLASSES, FEATURES, 20000))
        ends = np.einsum("k,ktf,bnfp->bntp", h, true, rows)
        both = np.concatenate([rows, ends], axis=2)
        sums = np.einsum("bnip,bnjp->bnij", rows, both)
        moments.append((sums, np.full(CLASSES, 20000.0)))
        weights.append(np.array(h))
    found = least_squares(moments, weights)
    # the coarser fits draw with 3000 of 20000 to 60000 particles
    spread = np.abs(true[0] - true[1]).max()
    assert np.abs(found - true[:, None, None]).max() < 0.15 * spread


def test_features_of_round_off_get_no_weight():
    """In the 2LPT frame e and w vanish at the start but for round-off."""
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(*CLASSES, FEATURES, 2000)) * np.array([1e-7, 1e-6, 1, 0])[:, None]
    ends = np.stack([2.0 * rows[..., 2, :]] * TARGETS, axis=2)
    sums = np.einsum("bnip,bnjp->bnij", rows, np.concatenate([rows, ends], axis=2))
    found = least_squares([(sums, np.full(CLASSES, 2000.0))], [np.ones(1)])
    np.testing.assert_allclose(found[..., 2], 2.0, rtol=1e-5)
    assert not found[..., [0, 1, 3]].any()


def test_nonlinearity_is_the_rms_of_the_linear_density(domain, conditions):
    fft = domain.transform(domain.n)
    density = fft.backward(conditions.delta_k.copy())
    assert nonlinearity(domain, conditions.delta_k, 0.5) == pytest.approx(
        np.log(0.5 * density.std()), abs=1e-5
    )


def test_density_with_derivatives_is_the_density(domain, conditions):
    x = domain.add_lattice(conditions.psi1)
    differentiable = torch_density_modes(torch.from_numpy(x), 64, domain.box_size)
    modes = differentiable.numpy()
    modes[0, 0, 0] = 0
    np.testing.assert_allclose(modes, density_modes(domain, x, 64), atol=2e-7)


def test_the_density_is_fitted_to_particles_that_move_as_in_a_run():
    small = ["particles=16", "simulations=2", "growth_factors=[1.0]", "nodes=2", "batch=2"]
    config = load_config("configs/fit.yaml", [*small, "reference_steps=32", "times=8"], FitConfig)
    member, _ = make_members(
        config, 1, lambda truth: truth.conditions.lpt_frame(truth.cosmology), lambda line: None
    )
    member.weights = np.array([0.4, 0.6], np.float32)
    matrices = 0.1 * np.random.default_rng(11).normal(size=(2, *CLASSES, TARGETS, FEATURES))
    matrices = matrices.astype(np.float32)
    member.start(np.array([0.0, 0.6, 1.0]))
    member.evaluate(member.steps[0])
    member.advance(member.steps[0], matrices)
    member.evaluate(member.steps[1])
    rows = torch.from_numpy(np.ascontiguousarray(matrices[..., 0, :]))
    wanted = member.displacement(rows).numpy()
    member.advance(member.steps[1], matrices)
    np.testing.assert_allclose(member.state.e, wanted, atol=1e-5 * np.abs(wanted).max())


def test_table_survives_its_file(table, tmp_path):
    path = tmp_path / "table.safetensors"
    table.save(path)
    again = FittedSteps.load(path)
    assert again.counts == table.counts and again.fitted == table.fitted
    assert again.phases == table.phases
    assert again.frame == table.frame == "lpt"
    for count in table.counts:
        np.testing.assert_array_equal(again.nodes[count], table.nodes[count])
        np.testing.assert_array_equal(again.matrices[count], table.matrices[count])
        np.testing.assert_array_equal(again.residuals[count], table.residuals[count])
        np.testing.assert_array_equal(again.errors[count], table.errors[count])
        np.testing.assert_array_equal(again.error_fits[count], table.error_fits[count])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"integrator\.table: cannot use"):
        FittedSteps.load(path)
    with pytest.raises(FileError, match=r"integrator\.table: cannot use"):
        FittedSteps.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nodes": {1: [1.0, 0.0]}}, r"nodes\.1: wanted increasing values"),
        ({"nodes": {1: [0.0, np.nan]}}, "values that are not finite"),
        ({"matrices": {}}, "no matrices"),
        ({"matrices": {1: np.zeros((2, 2))}}, r"matrices\.1: found shape \(2, 2\), wanted"),
        ({"fractions": {1: [0.0, 0.5, 1.0]}}, r"fractions\.1: found shape \(3,\), wanted \(2,\)"),
        ({"fractions": {1: [1.0, 0.0]}}, r"fractions\.1: wanted increasing values"),
        ({"phases": {1: -1.0}}, "phases: .*wanted positive values"),
        ({"phases": {1: np.nan}}, "phases: .*wanted positive values"),
        ({"phases": {1: 0.2, 2: 0.2}}, r"phases: found \[1, 2\], wanted some of \[1\]"),
        ({"residuals": {1: np.zeros(3)}}, r"residuals\.1: found shape \(3,\), wanted \(1, 2\)"),
        ({"errors": {1: np.zeros(3)}}, r"errors\.1: found shape \(3,\), wanted \(2,\)"),
        ({"error_fits": {1: np.ones(3)}}, r"error_fits\.1: found shape \(3,\), wanted \(2,\)"),
    ],
)
def test_tables_that_are_none_say_why(table, tmp_path, changes, message):
    parts = {
        "nodes": {1: [0.0, 1.0]},
        "fractions": {1: [0.0, 1.0]},
        "matrices": {1: np.zeros((1, 2, *CLASSES, *MATRIX))},
        "phases": {},
        "residuals": {1: np.zeros((1, 2))},
        "errors": {1: np.zeros(2)},
        "error_fits": {1: np.ones(2)},
    } | changes
    bad = FittedSteps(**parts, fitted=table.fitted, frame="lpt")
    bad.save(tmp_path / "table.safetensors")
    with pytest.raises(FileError, match=rf"integrator\.table: .*{message}"):
        FittedSteps.load(tmp_path / "table.safetensors")


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_frame_without_residual_is_followed_exactly(table, domain, cosmology, conditions, count):
    frame = conditions.lpt_frame(cosmology)
    plan = schemes.residual(cosmology, schemes.edges(0.06, 1.0, table.fractions[count]))
    rule = FittedKick(domain, cosmology, frame, table, plan, 1.0)
    steps = iter(plan)

    def exact_force(x, density, out):
        D = next(steps).D_mid
        g = -D * frame.velocity(D) - frame.acceleration(D) / cosmology.c(D)
        delta = np.full(domain.particles, 3.0, np.float32)
        return Acceleration(np.float32(g), delta, np.zeros_like)

    state = initial_state(frame, frame, 0.06)
    (final,) = integrate(domain, frame, exact_force, rule, plan, state, [1.0])
    assert np.abs(final.disp - frame.displacement(1.0)).max() < 2e-5
    assert np.abs(final.vel - frame.velocity(1.0)).max() < 2e-4


def run(config_values, **options):
    return simulate(make_plan(make_config(config_values | options)))


SMALL = 5e-3, 1e-3
"""Errors of power and correlation that are as good as none."""
BULLFROG = {"frame": "rest", "integrator": {"method": "bullfrog"}}


@pytest.mark.parametrize(
    ("Omega_m", "sigma_8", "z"), [(0.3175, 0.834, 0.0), (0.15, 0.95, 0.0), (0.45, 0.65, 0.5)]
)
def test_fitted_steps_beat_bullfrog(config_values, Omega_m, sigma_8, z):
    """On a realisation that the fit has not seen: in what is fitted with two steps, in power and
    correlation both with more, unless they are small."""
    values = config_values | {"box_size": 128.0, "particles": 64, "mesh": 128, "threads": "auto"}
    values["cosmology"] = values["cosmology"] | {"Omega_m": Omega_m, "sigma_8": sigma_8}
    values["output"] = values["output"] | {"redshifts": [z]}
    truth = run(values, force_evaluations=64, **BULLFROG)

    def errors(**options):
        simulation = run(values, **options)
        domain = simulation.domain
        x, x_true = (domain.add_lattice(s.snapshots[-1].disp) for s in (simulation, truth))
        at = particle_spectra(domain, 128, x, x_true).at(1.0)
        return np.array([abs(at.ratio - 1), 1 - at.r])

    def loss(power, correlation):
        return POWER_WEIGHT * power**2 + correlation

    for count in (2, 4, 6):
        mine = errors(force_evaluations=count, integrator={"kick": "fitted"})
        others = errors(force_evaluations=count, **BULLFROG)
        if count == 2:
            assert loss(*mine) < 0.7 * loss(*others), (mine, others)
        else:
            assert np.all(mine < np.maximum(0.7 * others, SMALL)), (count, mine, others)


def test_residuals_of_the_fit_belong_to_their_steps(table, cosmology):
    """On the fitted steps the stored values, and the same function of D on others."""
    fitted = schemes.residual(cosmology, schemes.edges(0.06, 1.0, table.fractions[6]))
    H = np.array([step.D1 - step.D0 for step in fitted])
    node = table.nodes[6][1]
    np.testing.assert_allclose(
        H**2 * table.residual(fitted, node, 6), table.residuals[6][:, 1], rtol=1e-6
    )
    uniform = schemes.residual(cosmology, np.linspace(0.06, 1.0, 41))
    most = table.counts[-1]
    s = table.residual(uniform, node, most)
    assert len(s) == 40 and s.min() > 0
    own = schemes.residual(cosmology, schemes.edges(0.06, 1.0, table.fractions[most]))
    assert s.max() <= table.residual(own, node, most).max() * 1.001


def test_a_run_outside_the_fit_is_warned(config_values):
    plan = make_plan(make_config(config_values | {"box_size": 320.0}))
    assert any("spacing of the particles = 10" in line for line in plan.warnings)


def test_earlier_outputs_are_warned_of(config_values):
    values = config_values | {"output": config_values["output"] | {"redshifts": [1.0, 0.0]}}
    assert any("haloes are too dense" in line for line in make_plan(make_config(values)).warnings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("redshift=2.0", r"growth_factors: found 0\.45, wanted at least"),
        ("particles=512", "simulations, particles: need .* GiB of memory"),
        ("spacing=[0.0, 1.0]", "spacing: found .* wanted two positive numbers"),
        ("phases={8: 0.2}", r"phases: found 8, wanted some of \[2, 3, 4, 5, 6\]"),
        ("edges={13: [0.5]}", "edges: found 13, wanted numbers from 1 to force_evaluations, 12"),
        ("batch=200", "batch: found 200, wanted at most 132"),
        ("edges={3: [0.5]}", r"edges\.3: found \(0\.5,\), wanted 2 values between 0 and 1"),
        ("edges={3: [0.5, 0.4]}", r"edges\.3: found \(0\.5, 0\.4\), wanted .* increasing"),
        ("edges={3: [0.5, 1.0]}", r"edges\.3: found \(0\.5, 1\.0\), wanted .* increasing"),
    ],
)
def test_fits_that_cannot_be_are_refused(values, message, capsys):
    assert main(["fit", "configs/fit.yaml", "--set", values]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_numbers_of_steps_may_have_no_sub_steps():
    """In the fit of the emulator's table two steps have none, and the edges that belong to that."""
    config = load_config("configs/fit_emulator.yaml", [], FitConfig)
    assert [phase_of(count, config) for count in (1, 2, 3, 4, 7)] == [None, None, 0.25, 0.18, None]
    assert edge_fractions(2, config)[1] == 0.5**0.7
    assert edge_fractions(4, config)[2] == 0.5**0.75


def test_emulator_lattice_is_checked_before_the_fit(capsys):
    arguments = ["configs/fit_emulator.yaml", "--set", "spacing=[2.0, 3.0]"]
    assert main(["fit", *arguments]) == 2
    assert "box_size: found 192 for 64 particles" in capsys.readouterr().err


def test_fit_command_writes_a_table_that_serves(config_values, tmp_path, capsys):
    path = tmp_path / "table.safetensors"
    small = [
        "particles=32", "simulations=3", "growth_factors=[1.0]", "force_evaluations=2", "nodes=2",
        "iterations=20", "batch=2", "reference_steps=32", "times=16", f"table={path}", "threads=1",
        "edges={2: [0.65]}",
    ]  # fmt: skip
    arguments = ["configs/fit.yaml", *(f"--set={value}" for value in small)]
    assert main(["fit", *arguments]) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    values = config_values | {"force_evaluations": 2, "reference": {"force_evaluations": 64}}
    fitted_run = run(values, integrator={"kick": "fitted", "table": str(path)})
    first, last = fitted_run.run.steps
    assert first.D1 == last.D0 == pytest.approx(0.35 * first.D0 + 0.65 * last.D1)
    explicit = run(values, integrator={"kick": "explicit"})

    def errors(simulation):
        domain, snapshots = simulation.domain, (simulation.snapshots, simulation.reference)
        at = particle_spectra(domain, 64, *(domain.add_lattice(s[0].disp) for s in snapshots)).at(1)
        return np.array([abs(at.ratio - 1), 1 - at.r])

    assert np.all(errors(fitted_run) < 0.8 * errors(explicit))

    before = FittedSteps.load(path)
    more = ["--set=counts=[1]", "--set=nodes=3", "--set=seed=320000"]
    assert main(["fit", *arguments, *more]) == 0
    after = FittedSteps.load(path)
    np.testing.assert_array_equal(after.matrices[2], before.matrices[2])
    assert [len(after.nodes[n]) for n in after.counts] == [3, 2]
    capsys.readouterr()
    assert main(["fit", *arguments, *more, "--set=spacing=[1.0, 2.0]"]) == 2
    assert f"table: found {path} of frame lpt" in capsys.readouterr().err
