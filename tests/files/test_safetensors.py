import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from coca.emulator.weights_file import SHIPPED_WEIGHTS, read_weights
from coca.errors import FileError
from coca.files.safetensors import read_tensors, write_tensors
from coca.integration.fitted_table import FittedSteps, shipped
from tests.damage import RNG, everything_in, files_of_at_most, flip

LOADERS = {
    "weights": (SHIPPED_WEIGHTS, read_weights),
    "table": (shipped("lpt"), FittedSteps.load),
    "table of the emulator": (shipped("emulator"), FittedSteps.load),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_damaged_weights_and_tables_are_one_error(kind, tmp_path):
    original, load = LOADERS[kind]
    path, size = tmp_path / "damaged.safetensors", original.stat().st_size
    names = [original.read_bytes().index(name) for name in (b"sha256", b'"checksum":')]
    for place in [
        0,
        3,
        8,
        20,
        *names,
        names[0] + 9,
        names[0] + 40,
        *RNG.integers(0, 2000, 20),
        *RNG.integers(0, size, 10),
        size - 1,
    ]:
        shutil.copy(original, path)
        flip(path, int(place))
        with pytest.raises(FileError, match=r"cannot use .*damaged\.safetensors"):
            load(path)
    path.write_text("no tensors")
    with pytest.raises(FileError, match=r"cannot use .*: it is no safetensors file, or damaged$"):
        load(path)
    path.unlink()
    with pytest.raises(FileError, match=r"cannot use .*safetensors: No such file or directory$"):
        load(path)
    for length in (0, 7, 8, 100, size // 2, size - 1):
        path.write_bytes(original.read_bytes()[:length])
        with pytest.raises(FileError, match=r"cannot use .*damaged\.safetensors"):
            load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_what_is_shipped_has_a_checksum(kind, tmp_path):
    original, load = LOADERS[kind]
    assert b'"sha256":"' in original.read_bytes()[:4096]
    load(original)


def test_tensors_without_a_checksum_are_read(tmp_path):
    """Earlier versions and other programs write none."""
    tensors = {"a": np.arange(3.0)}
    save_file(tensors, tmp_path / "plain.safetensors", {"b": "c"})
    metadata, found = read_tensors(tmp_path / "plain.safetensors", "numpy")
    assert metadata == {"b": "c"}
    np.testing.assert_array_equal(found["a"], tensors["a"])


def test_tensors_that_do_not_fit_the_disk_are_one_error(tmp_path):
    path = tmp_path / "a.safetensors"
    with files_of_at_most(5000), pytest.raises(FileError, match=r"cannot write .*a\.safetensors"):
        write_tensors(path, save_file, {"a": np.zeros(10_000)}, {})
    assert everything_in(tmp_path) == []
