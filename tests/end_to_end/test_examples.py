"""Every example runs as its first line says, and saves the figure that it promises."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests import ROOT

pytestmark = pytest.mark.slow

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
ARGUMENTS = {"inference": ["40"], "train_your_own": ["60", "4"]}
"""After the directory, where the whole example takes most of a minute."""
PRINTED = {
    "inference": r"\| twice too narrow, held out \|(.|\n)*PM, lsbi, N-body(.|\n)*emulated P\(k\)",
    "match_another_code": r"64 BullFrog steps: 0\.00\d Mpc/h rms",
    "train_your_own": r"2LPT: 1\.3\d Mpc/h rms(.|\n)*60 iterations: (0\.|1\.[012])\d+ Mpc/h rms",
}
"""What they find: PySCo's particles, but for the error of some 100 steps of both; and a short
training better than 2LPT."""
NEEDED = {
    "inference": (("sbi", "lsbi", "sklearn", "corner", "healpy"), "inference"),
    "match_another_code": (("pysco",), "peers"),
}
"""Packages, and the extra that has them."""


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    packages, extra = NEEDED.get(path.stem, ((), ""))
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}, see the extra {extra}")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, path, tmp_path, *ARGUMENTS.get(path.stem, [])],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTED.get(path.stem, ""), done.stdout)
    assert (tmp_path / f"{path.stem}.png").read_bytes().startswith(b"\x89PNG")


def test_there_are_examples():
    assert len(EXAMPLES) >= 3
