import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from coca.cosmology.background import Cosmology
from coca.emulator.weights_file import SHIPPED_WEIGHTS, read_weights
from coca.errors import ConfigError, FileError
from coca.files.safetensors import read_tensors, write_tensors


@pytest.fixture
def path(small, tmp_path):
    path = tmp_path / "weights.safetensors"
    small.save(path)
    return path


def rewritten(path, metadata=None, tensors=None):
    """The file with other metadata and tensors; those that are None are left out."""
    old_metadata, old_tensors = read_tensors(path, "numpy")
    changed = old_tensors | (tensors or {})
    changed = {name: value for name, value in changed.items() if value is not None}
    write_tensors(path, save_file, changed, old_metadata | (metadata or {}))


def test_round_trip(small, path):
    found, wanted = read_weights(path), small.weights()
    assert (found.architecture, found.trained) == (wanted.architecture, wanted.trained)
    assert found.parameters.keys() == wanted.parameters.keys()
    for name, value in wanted.parameters.items():
        assert found.parameters[name].dtype == np.float16
        np.testing.assert_array_equal(found.parameters[name], value)
    np.testing.assert_array_equal(found.functions.coefficients, wanted.functions.coefficients)
    np.testing.assert_array_equal(found.output_scale, [1.0, 0.5])


def test_shipped_weights_are_small_and_know_their_range():
    assert SHIPPED_WEIGHTS.stat().st_size < 10e6
    trained = read_weights().trained
    assert trained.cell == 2.0
    low, high = trained.Omega_m
    assert low < 0.3175 < high


def test_outside_the_trained_range_there_are_warnings(small):
    inside = Cosmology(0.3, 0.05, 0.7, 0.96, 0.8)
    assert small.trained.warnings(2.0, inside, (1.0, 0.0)) == []
    (spacing,) = small.trained.warnings(2.2, inside, (0.0,))
    assert "box_size / particles = 2.2 Mpc/h" in spacing
    outside = Cosmology(0.5, 0.05, 0.7, 0.96, 0.95)
    messages = small.trained.warnings(2.0, outside, (25.0,))
    assert [m.split(" ")[0] for m in messages] == [
        "cosmology.Omega_m",
        "cosmology.sigma_8",
        "output.redshifts",
    ]


def test_unfit_lattices_are_errors(small):
    weights = small.weights()
    weights.check(64, 128.0)
    with pytest.raises(ConfigError, match="particles: found 36, wanted a multiple of 8"):
        weights.check(36, 72.0)
    with pytest.raises(ConfigError, match=r"box_size: found 150 .* wanted 128"):
        weights.check(64, 150.0)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "foreign"])
def test_bad_weights_are_one_clear_error(path, damage):
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "text":
        path.write_text("not weights")
    else:
        save_file({"a": np.zeros(3)}, path)
    with pytest.raises(FileError, match=r"emulator\.weights.*weights\.safetensors"):
        read_weights(path)


def test_weights_of_another_architecture_are_an_error(path, tmp_path):
    metadata, _ = read_tensors(path, "numpy")
    architecture = json.loads(metadata["architecture"])
    for changes, message in (
        ({"channels": [4, 6, 10]}, r"network\.down\.1\.weight: found shape \(8, 48, 1, 1, 1\)"),
        ({"channels": []}, "cannot use"),
        ({"channels": [4, 6]}, r"network\.down\.1\..*: found .*, wanted None"),
        ({"blocks": [1, 1, 2]}, r"network\.encode\.2\.1\..*: found shape None"),
        ({"outputs": 9}, "output_scale: found"),
        ({"inputs": 3}, "found 3 input channels"),
        ({"layers": 3}, "cannot use"),
    ):
        other = tmp_path / "other.safetensors"
        shutil.copy(path, other)
        rewritten(other, {"architecture": json.dumps(architecture | changes)})
        with pytest.raises(FileError, match=rf"emulator\.weights: .*{message}"):
            read_weights(other)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"network.stem.bias": None}, r"network\.stem\.bias: found shape None"),
        ({"network.extra": np.zeros(3)}, r"network\.extra: found shape \(3,\), wanted None"),
        ({"input_scale": np.ones(3, np.float32)}, "input_scale: found"),
        ({"time_functions": np.ones((1, 4))}, "time_functions: found"),
        ({"time_functions": None}, "time_functions"),
        ({"output_scale": np.full(2, np.nan, np.float32)}, "not finite"),
    ],
)
def test_wrong_tensors_are_an_error(path, tensors, message):
    rewritten(path, tensors=tensors)
    with pytest.raises(FileError, match=rf"emulator\.weights: .*{message}"):
        read_weights(path)


def test_a_plan_loads_neither_torch_nor_numba(config_values, tmp_path):
    """Both take a second; a machine with a GPU asks torch for it."""
    import yaml

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values | {"method": "coca", "device": "cpu"}))
    code = (
        "import sys; from coca.__main__ import main; "
        f"status = main(['run', {str(path)!r}, '--dry-run']); "
        "heavy = {'torch', 'numba', 'camb', 'matplotlib'} & set(sys.modules); "
        "sys.exit(status or ', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
