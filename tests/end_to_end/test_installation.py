"""The package as it is installed: kernels/ of the repository is coca.kernels there, and stands
beside the package `kernels` of Hugging Face."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, distribution

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow

SOURCES = "coca", "kernels", "run_sim.py", "setup.py", "pyproject.toml", "README.md", "LICENSE"
NOT_SOURCES = shutil.ignore_patterns("__pycache__", "*.egg-info")


def in_process(*arguments, cwd, **environment):
    """A process of this Python; what it said."""
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


BUILD = "import sys, setuptools.build_meta as backend; backend.build_sdist(sys.argv[1])"
"""What pip and build do for an sdist. `python setup.py` would have the repository on its path and
setuptools would find ours where it looks for Hugging Face's, which adds a step to every build."""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the repository."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=NOT_SOURCES)
        else:
            shutil.copy(ROOT / name, source / name)
    return source


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    """An sdist, and the wheel that is built from it."""
    out = tmp_path_factory.mktemp("built")
    in_process("-I", "-c", BUILD, out, cwd=source)
    (sdist,) = out.glob("*.tar.gz")
    shutil.unpack_archive(
        sdist, out, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
    )
    unpacked = out / sdist.name.removesuffix(".tar.gz")
    pip = "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--wheel-dir", out
    in_process(*pip, unpacked, cwd=out)
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def sources():
    """Files of both packages in the repository, and those beside them that they read."""
    found = [*(ROOT / "coca").rglob("*"), *(ROOT / "kernels").glob("*.py")]
    kinds = ".py", ".pyi", ".typed", ".safetensors", ".html", ".css"
    return {str(path.relative_to(ROOT)) for path in found if path.suffix in kinds}


def test_the_sdist_has_all_sources_in_their_places(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert sources() <= names and {"setup.py", "pyproject.toml", "LICENSE"} <= names


def test_the_wheel_has_kernels_inside_the_package(built):
    """And nothing at the top but coca."""
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        rows = archive.read(record).decode().splitlines()
    inside = {f"coca/{n}" if n.startswith("kernels/") else n for n in sources()}
    listed = {row.split(",")[0] for row in rows}
    assert listed == names and inside <= names
    metadata = record.partition("/")[0]
    assert {name.partition("/")[0] for name in names} == {"coca", metadata}


@pytest.fixture(scope="module")
def target(built, tmp_path_factory):
    """A folder into which the wheel is installed."""
    target = tmp_path_factory.mktemp("target")
    pip = "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", target
    in_process(*pip, built[1], cwd=target)
    return target


RUN = """
import sys
from importlib.metadata import distribution
from pathlib import Path

import numba.core.event

import coca
import coca.kernels.assignment
import kernels

target = Path(sys.argv[1])
assert Path(coca.__file__).is_relative_to(target), coca.__file__
assert Path(coca.kernels.__file__).parent == target / "coca" / "kernels"
assert Path(kernels.__file__).is_relative_to(distribution("kernels").locate_file("kernels"))
assert kernels is not coca.kernels and callable(kernels.get_kernel)
with numba.core.event.install_recorder("numba:compile") as compiled:
    result = coca.simulate(
        particles=16, box_size=32.0, method="cola", force_evaluations=1, threads=1, seed=3
    )
print(result.displacement.shape, len(compiled.buffer) > 0)
"""


def test_the_wheel_runs_beside_the_kernels_of_hugging_face(target, tmp_path):
    """In a folder that is on the path, without the repository. The second process takes from
    numba's cache what the first has compiled."""
    try:
        distribution("kernels")
    except PackageNotFoundError:
        pytest.skip("Hugging Face's kernels is not installed, see the extra test")
    assert not (target / "kernels").exists()
    (tmp_path / "run.py").write_text(RUN)
    for compiles in (True, False):
        printed = in_process(tmp_path / "run.py", target, cwd=tmp_path, PYTHONPATH=str(target))
        assert printed == f"(3, 4096) {compiles}\n"


def test_a_checkout_takes_its_own_kernels(source, target):
    """Also where another coca is installed, and where none is."""
    code = "import coca.kernels.assignment as found; print(found.__file__)"
    for path in (target, source):
        printed = in_process("-c", code, cwd=source, PYTHONPATH=str(path))
        assert printed == f"{source / 'kernels' / 'assignment.py'}\n"
