import numpy as np
import torch

from coca.configuration.sections import EmulatorConfig
from coca.emulator.loaded import load_network
from coca.initial_conditions import linear_fields
from coca.parallel.domain import Domain

CPU = torch.device("cpu")


def test_the_frame_is_the_emulators(shipped, cosmology, power):
    domain = Domain(32.0, 16)
    conditions = linear_fields.from_seed(domain, power, 5)
    network = load_network(EmulatorConfig(), "cpu", 16)
    assert (network.device, network.kind, network.slabs) == ("cpu", "cpu", 1)
    found = network.frame(domain, cosmology, conditions)
    precision = getattr(torch, network.precision)
    wanted = shipped.frame(domain, cosmology, conditions, CPU, precision)
    np.testing.assert_array_equal(found.displacement(0.7), wanted.displacement(0.7))
    assert network.bytes_per_particle > 200
