"""The trainer on tiny simulations."""

import numpy as np
import pytest
import torch

from coca.__main__ import main
from coca.commands import train
from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.emulator import Emulator
from coca.emulator.training import Symmetry, Trainer, domain_of
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
    assert list(simulations.make_missing()) == [0, 1, 2]
    return Trainer(config, simulations, domain, torch.device("cpu"))


def test_training_learns_and_writes_weights_that_load(values, capsys):
    before = trainer_of(values).validate()
    assert before == pytest.approx(1.0, abs=1e-3)  # a new network predicts nothing
    config = make_config(values, TrainConfig)
    train.train(config)
    emulator = Emulator.load(config.weights)
    assert emulator.trained.cell == 2.0
    assert emulator.trained.Omega_m == (0.25, 0.35)
    assert not config.weights.with_suffix(".checkpoint.safetensors").exists()
    lines = capsys.readouterr().out.splitlines()
    last = next(line for line in lines if line.startswith("iteration 40/40"))
    assert float(last.split("training")[1].split()[0]) < 0.9 * before


def test_products_in_bfloat16_train_float32_parameters(values):
    """The loss differs by what bfloat16 rounds, 2^-8, and by more than float32 does."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        trainer = trainer_of(values | {"precision": precision})
        for _ in range(4):
            loss = trainer.step()
        losses[precision] = loss
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
    first.save_checkpoint()
    second = trainer_of(values)
    assert second.resume()
    # float32 sums in threads may differ in the last bits
    np.testing.assert_allclose([second.step() for _ in range(3)], losses[3:], rtol=1e-3)


def test_a_checkpoint_of_another_configuration_is_refused(values, tmp_path):
    values = values | {"weights": str(tmp_path / "weights.safetensors")}
    trainer = trainer_of(values)
    trainer.save_checkpoint()
    other = values | {"optimiser": values["optimiser"] | {"iterations": 50}}
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


def test_symmetries_keep_a_gradient_a_gradient():
    """Rotating a field and then taking its gradient, or the other way round, is the same."""
    n = 8
    f = np.random.default_rng(1).normal(size=(n, n, n))

    def gradient(f):
        return np.stack([np.roll(f, -1, i) - np.roll(f, 1, i) for i in range(3)])

    for axes, signs, shift in [
        ((1, 2, 0), (1, 1, 1), (0, 0, 0)),
        ((0, 2, 1), (-1, 1, 1), (1, 0, 0)),
        ((2, 0, 1), (-1, -1, 1), (1, 0, 1)),
    ]:
        symmetry = Symmetry(axes, signs, shift)
        flipped = tuple(i for i in range(3) if signs[i] < 0)
        image = np.roll(np.flip(f.transpose(axes), flipped), shift, (0, 1, 2))
        np.testing.assert_allclose(symmetry(gradient(f)), gradient(image))


def test_command_line_reports_bad_files(tmp_path, capsys):
    assert main(["train", str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml: cannot read" in capsys.readouterr().err
