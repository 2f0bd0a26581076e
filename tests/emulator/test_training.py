"""The trainer on tiny simulations."""

import numpy as np
import pytest
import torch

from coca.commands import train
from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.emulator import Emulator
from coca.emulator.training import Symmetry
from coca.errors import FileError
from tests.emulator.training import trainer_of


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
