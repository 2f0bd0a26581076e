"""The house itself: a test file for every module, and nothing that runs what it reads."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import ROOT
from tests.house import modules

TESTS = ROOT / "tests"


def test_every_module_has_a_test_that_is_not_slow():
    """In tests/gravity/test_mesh.py for coca.gravity.mesh; what ranks say to one another is tested
    in tests/mpi, which an ordinary pytest runs on one rank."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "not slow", TESTS]
    plain = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(command, cwd=ROOT, env=plain, capture_output=True, text=True)
    files = {line.partition("::")[0] for line in done.stdout.splitlines()}
    for name in modules():
        *packages, module = name.removeprefix("coca.").split(".")
        file = f"test_{module.strip('_')}.py"
        assert {"/".join(["tests", *packages, file]), f"tests/mpi/{file}"} & files, name


def test_every_test_file_has_a_module():
    """A module that was renamed takes its tests along."""
    known = {name.removeprefix("coca.").replace("__main__", "main") for name in modules()}
    for path in TESTS.rglob("test_*.py"):
        *packages, file = path.relative_to(TESTS).with_suffix("").parts
        if packages not in (["end_to_end"], ["mpi"]) and path != Path(__file__):
            assert ".".join([*packages, file.removeprefix("test_")]) in known, path


def test_nothing_is_unpickled():
    """Neither pickle nor what uses it for files: only NumPy's arrays of numbers are loaded."""
    forbidden = r"\b(pickle|dill|joblib|shelve|marshal|torch\.load|eval|exec)\b *(\(|\.|$)"
    for path in [ROOT / "run_sim.py", *(ROOT / "coca").rglob("*.py")]:
        text = path.read_text()
        code = re.sub(r'""".*?"""|#.*', "", text, flags=re.S | re.M)
        found = [line for line in code.splitlines() if re.search(forbidden, line)]
        assert [line for line in found if ".eval()" not in line] == [], path
        assert "yaml.load(" not in code or "_Loader" in code, path
        for call in re.findall(r"np\.load\([^\n]*", code):
            assert "allow_pickle=False" in call, path
