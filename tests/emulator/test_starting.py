import re

import numpy as np
import pytest
import torch

from coca.__main__ import main
from coca.emulator.architecture import Architecture
from coca.emulator.emulator import Emulator
from coca.emulator.features import CHANNELS
from coca.emulator.network import UNet
from coca.emulator.starting import begin_with, expand
from coca.emulator.time_functions import TimeFunctions
from tests.emulator.training import trainer_of


def test_a_network_that_begins_with_another_gives_its_trajectories(
    small, domain, cosmology, conditions
):
    """With other time functions, units of features and outputs, and one style more."""
    rng = np.random.default_rng(3)
    architecture = Architecture(CHANNELS, 9, (4, 6, 8), (1, 1, 1), (1, 1), ("ln_sigma", "Omega_m"))
    functions = TimeFunctions(np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]]))
    scales = rng.uniform(0.5, 2.0, CHANNELS), rng.uniform(0.5, 2.0, 3)
    emulator = Emulator(UNet(architecture), functions, *scales, small.trained)
    begin_with(small.weights(), emulator)
    found, wanted = (
        e.frame(domain, cosmology, conditions, torch.device("cpu"))
        for e in (emulator, Emulator.of(small.weights()))
    )
    for D in (0.3, 0.8, 1.0):
        scale = np.abs(wanted.displacement(D)).max()
        np.testing.assert_allclose(found.displacement(D), wanted.displacement(D), atol=1e-5 * scale)


def test_time_functions_beyond_the_basis_are_taken_as_nearly_as_can_be():
    basis, one = TimeFunctions(np.array([[1.0]])), TimeFunctions(np.array([[0.0, 1.0]]))
    (share,) = expand(one, basis)
    D = np.linspace(0, 1, 65)[1:]
    assert share == pytest.approx(np.sum(D**7) / np.sum(D**6))


def test_a_training_goes_on_from_weights(values, tmp_path):
    """It begins with what they leave, and not with 1 as random ones do."""
    first = trainer_of(values)
    for _ in range(30):
        first.step()
    first.emulator.save(tmp_path / "start.safetensors")
    left = first.validate().losses.positions
    network = values["network"] | {"styles": ["Omega_m", "ln_sigma"], "time_functions": 4}
    more = {"start": str(tmp_path / "start.safetensors"), "network": network}
    second = trainer_of(values | more)
    assert left < 0.97
    assert second.validate().losses.positions == pytest.approx(left, abs=0.01)
    assert second.step().positions < 0.99


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere.safetensors", "start: cannot use nowhere.safetensors: No such file"),
        (
            "coca/emulator/weights/quijote-2mpc.safetensors",
            r"start: found weights of network.channels \(48, 96, 96\), wanted \(8, 8, 8\)",
        ),
    ],
)
def test_weights_that_cannot_be_begun_with_are_refused(value, message, tmp_path, capsys):
    options = [f"start={value}", "network.channels=[8, 8, 8]", f"weights={tmp_path}/new.st",
               f"simulations.directory={tmp_path}/none"]  # fmt: skip
    given = [part for option in options for part in ("--set", option)]
    assert main(["train", "configs/train.yaml", *given]) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "none").exists()
