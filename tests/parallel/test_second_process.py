import importlib
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from coca.parallel import second_process

SLEEPS = "import time; time.sleep(60)"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module of some code that can be imported only from here; its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(code: str) -> str:
        (tmp_path / "of_a_test.py").write_text(code)
        return "of_a_test"

    return make


def children() -> list[psutil.Process]:
    return psutil.Process().children()


def test_the_second_process_finds_what_this_one_can_import_and_comes_to_its_end(module, tmp_path):
    done = tmp_path / "done"
    with second_process.compiling(module(f"print('noise'); open({str(done)!r}, 'w').close()")):
        second_process.wait()
        assert done.exists() and not children()
        second_process.wait()


def test_it_runs_nothing_of_the_working_directory(module, tmp_path, monkeypatch):
    """Somebody's calendar.py there is not Python's."""
    here, done = tmp_path / "here", tmp_path / "done"
    here.mkdir()
    for name in ("runpy", "threading", "subprocess", "calendar"):
        (here / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(here)
    with second_process.compiling(module(f"import calendar; open({str(done)!r}, 'w').close()")):
        second_process.wait()
    assert done.exists()


def test_it_says_nothing_where_it_fails(module, capfd):
    with second_process.compiling(module("raise SystemExit('what is wrong')")):
        second_process.wait()
    assert capfd.readouterr() == ("", "")


def test_it_does_not_outlive_the_block(module):
    with (
        warnings.catch_warnings(action="error"),
        pytest.raises(KeyboardInterrupt),
        second_process.compiling(module(SLEEPS)),
    ):
        (child,) = children()
        raise KeyboardInterrupt
    assert not child.is_running() and not children()
    second_process.wait()


@pytest.mark.slow
def test_it_ends_when_the_first_is_killed(module, tmp_path):
    name, number = module(SLEEPS), tmp_path / "number"
    code = (
        "import pathlib, sys, time; from coca.parallel import second_process as second\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"with second.compiling({name!r}):\n"
        f"    pathlib.Path({str(number)!r}).write_text(str(second._running[0].pid))\n"
        "    time.sleep(60)"
    )
    first = subprocess.Popen([sys.executable, "-c", code])
    while not (number.exists() and number.read_text()):
        time.sleep(0.05)
    child = psutil.Process(int(number.read_text()))
    assert child.is_running()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    gone, _ = psutil.wait_procs([child], timeout=10.0)
    assert gone or child.status() == psutil.STATUS_ZOMBIE  # whom nobody has buried yet


def test_a_process_that_takes_too_long_is_not_waited_for(module, monkeypatch):
    monkeypatch.setattr(second_process, "LONGEST", 0.1)
    with second_process.compiling(module(SLEEPS)):
        second_process.wait()
        assert not children()


@pytest.mark.parametrize("executable", ["", "/bin/an_application", "/nowhere/python3"])
def test_without_a_python_to_run_there_is_none(module, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with second_process.compiling(module(SLEEPS)):
        assert not children()
        second_process.wait()


KERNEL = """
import numba

@numba.njit(cache=True)
def move(x):
    return x + {}
"""


def test_kernels_are_compiled_when_the_cache_has_them_as_they_are(module, monkeypatch):
    """What it has of another source, numba or processor is compiled again."""
    kernels = importlib.import_module(module(KERNEL.format(1)))
    try:
        assert not second_process.is_compiled(kernels.move)
        assert kernels.move(1) == 2 and second_process.is_compiled(kernels.move)
        file = kernels.move._cache._cache_file
        index = file._load_index()
        (((types, machine, code), name),) = index.items()
        file._save_index({(types, ("another", *machine[1:]), code): name})
        assert not second_process.is_compiled(kernels.move)
        file._save_index(index)
        assert second_process.is_compiled(kernels.move)
        monkeypatch.setattr(file, "_version", "0.0")
        assert not second_process.is_compiled(kernels.move)
        Path(kernels.__file__).write_text(KERNEL.format(1000))  # of another length, however soon
        importlib.invalidate_caches()
        again = importlib.reload(kernels)
        assert not second_process.is_compiled(again.move)
        assert again.move(1) == 1001 and second_process.is_compiled(again.move)
    finally:
        del sys.modules["of_a_test"]


def test_what_needs_no_cache_is_compiled_and_what_does_not_say_is_not():
    plain = SimpleNamespace(stats=SimpleNamespace(cache_path=None))
    assert second_process.is_compiled(plain) and second_process.is_compiled(len)
    plain.stats.cache_path = "somewhere"
    assert not second_process.is_compiled(plain)
