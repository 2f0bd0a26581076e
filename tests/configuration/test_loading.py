import os
import re
import time
from pathlib import Path

import pytest
import yaml

import run_sim
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config, make_config
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from coca.errors import ConfigError
from tests import slow
from tests.configuration.changes import CONFIGS


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_config_is_valid(path):
    kinds = {"train": TrainConfig, "fit": FitConfig}
    load_config(path, kind=kinds.get(path.stem.split("_")[0], Config))


def test_missing_key_is_named(config_values):
    del config_values["seed"]
    with pytest.raises(ConfigError, match="seed: missing"):
        make_config(config_values)


def test_round_trip_through_yaml(config_values, tmp_path):
    config = make_config(config_values)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json", exclude_unset=True)))
    assert load_config(path) == config
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))  # with all that it means
    assert load_config(path).model_dump() == config.model_dump()


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
        ("", "found nothing, wanted keys"),
        ("- a\n- b", "found a list, wanted keys"),
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


HOSTILE = {
    "tag of Python": b"seed: !!python/object/apply:os.system ['touch harm']",
    "harmless tag": b"seed: !!bool maybe",
    "anchor": b"seed: &a 3\nparticles: *a",
    "billion laughs": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b"*%c, " % (c - 1) * 9) for c in range(98, 122)),
    "deep lists": b"seed: " + b"[" * 100_000,
    "deep keys": b"".join(b" " * i + b"a:\n" for i in range(1000)),
    "deep questions": b"? " * 100_000,
    "too large": b"# " + b"x" * 2**21,
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(30_000)),
    "many digits": b"seed: 0x" + b"f" * 500_000,
    "many decimal digits": b"seed: " + b"9" * 10_000,
    "long text": b"frame: " + b"x" * 900_000,
    "long list": b"frame: [" + b"1, " * 100_000 + b"]",
    "list as key": b"? [a, b]\n: 3",
    "no date": b"seed: 2024-99-99",
    "lines in a key": b'"a\\nb\\e[31m": 3',
    "half a pair": b'frame: "\\ud800"',
    "NUL": b"seed: 1\0",
    "binary": bytes(range(256)),
    "nothing but NUL": b"\0" * 100,
    "UTF-16": "seed: 1".encode("utf-16"),
}  # fmt: skip


LARGE = "many keys", "long list"


@pytest.mark.parametrize("kind", [*(k for k in HOSTILE if k not in LARGE), *slow(*LARGE)])
def test_hostile_yaml_is_one_short_error(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_bytes(HOSTILE[kind])
    began = time.process_time()
    assert run_sim.main(["config.yaml"]) == 2
    assert time.process_time() - began < 10.0  # seconds; 2 for 100 000 numbers
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]{10,500}\n", error) and error[:-1].isprintable()
    assert os.listdir() == ["config.yaml"]


def test_an_endless_file_is_no_configuration():
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        load_config("/dev/zero")


def test_overrides_are_as_safe(config_file):
    for override in ("seed=&a 3", "seed=!!bool maybe", "seed=" + "[" * 100_000, ".".join("a" * 99)):
        with pytest.raises(ConfigError, match="--set"):
            load_config(config_file, [f"{override}=3"])
