import numpy as np
import pytest

from coca.errors import FileError
from coca.integration.kept_runs import KeptRuns
from coca.particles import Snapshot

OUTPUTS = [0.5, 1.0]


def made(seed=0):
    rng = np.random.default_rng(seed)
    return [Snapshot(D, *rng.normal(size=(2, 3, 8)).astype(np.float32)) for D in OUTPUTS]


def never():
    raise AssertionError("made anew")


def test_a_run_is_made_once_and_is_the_same_from_disk(tmp_path):
    kept = KeptRuns(tmp_path / "new")
    for make in (made, never):
        found = kept.get({"seed": 1}, OUTPUTS, 8, make)
        for one, other in zip(found, made(), strict=True):
            assert one.D == other.D
            np.testing.assert_array_equal(one.disp, other.disp)
            np.testing.assert_array_equal(one.vel, other.vel)


@pytest.mark.parametrize(
    ("identity", "outputs"), [({"seed": 2}, OUTPUTS), ({"seed": 1}, [0.5, 0.9])]
)
def test_another_run_is_not_taken_for_it(tmp_path, identity, outputs):
    kept = KeptRuns(tmp_path)
    kept.get({"seed": 1}, OUTPUTS, 8, made)
    with pytest.raises(AssertionError, match="made anew"):
        kept.get(identity, outputs, 8, never)


def test_a_run_that_fails_leaves_nothing(tmp_path):
    def half():
        yield made()[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        KeptRuns(tmp_path).get({}, OUTPUTS, 8, half)
    with pytest.raises(ValueError, match="longer"):
        KeptRuns(tmp_path).get({}, OUTPUTS, 8, lambda: made()[:1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array", "cannot read"),
        (None, "found shape"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, content, message):
    kept = KeptRuns(tmp_path)
    path = kept.path({}, OUTPUTS)
    if content is None:
        np.save(path, np.zeros(3, np.float32))
    else:
        path.write_bytes(content)
    with pytest.raises(FileError, match=f"{path.name}.*{message}"):
        kept.get({}, OUTPUTS, 8, never)
