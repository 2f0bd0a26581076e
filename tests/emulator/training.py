"""A trainer on tiny simulations."""

import pytest
import torch

from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.training import Trainer, domain_of
from coca.emulator.training_set import SimulationSet


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
