import pytest

from coca.configuration.loading import make_config
from coca.configuration.sections import LightConeConfig, replaced
from coca.cosmology.linear_power import sigma_8_of
from coca.errors import ConfigError
from tests.configuration.changes import set_


def test_the_start_is_known_but_for_snapshots(config_values):
    assert make_config(config_values).initial_conditions.start == 19.0
    set_(config_values, "initial_conditions.redshift", None)
    assert make_config(config_values).initial_conditions.start == 19.0
    set_(config_values, "initial_conditions.snapshot", "x.hdf5")
    set_(config_values, "output.redshifts", [30.0, 0.0])  # checked with the snapshot's header
    assert make_config(config_values).initial_conditions.start is None
    set_(config_values, "initial_conditions.redshift", 25.0)
    with pytest.raises(ConfigError, match=r"wanted all below initial_conditions\.redshift = 25"):
        make_config(config_values)


def test_an_amplitude_is_turned_into_sigma_8(config_values):
    del config_values["cosmology"]["sigma_8"]
    set_(config_values, "cosmology.A_s", 2.1e-9)
    config = make_config(config_values)
    cosmology = config.build_cosmology()
    assert cosmology.sigma_8 == sigma_8_of(2.1e-9, cosmology, "eisenstein_hu")
    assert make_config(config.model_dump()).model_dump() == config.model_dump()
    assert make_config(config.model_dump(exclude_unset=True)) == config
    set_(config_values, "linear_power", {"source": "table", "file": "power.txt"})
    with pytest.raises(ConfigError, match=r"cosmology\.A_s: found 2\.1e-09, wanted sigma_8 with"):
        make_config(config_values)


def test_records_of_lambda_and_sigma_8_say_no_more_than_ever(config_values):
    assert make_config(config_values).model_dump()["cosmology"] == config_values["cosmology"]
    set_(config_values, "cosmology.wa", -0.3)
    assert make_config(config_values).model_dump()["cosmology"]["wa"] == -0.3


def test_a_new_amplitude_takes_the_others_place(config_values):
    cosmology = config_values["cosmology"]
    new = replaced(cosmology, {"A_s": 2e-9, "h": 0.7})
    assert "sigma_8" not in new
    assert (new["A_s"], new["h"]) == (2e-9, 0.7)
    assert replaced(new, {"sigma_8": 0.834}) | {"h": 0.6711} == cosmology


def test_shells_begin_where_their_first_edge_is():
    assert LightConeConfig(z_max=1.0).z_min == 0.0
    assert LightConeConfig(z_max=1.0, redshifts=(0.2, 1.0)).z_min == 0.2


@pytest.mark.parametrize("other", [{"shells": 3}, {"redshifts": (0.0, 0.5)}])
def test_edges_of_shells_are_given_once(other):
    with pytest.raises(ValueError, match=r"light_cone.* and light_cone.*wanted one of them"):
        LightConeConfig(z_max=0.5, every=100.0, **other)
