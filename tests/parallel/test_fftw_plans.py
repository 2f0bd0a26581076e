"""FFTW's wisdom, kept between runs."""

import os
import subprocess
import sys

import pytest

from coca.parallel import fftw_plans
from coca.parallel.domain import Domain
from tests import ROOT

PLAN = """
import pyfftw
from coca.parallel.domain import Domain
before = pyfftw.export_wisdom()[1]
Domain(1.0, 8).transform(16)
print(len(pyfftw.export_wisdom()[1]) - len(before))
"""


def plan_in_a_process(cache):
    """Bytes of wisdom known after planning in a new process."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", PLAN],
        cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(done.stdout)


def test_wisdom_is_kept_and_used_again(tmp_path):
    assert plan_in_a_process(tmp_path) > 0
    (file,) = (tmp_path / "coca").iterdir()
    stamp = file.stat().st_mtime_ns
    assert plan_in_a_process(tmp_path) > 0
    assert file.stat().st_mtime_ns == stamp  # nothing was timed anew, so nothing was written


def test_known_plans_are_made_without_looking_through_wisdom(monkeypatch):
    domain = Domain(1.0, 8)
    domain.transform(16)
    monkeypatch.setattr(fftw_plans, "_export", lambda: pytest.fail("read again"))
    Domain(1.0, 8).transform(16)


def test_damaged_wisdom_is_made_anew(tmp_path, monkeypatch):
    plan_in_a_process(tmp_path)
    (file,) = (tmp_path / "coca").iterdir()
    file.write_bytes(b"\0 not wisdom")
    assert plan_in_a_process(tmp_path) > 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fftw_plans.path() == file
    assert file.read_bytes().startswith(b"(fftw")


def test_without_a_cache_directory_plans_are_timed_all_the_same(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert plan_in_a_process(blocked) > 0
