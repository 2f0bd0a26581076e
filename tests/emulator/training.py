"""A trainer on tiny simulations."""

import torch

from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.training import Trainer, domain_of
from coca.emulator.training_set import SimulationSet


def trainer_of(values):
    config = make_config(values, TrainConfig)
    domain = domain_of(config, 1)
    simulations = SimulationSet(config.simulations, domain)
    assert sorted(simulations.make_missing()) == [0, 1, 2]
    return Trainer(config, simulations, domain, torch.device("cpu"))


def parameters(trainer):
    return [p.detach() for p in trainer.network.parameters()]
