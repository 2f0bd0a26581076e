"""Networks that several tests share, and a small training."""

import numpy as np
import pytest
import torch

from coca.emulator.architecture import Architecture
from coca.emulator.emulator import Emulator
from coca.emulator.features import CHANNELS
from coca.emulator.network import UNet
from coca.emulator.time_functions import TimeFunctions
from coca.emulator.weights_file import TrainedRange


@pytest.fixture(scope="module")
def small():
    """A small network with random weights everywhere."""
    torch.manual_seed(1)
    network = UNet(Architecture(CHANNELS, 6, (4, 6, 8), (1, 1, 1), (1, 1)))
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.1)
    functions = TimeFunctions(np.array([[1.0, 0.5], [0.0, 2.0]]))
    trained = TrainedRange(2.0, (0.2, 0.4), (0.7, 0.9), (0.0, 19.0))
    return Emulator(network, functions, np.ones(CHANNELS), np.array([1.0, 0.5]), trained)


@pytest.fixture(scope="module")
def shipped():
    return Emulator.load()


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
            "method": "bullfrog",
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
