from pathlib import Path

import pytest
import yaml

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config, make_config
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from coca.errors import ConfigError

CONFIGS = Path(__file__).parent.parent / "configs"


def set_(values, key, value):
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
    values[last] = value


def test_a_mesh_must_hold_the_stencil(config_values):
    config_values |= {"particles": 4, "mesh": 4}
    with pytest.raises(ConfigError, match="mesh: found 4, wanted more than 4 cells"):
        make_config(config_values)
    set_(config_values, "force.gradient", "spectral")
    assert make_config(config_values).mesh == 4


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path):
    kinds = {"train": TrainConfig, "fit": FitConfig}
    load_config(path, kind=kinds.get(path.stem.split("_")[0], Config))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("boxsize", 3.0, "boxsize: unknown key"),
        ("cosmology.Omega_M", 0.3, r"cosmology\.Omega_M: unknown key"),
        ("cosmology.Omega_m", -0.1, r"cosmology\.Omega_m: found -0\.1, wanted: .*greater than 0"),
        ("cosmology.Omega_m", 0.04, r"cosmology: wanted Omega_b below Omega_m"),
        (
            "cosmology.Omega_b",
            0.0,
            r"cosmology\.Omega_b: found 0\.0, wanted: greater than or equal to",
        ),
        ("cosmology.h", "high", r"cosmology\.h: found 'high', wanted: .*number"),
        ("cosmology.sigma_8", float("nan"), r"cosmology\.sigma_8: found nan, wanted: .*finite"),
        ("particles", 32.5, r"particles: found 32\.5, wanted: .*integer"),
        ("particles", "32", "particles: found '32', wanted: .*integer"),
        ("particles", True, "particles: found True"),
        ("particles", 33, "particles: found 33, wanted an even number"),
        ("mesh", 48, "mesh: found 48, wanted 1, 2 or 3 times particles = 32"),
        ("seed", -1, "seed: found -1"),
        ("frame", "network", "frame: found 'network', wanted: .*'emulator'"),
        ("integrator.method", "bullfrog", "frame: found lpt, wanted rest"),
        ("force_evaluations", -1, "force_evaluations: found -1, wanted auto or a number"),
        ("force_evaluations", "auto", r"tolerance: found None, wanted a number of Mpc/h"),
        ("tolerance", 0.1, r"tolerance: found 0\.1, wanted .* none otherwise"),
        ("tolerance", -0.1, r"tolerance: found -0\.1"),
        ("output.redshifts", [0.0, 1.0], r"output: output\.redshifts: wanted .*decreasing"),
        ("output.redshifts", [], r"output\.redshifts: wanted one or more"),
        ("output.redshifts", [30.0, 0.0], r"wanted all below initial_conditions\.redshift = 19"),
        ("output.directory", 3, r"output\.directory: found 3"),
        ("linear_power.source", "table", "linear_power: wanted a file with source: table"),
        ("initial_conditions.file", "x.h5", None),
        (
            "initial_conditions",
            {"file": "x.h5", "snapshot": "y.hdf5"},
            "initial_conditions: wanted one of file and snapshot",
        ),
        (
            "initial_conditions",
            {"snapshot": "y.hdf5", "paired": True},
            "wanted no fixed_amplitude or paired with snapshot: the snapshot has its modes",
        ),
        ("force.gradient", 5, r"force\.gradient: found 5, wanted: .*4, 6 or 'spectral'"),
        ("force.gradient", 4.5, r"force\.gradient: found 4\.5"),
        ("force.assignment", "ngp", r"force\.assignment: found 'ngp', wanted: .*'cic' or 'tsc'"),
        ("force.fft_planning", "never", r"force\.fft_planning: found 'never'"),
        ("threads", 0, "threads: found 0, wanted auto or a number"),
        ("threads", "many", "threads: found 'many', wanted auto or a number"),
        ("device", "tpu", "device: found 'tpu'"),
        ("reference", {"force_evaluations": 2}, r"reference\.force_evaluations: found 2"),
    ],
)
def test_bad_values_are_one_line_that_names_the_key(config_values, key, value, message):
    set_(config_values, key, value)
    if message is None:
        assert make_config(config_values).initial_conditions.file == Path("x.h5")
        return
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(config_values)
    assert "\n" not in str(caught.value)


def test_the_start_is_known_but_for_snapshots(config_values):
    assert make_config(config_values).initial_conditions.redshift == 19.0
    set_(config_values, "initial_conditions.redshift", None)
    assert make_config(config_values).initial_conditions.redshift == 19.0
    set_(config_values, "initial_conditions.snapshot", "x.hdf5")
    set_(config_values, "output.redshifts", [30.0, 0.0])  # checked with the snapshot's header
    assert make_config(config_values).initial_conditions.redshift is None
    set_(config_values, "initial_conditions.redshift", 25.0)
    with pytest.raises(ConfigError, match=r"wanted all below initial_conditions\.redshift = 25"):
        make_config(config_values)


def test_missing_key_is_named(config_values):
    del config_values["seed"]
    with pytest.raises(ConfigError, match="seed: missing"):
        make_config(config_values)


def test_velocity_schemes_need_a_force(config_values):
    config_values |= {"frame": "rest", "integrator": {"method": "fastpm"}, "force_evaluations": 0}
    with pytest.raises(ConfigError, match="force_evaluations: found 0, wanted 1 or more"):
        make_config(config_values)


def test_config_is_frozen(config_values):
    config = make_config(config_values)
    with pytest.raises(Exception, match="frozen"):
        config.seed = 4


def test_round_trip_through_yaml(config_values, tmp_path):
    config = make_config(config_values)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert load_config(path) == config


def test_overrides(config_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    overrides = ["seed=7", "output.directory=elsewhere", "reference.force_evaluations=16"]
    config = load_config(path, [*overrides, "cosmology.sigma_8=8e-1", "threads=2"])
    assert (config.seed, config.threads) == (7, 2)
    assert config.output.directory == Path("elsewhere")
    assert config.reference.force_evaluations == 16
    assert config.cosmology.sigma_8 == 0.8
    for bad, message in [
        ("seed", "wanted key=value"),
        ("=3", "wanted key=value"),
        ("seed.x=3", "seed has no keys below it"),
        ("seed=[", "wanted a YAML value"),
        ("sed=3", "sed: unknown key"),
    ]:
        with pytest.raises(ConfigError, match=message):
            load_config(path, [bad])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found NoneType, wanted keys"),
        ("- a\n- b", "found list, wanted keys"),
        ("a: [", "not YAML"),
        ("seed: 1\nseed: 2", "key 'seed' stands twice"),
        ("seed: !!python/object/apply:os.system [ls]", "not YAML"),
    ],
)
def test_files_that_are_no_config(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"{path}: .*{message}"):
        load_config(path)
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("simulations.cosmology.Omega_m", [0.45, 0.2], r"Omega_m: found \[0\.45, 0\.2\], wanted"),
        ("simulations.cosmology.Omega_b", [0.04, 0.3], "wanted Omega_b below Omega_m = 0.2"),
        ("simulations.cosmology.h", [0.0, 0.7], "h: found 0.0, wanted: greater than 0.1"),
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
