"""coca train from the command line; tests/emulator trains."""

from types import SimpleNamespace

import pytest

from coca.__main__ import main
from coca.commands.shared import check_replaced
from coca.commands.train import checkpoints
from coca.emulator.training import Trainer
from coca.errors import ConfigError
from tests import ROOT


def test_command_line_reports_bad_files(tmp_path, capsys):
    assert main(["train", str(tmp_path / "absent.yaml")]) == 2
    assert "absent.yaml: cannot read" in capsys.readouterr().err


def test_weights_that_are_there_are_kept(tmp_path, capsys):
    """Unless they are those of a training that goes on, or what ships."""
    weights = tmp_path / "mine.safetensors"
    weights.write_text("mine")
    arguments = ["train", "configs/train.yaml", "--set", f"weights={weights}"]
    assert main(arguments) == 2
    assert f"weights: found {weights}, which is there already" in capsys.readouterr().err
    check_replaced("weights", weights, overwrite=False, own=True)
    check_replaced("weights", weights, overwrite=True, own=False)
    weights.with_suffix(".stable.safetensors").write_text("mine")
    assert any(path.exists() for path in checkpoints(weights))
    ships = next((ROOT / "coca/emulator/weights").glob("*.safetensors"))
    with pytest.raises(ConfigError, match="which ships with coca"):
        check_replaced("weights", ships, overwrite=False, own=True)


def test_checkpoints_are_those_of_the_training(tmp_path):
    trainer = SimpleNamespace(config=SimpleNamespace(weights=tmp_path / "mine.safetensors"))
    found = checkpoints(trainer.config.weights)
    assert found == [Trainer.checkpoint.fget(trainer), Trainer.stable.fget(trainer)]
