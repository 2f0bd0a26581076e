"""The trainer on tiny simulations."""

import numpy as np
import pytest
import torch

from coca.__main__ import main
from coca.commands import train
from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.emulator import Emulator
from coca.emulator.symmetry import Symmetry, tiled
from coca.emulator.training import Trainer, domain_of, schedule
from coca.emulator.training_set import SimulationSet, planned_simulations
from coca.errors import FileError


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    root = tmp_path_factory.mktemp("training")
    return {
        "simulations": {
            "directory": str(root / "simulations"),
            "training": 2,
            "validation": 1,
            "cosmology": {
                "Omega_m": [0.25, 0.35],
                "Omega_b": [0.04, 0.06],
                "h": [0.6, 0.8],
                "n_s": [0.9, 1.0],
                "sigma_8": [0.7, 0.9],
            },
            "box_size": 32.0,
            "particles": 16,
            "mesh": 32,
            "seed": 5,
            "force_evaluations": 16,
        },
        "network": {"channels": [8, 8, 8], "blocks": [1, 1, 1], "time_functions": 3},
        "optimiser": {
            "iterations": 40,
            "warmup": 5,
            "muon_learning_rate": 0.02,
            "learning_rate": 3e-3,
            "checkpoint_every": 20,
        },
        "weights": str(root / "weights.safetensors"),
        "threads": 1,
    }


def trainer_of(values):
    config = make_config(values, TrainConfig)
    domain = domain_of(config, 1)
    simulations = SimulationSet(config.simulations, domain)
    assert sorted(simulations.make_missing()) == [0, 1, 2]
    return Trainer(config, simulations, domain, torch.device("cpu"))


def parameters(trainer):
    return [p.detach() for p in trainer.network.parameters()]


def test_training_learns_and_writes_weights_that_load(values, capsys):
    before = trainer_of(values).validate()
    # a new network predicts nothing; its outputs are rounded where the head's biases are not zero
    assert before.losses.positions == pytest.approx(1.0, abs=5e-3)
    config = make_config(values, TrainConfig)
    train.train(config)
    emulator = Emulator.load(config.weights)
    assert emulator.trained.cell == 2.0
    assert emulator.trained.Omega_m == (0.25, 0.35)
    assert not config.weights.with_suffix(".checkpoint.safetensors").exists()
    lines = capsys.readouterr().out.splitlines()
    last = next(line for line in lines if line.startswith("iteration 40/40"))
    assert float(last.split("training")[1].split()[0]) < 0.9


def test_products_in_bfloat16_train_float32_parameters(values):
    """The loss differs by what bfloat16 rounds, 2^-8, and by more than float32 does."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer = trainer_of(values | {"precision": precision})
        for _ in range(4):
            losses[precision] = trainer.step().positions
        kinds = {p.dtype for p in trainer.emulator.network.parameters()}
        assert kinds == {torch.float32}
    difference = abs(losses["bfloat16"] / losses["float32"] - 1)
    assert 1e-7 < difference < 2**-8


def test_a_killed_training_goes_on_as_if_it_had_not_been(values, tmp_path):
    values = values | {"weights": str(tmp_path / "weights.safetensors")}
    unbroken = trainer_of(values)
    losses = [unbroken.step() for _ in range(6)]
    first = trainer_of(values)
    for _ in range(3):
        first.step()
    first.save_checkpoint(first.checkpoint)
    second = trainer_of(values)
    assert second.resume()
    assert [second.step() for _ in range(3)] == losses[3:]
    for a, b in zip(parameters(unbroken), parameters(second), strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_of_another_configuration_is_refused(values, tmp_path):
    values = values | {"weights": str(tmp_path / "weights.safetensors")}
    trainer = trainer_of(values)
    trainer.save_checkpoint(trainer.checkpoint)
    other = values | {"optimiser": values["optimiser"] | {"learning_rate": 1e-3}}
    with pytest.raises(FileError, match="of another configuration"):
        trainer_of(other).resume()
    trainer.checkpoint.write_bytes(b"broken")
    with pytest.raises(FileError, match="cannot read"):
        trainer_of(values).resume()


def test_simulations_are_made_once_and_reproducible(values, tmp_path):
    trainer = trainer_of(values)
    files = sorted(trainer.simulations.config.directory.iterdir())
    stamps = [file.stat().st_mtime_ns for file in files]
    trainer_of(values)
    assert [file.stat().st_mtime_ns for file in files] == stamps
    elsewhere = values["simulations"] | {"directory": str(tmp_path)}
    again = trainer_of(values | {"simulations": elsewhere})
    for i in range(3):
        for a, b in zip(trainer.simulations.load(i), again.simulations.load(i), strict=True):
            np.testing.assert_array_equal(a, b)


def test_expanded_trajectories_are_the_simulated_ones(values):
    """Psi1, Psi2 and the coefficients give back the particles of the run they came from."""
    from coca.frames import lpt_frame, rest_frame
    from coca.gravity.particle_mesh import ParticleMesh
    from coca.integration import schemes
    from coca.integration.integrate import initial_state, integrate
    from coca.integration.kicks import VelocityKick

    trainer = trainer_of(values)
    simulation, domain = trainer.simulations.planned[0], trainer.domain
    psi1, psi2, rows = trainer.simulations.load(0)
    lpt, rest = lpt_frame(simulation.cosmology, psi1, psi2), rest_frame(domain.particles)
    steps = schemes.bullfrog(simulation.cosmology, np.linspace(simulation.D_start, 1.0, 17))
    state = initial_state(lpt, rest, simulation.D_start)
    outputs = [0.25, 0.625, 1.0]
    run = integrate(domain, rest, ParticleMesh(domain, 32), VelocityKick(), steps, state, outputs)
    for snapshot in run:
        residual = np.tensordot(trainer.simulations.basis(snapshot.D), rows, 1).reshape(3, -1)
        truth = snapshot.disp - lpt.displacement(snapshot.D)
        # ten polynomials hold all but a per cent of trajectories in haloes
        assert np.std(residual - truth) < 0.03 * np.std(truth) + 1e-3


def test_cosmologies_fill_their_ranges(values):
    config = make_config(values, TrainConfig).simulations.model_copy(update={"training": 20})
    drawn = [simulation.cosmology.Omega_m for simulation in planned_simulations(config)[:20]]
    # a Latin hypercube has one point in each of twenty strata
    strata = np.floor((np.array(drawn) - 0.25) / 0.1 * 20).astype(int)
    assert sorted(strata) == list(range(20))


SYMMETRIES = [
    Symmetry(),
    Symmetry((1, 2, 0), (1, 1, 1), (0, 0, 0)),
    Symmetry((0, 2, 1), (-1, 1, 1), (1, 0, 0)),
    Symmetry((2, 0, 1), (-1, -1, 1), (1, 0, 1)),
]


def image(field, symmetry, vector=True):
    """The image of a vector field (3, n, n, n), or of a scalar (n, n, n), step by step."""
    axes, signs, shift = symmetry
    if not vector:
        flipped = tuple(i for i in range(3) if signs[i] < 0)
        return np.roll(np.flip(field.transpose(axes), flipped), shift, (0, 1, 2))
    components = [image(field[axis], symmetry, vector=False) for axis in axes]
    return np.array(components) * np.array(signs)[:, None, None, None]


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_symmetries_keep_a_gradient_a_gradient(symmetry):
    """Rotating a field and then taking its gradient, or the other way round, is the same."""
    f = np.random.default_rng(1).normal(size=(8, 8, 8))

    def gradient(f):
        return np.stack([np.roll(f, -1, i) - np.roll(f, 1, i) for i in range(3)])

    np.testing.assert_allclose(image(gradient(f), symmetry), gradient(image(f, symmetry, False)))


@pytest.mark.parametrize("symmetry", SYMMETRIES)
@pytest.mark.parametrize("n", [16, 20])
def test_cells_of_an_image_are_found_in_tiles(symmetry, n):
    f = np.random.default_rng(1).normal(size=(n, n, n))
    x, y, z = symmetry.cells(n)
    found = tiled(f)[x[:, None, None] + y[None, :, None] + z]
    np.testing.assert_array_equal(found, image(f, symmetry, False))


def planar(cells, n):
    """Rows (n/2, n/2, n/2, 8, C) of a folded field as (C, n, n, n)."""
    m = n // 2
    cells = cells.reshape(m, m, m, 2, 2, 2, -1).transpose(6, 0, 3, 1, 4, 2, 5)
    return cells.reshape(-1, n, n, n)


@pytest.mark.parametrize("symmetry", SYMMETRIES)
def test_features_of_an_image_are_the_image_of_features(values, symmetry):
    trainer = trainer_of(values)
    n = trainer.domain.n
    plain, found = (
        planar(trainer.examples.load(0, s).features()[0].permute(1, 2, 3, 0).float().numpy(), n)
        for s in (Symmetry(), symmetry)
    )
    vectors = [image(plain[i : i + 3], symmetry) for i in (0, 3, 6, 9)]
    scalars = [image(plain[i : i + 1][0], symmetry, False)[None] for i in range(12, 16)]
    np.testing.assert_array_equal(found, np.concatenate(vectors + scalars))
    psi1 = trainer.simulations.load(0)[0].reshape(3, n, n, n) / trainer.examples.scales.inputs[0]
    np.testing.assert_allclose(plain[:3], psi1, rtol=2**-8)  # bfloat16


def outputs_of(trainer, size):
    """Random folded outputs of a network."""
    n, K = trainer.domain.n // 2, trainer.loss.count
    generator = torch.Generator().manual_seed(3)
    outputs = size * torch.randn(1, 24 * K, n, n, n, generator=generator)
    return outputs.contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("symmetry", [SYMMETRIES[0], SYMMETRIES[3]])
def test_losses_are_those_of_trajectories(values, symmetry):
    """Positions and velocities at all times of the training, each with its own error."""
    trainer = trainer_of(values)
    n, loss, examples = trainer.domain.n, trainer.loss, trainer.examples
    outputs, example = outputs_of(trainer, 0.5), examples.load(0, symmetry)
    D, simulation = 0.8, trainer.simulations.planned[0]
    losses, _ = loss(outputs, example, D, np.zeros(3))
    psi1, psi2, rows = trainer.simulations.load(0)
    fields = (examples.scales.rotation @ rows).reshape(-1, 3, n, n, n)
    true = np.array([image(f, symmetry) for f in fields])
    scale = examples.scales.outputs[: loss.count, None, None, None, None]
    emulated = planar(outputs[0].permute(1, 2, 3, 0).numpy(), n).reshape(-1, 3, n, n, n) * scale
    errors = emulated - true[: loss.count]
    times = np.arange(1, 17) / 16
    b = examples.functions(times)
    slopes = np.array([[examples.functions.growth(k)(t)[1] for t in times] for k in range(len(b))])

    def fraction(weights):
        left = np.tensordot(weights[: loss.count], errors, (0, 0))
        return np.mean(left**2) / np.mean(np.tensordot(weights, true, (0, 0)) ** 2)

    # 1e-2: bfloat16 targets
    assert losses.positions == pytest.approx(fraction(b), rel=1e-2)
    assert losses.velocities == pytest.approx(fraction(slopes), rel=1e-2)
    psi = [image(p.reshape(3, n, n, n), symmetry) for p in (psi1, psi2)]
    lpt = D * psi[0] + simulation.cosmology.D2_of_D(D)[0] * psi[1]
    _, x = loss.errors(outputs, example, D)
    at_D = examples.functions(D)
    found = x.reshape(2, 3, n, n, n) - trainer.domain.add_lattice(
        np.zeros((3, n**3), np.float32)
    ).reshape(3, n, n, n)
    disp = lpt + np.tensordot(at_D, true, (0, 0))
    np.testing.assert_allclose(found[0], disp, atol=2**-7 * np.abs(disp).max())
    np.testing.assert_allclose(
        found[1] - found[0], np.tensordot(at_D[: loss.count], errors, (0, 0)), atol=0.05
    )


def test_derivatives_of_the_loss_are_differences(values):
    trainer = trainer_of(values)
    outputs, example = outputs_of(trainer, 0.3), trainer.examples.load(0, SYMMETRIES[2])
    shift = np.array([0.2, 0.5, 0.7])
    _, gradient = trainer.loss(outputs, example, 0.9, shift)
    direction = gradient / gradient.norm()
    h = 0.3
    ends = [
        trainer.loss(outputs + s * h * direction, example, 0.9, shift)[0].total for s in (1, -1)
    ]
    # 2 %: CIC has kinks where particles cross from cell to cell
    assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(float(gradient.norm()), rel=0.02)


def test_true_outputs_leave_what_the_functions_do_not_hold(values):
    trainer = trainer_of(values)
    example = trainer.examples.load(0)
    zero = torch.zeros_like(outputs_of(trainer, 0.0))
    errors, _ = trainer.loss.errors(zero, example, 1.0)
    n, scale = trainer.domain.n // 2, np.repeat(trainer.examples.scales.outputs[:3], 3)
    true = -(errors / torch.from_numpy(scale).float()).reshape(n, n, n, -1)
    losses, _ = trainer.loss(true.permute(3, 0, 1, 2)[None], example, 1.0, np.zeros(3))
    assert losses.positions < 1e-6 and losses.velocities < 1e-6
    # of the ten functions seven are left out at D = 1
    assert 0 < losses.density < 0.05


def test_rates_rise_stay_and_fall():
    factors = [schedule(i, 4, 20, 0.5) for i in range(20)]
    np.testing.assert_allclose(factors[:4], [0.25, 0.5, 0.75, 1.0])
    assert factors[4:11] == [1.0] * 7
    np.testing.assert_allclose(np.diff(factors[10:]), -0.1)


def test_a_finished_training_goes_on_from_where_rates_began_to_fall(values, tmp_path):
    """Raising the iterations gives the training that had them from the start."""
    path = {"weights": str(tmp_path / "weights.safetensors")}
    short = values["optimiser"] | {"iterations": 6, "decay": 0.5, "checkpoint_every": 1}
    first = trainer_of(values | path | {"optimiser": short})
    first.train(lambda *_: None)
    longer = values | path | {"optimiser": short | {"iterations": 8}}
    second = trainer_of(longer)
    assert second.resume() and second.iteration == 3
    second.train(lambda *_: None)
    unbroken = trainer_of(longer)
    unbroken.train(lambda *_: None)
    for a, b in zip(parameters(unbroken), parameters(second), strict=True):
        assert torch.equal(a, b)


def test_simulations_that_are_added_join_the_next_epoch(values, tmp_path):
    values = values | {"simulations": values["simulations"] | {"directory": str(tmp_path)}}
    trainer = trainer_of(values)
    hidden = trainer.simulations.path(1).rename(tmp_path / "hidden")
    assert [trainer._draw() for _ in range(3)] == [0, 0, 0]
    hidden.rename(trainer.simulations.path(1))
    assert sorted(trainer._draw() for _ in range(2)) == [0, 1]


def test_averaged_weights_follow_the_last_ones(values):
    trainer = trainer_of(values)
    trainer.step()
    for a, b in zip(parameters(trainer), trainer.average.network.parameters(), strict=True):
        assert torch.equal(a, b)
    before = [p.clone() for p in parameters(trainer)]
    trainer.step()
    weight = 1 - 0.5**18
    for old, new, average in zip(
        before, parameters(trainer), trainer.average.network.parameters(), strict=True
    ):
        torch.testing.assert_close(average, torch.lerp(old, new, weight))


def test_the_network_takes_more_than_one_number(values):
    network = values["network"] | {"styles": ["Omega_m", "ln_sigma", "ln_spacing"]}
    trainer = trainer_of(values | {"network": network})
    for _ in range(4):  # the head moves first, then the last convolution of each block
        trainer.step()
    styles = [p for name, p in trainer.network.named_parameters() if "style.weight" in name]
    assert all(p.shape[1] == 3 and p[:, :2].any() for p in styles)
    # the spacing is 2 Mpc/h, for which the number is zero
    assert not any(p[:, 2].any() for p in styles)


def test_command_line_reports_bad_files(tmp_path, capsys):
    assert main(["train", str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml: cannot read" in capsys.readouterr().err
