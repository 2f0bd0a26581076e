import pytest
import yaml

from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.errors import ConfigError
from tests.configuration.changes import CONFIGS, set_


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("simulations.cosmology.Omega_m", [0.45, 0.2], r"Omega_m: found \[0\.45, 0\.2\], wanted"),
        ("simulations.cosmology.Omega_b", [0.04, 0.3], "wanted Omega_b below Omega_m = 0.2"),
        ("simulations.cosmology.h", [0.0, 0.7], "h: found 0.0, wanted more than 0.1"),
        ("simulations.mesh", 100, "mesh: found 100, wanted 1, 2 or 3 times particles = 64"),
        ("simulations.particles", 36, "mesh: found 128"),
        ("simulations.force_evaluations", 8, r"simulations\.force_evaluations: found 8"),
        ("network.channels", [48, -96, 96], r"network\.channels\.1: found -96"),
        ("network.blocks", [1, 2], "network: wanted as many blocks as channels"),
        ("optimiser.iterations", 0, r"optimiser\.iterations: found 0"),
        ("optimiser.learning_rate", -1.0, r"optimiser\.learning_rate: found -1\.0"),
    ],
)
def test_bad_training_is_one_line_that_names_the_key(key, value, message):
    values = yaml.safe_load((CONFIGS / "train.yaml").read_text())
    set_(values, key, value)
    with pytest.raises(ConfigError, match=message):
        make_config(values, TrainConfig)


def test_training_lattice_must_divide_by_the_levels():
    values = yaml.safe_load((CONFIGS / "train.yaml").read_text())
    values["simulations"] |= {"particles": 36, "mesh": 72}
    with pytest.raises(
        ConfigError, match=r"simulations\.particles: found 36, wanted a multiple of 8"
    ):
        make_config(values, TrainConfig)
