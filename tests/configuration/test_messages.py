"""What is said of a configuration that is wrong."""

import h5py
import numpy as np
import pytest
import yaml

from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config, make_config
from coca.configuration.messages import keys
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from coca.errors import ConfigError, reason
from tests.configuration.changes import CONFIGS, set_


def said(values, **changes):
    """What is said of values with others in their place, sections with two underscores."""
    for key, value in changes.items():
        set_(values, key.replace("__", "."), value)
    with pytest.raises(ConfigError) as caught:
        make_config(values)
    return str(caught.value).removeprefix("config: ")


def test_everything_that_is_wrong_is_said_at_once(config_values):
    text = said(config_values, boxsize=3.0, cosmology__h="high", output__redshifts=0.0, seed=-1)
    assert text.split("; ") == [
        "cosmology.h: found 'high', wanted a number",
        "seed: found -1, wanted 0 or more",
        "output.redshifts: found 0.0, wanted a list of redshifts",
        "boxsize: unknown key, box_size perhaps",
    ]


def test_all_that_does_not_fit_together_is_said_at_once(config_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values | {"method": "pm", "force_evaluations": 0}))
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["mesh=33", "force.softening=0.1", "tolerance=0.5"])
    said = str(caught.value).removeprefix(f"{path}: ").split("; ")
    assert [line.partition(":")[0] for line in said] == [
        "mesh", "force_evaluations", "force.softening", "tolerance",
    ]  # fmt: skip
    assert [line.endswith("(--set)") for line in said] == [True, False, True, True]


def test_very_many_are_counted(config_values):
    text = said(config_values, **{f"unheard_of_{i}": 1 for i in range(1000)})
    assert len(text) < 500 and text.endswith(" more") and text.count("unknown key") == 8


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("box_size", "large", "box_size: found 'large', wanted a number of Mpc/h"),
        ("box_size", -3.0, "box_size: found -3.0, wanted 0.1 or more Mpc/h"),
        ("tolerance", 0.0, "tolerance: found 0.0, wanted more than 0 Mpc/h"),
        ("output", 3, "output: found 3, wanted keys with values"),
        ("output__report", "yes", "output.report: found 'yes', wanted true or false"),
        ("output__directory", 3, "output.directory: found 3, wanted a path"),
        ("output__pdf", {"radii": []}, "output.pdf.radii: found [], wanted a list of 1 or more"),
    ],
)
def test_what_is_wanted_is_in_words_with_its_unit(config_values, key, value, message):
    assert said(config_values, **{key: value}) == message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("Seed", "seed"),
        ("redshifts", "output.redshifts"),
        ("cosmology__omega_m", "cosmology.Omega_m"),
        ("cosmology__sigma8", "cosmology.sigma_8"),
        ("nmesh", "mesh"),
        ("output__redshift", "output.redshifts"),
    ],
)
def test_the_nearest_key_is_named(config_values, key, meant):
    assert said(config_values, **{key: 1}).endswith(f"unknown key, {meant} perhaps")


def test_keys_like_none_are_not_likened(config_values):
    assert said(config_values, zzzzz=1) == "zzzzz: unknown key"
    assert {"seed", "output.pdf.radii", "reference.method"} <= set(keys(Config))


def test_what_the_command_line_set_is_told(config_values, tmp_path):
    set_(config_values, "cosmology.h", "high")
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["seed=-1", "output={redshifts: 3}"])
    assert str(caught.value) == (
        f"{path}: cosmology.h: found 'high', wanted a number; seed: found -1 (--set), wanted 0 or "
        "more; output.redshifts: found 3 (--set), wanted a list of redshifts"
    )


@pytest.mark.parametrize(
    ("file", "command", "kind", "wanted"),
    [
        ("train.yaml", "train", Config, "run"),
        ("fit.yaml", "fit", Config, "run"),
        ("quickstart.yaml", "run", TrainConfig, "train"),
        ("quickstart.yaml", "run", FitConfig, "fit"),
        ("fit.yaml", "fit", TrainConfig, "train"),
    ],
)
def test_a_file_of_another_command_is_named_so(file, command, kind, wanted):
    message = f"{file}: found a configuration of coca {command}, wanted one of coca {wanted}$"
    with pytest.raises(ConfigError, match=message):
        load_config(CONFIGS / file, [], kind)


def test_no_numbers_of_errors_are_said(tmp_path):
    with pytest.raises(OSError, match="Errno 2") as caught:
        (tmp_path / "absent").read_text()
    assert reason(caught.value) == "No such file or directory"
    assert reason(ValueError("a\n b" + 500 * "c")) == "a b" + 197 * "c"
    assert reason(ValueError("empty")) == "empty" and reason(EOFError()) == "EOFError"


def test_hdf5_is_not_heard(tmp_path):
    """What is not there, no file, not HDF5, and cut short, in words of ours."""
    with h5py.File(tmp_path / "whole.hdf5", "w") as file:
        file["x"] = np.zeros(1000)
    (tmp_path / "short.hdf5").write_bytes((tmp_path / "whole.hdf5").read_bytes()[:5000])
    (tmp_path / "text").write_text("text")
    said = {}
    for name in ("absent", ".", "text", "short.hdf5"):
        with pytest.raises(OSError, match="open file") as caught, h5py.File(tmp_path / name):
            pass
        said[name] = reason(caught.value)
    assert said == {
        "absent": "No such file or directory", ".": "Is a directory",
        "text": "it is not HDF5", "short.hdf5": "it is cut short",
    }  # fmt: skip


def test_where_a_key_was_set_is_told_of_keys_that_do_not_fit_together(tmp_path, config_values):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    for override, message in (
        ("mesh=48", r": mesh: found 48, wanted 1, 2 or 3 times particles = 32 \(--set\)$"),
        ("output.redshifts=[0, 1]", r": output.redshifts: found \[0.0, 1.0\], .* 0 \(--set\)$"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config(path, [override])
