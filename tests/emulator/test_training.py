"""The trainer on tiny simulations."""

import numpy as np
import pytest
import torch

from coca.commands import train
from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.emulator import Emulator
from coca.emulator.training import schedule
from coca.errors import CocaError, FileError
from tests.emulator.training import parameters, trainer_of


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


def test_a_training_that_diverges_ends(values):
    trainer = trainer_of(values)
    with torch.no_grad():
        trainer.network.head.bias.fill_(torch.nan)
    with pytest.raises(CocaError, match="iteration 0: positions are not finite; lower"):
        trainer.step()


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
    assert Emulator.load(first.latest).architecture == first.network.architecture
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


def test_the_network_takes_more_than_one_number(values):
    network = values["network"] | {"styles": ["Omega_m", "ln_sigma", "ln_spacing"]}
    trainer = trainer_of(values | {"network": network})
    for _ in range(4):  # the head moves first, then the last convolution of each block
        trainer.step()
    styles = [p for name, p in trainer.network.named_parameters() if "style.weight" in name]
    assert all(p.shape[1] == 3 and p[:, :2].any() for p in styles)
    # the spacing is 2 Mpc/h, for which the number is zero
    assert not any(p[:, 2].any() for p in styles)
