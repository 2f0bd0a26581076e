import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.integration.nbody import LONG_STEPS
from coca.run.cost import NBODY_RATE, Cost


def test_forces_cost_as_their_transforms(config_values):
    """M log M of the mesh's cells for each, shared by cores; the reference's are added."""
    config = make_config(config_values | {"force_evaluations": 3})
    one = Cost(config, 1).one_force()
    assert Cost(config, 1).forces("fitted") == pytest.approx(3 * one)
    assert Cost(config, 4).one_force() == pytest.approx(one / 4)
    larger = make_config(config_values | {"force_evaluations": 3, "mesh": 96})
    assert Cost(larger, 1).one_force() == pytest.approx(1.5**3 * np.log2(96) / 6 * one)
    more = {"reference": {"method": "bullfrog", "force_evaluations": 16}}
    both = make_config(config_values | {"force_evaluations": 3} | more)
    assert Cost(both, 1).forces("fitted") == pytest.approx(19 * one)
    free = make_config(config_values | {"force_evaluations": "auto", "tolerance": 0.3})
    assert Cost(free, 1).forces("fitted") == 0.0


def test_nbody_costs_by_its_particles(config_values):
    """As many long steps as converge, unless it is told how many."""
    config = make_config(config_values)
    assert Cost(config, 2).run("nbody", None) == Cost(config, 2).run("nbody", LONG_STEPS)
    seconds = 32**3 * 10 / NBODY_RATE
    assert Cost(config, 1).run("nbody", 10) == pytest.approx(seconds)
