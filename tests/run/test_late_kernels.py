import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from coca import kernels
from coca.configuration.loading import make_config
from coca.parallel import second_process
from coca.run import late_kernels
from coca.run.plan import make_plan

ROOT = Path(__file__).parents[2]
LATE = ["above", "step", "prepare", "average", "move", "_binned_power"]
SIGNATURES = """
import coca
from coca.run.late_kernels import call_late_kernels, late_kernels

call_late_kernels()
late = {kernel.__name__: kernel for kernel in late_kernels()}
before = {name: set(kernel.signatures) for name, kernel in late.items()}
assert all(before.values()), before
coca.simulate(particles=32, quiet=True).power()
for name, kernel in late.items():
    print(name, len(before[name]), len(kernel.signatures))
"""


@pytest.fixture
def plan(config_values):
    config = make_config(config_values)
    return replace(make_plan(config), threads=2)


@pytest.fixture
def started(monkeypatch):
    """Names of modules that a second process was to run."""
    names = []

    @contextmanager
    def compiling(module):
        names.append(module)
        yield

    monkeypatch.setattr(second_process, "compiling", compiling)
    return names


def test_a_first_run_on_two_cores_that_is_read_out_has_a_second_process(plan, started, monkeypatch):
    monkeypatch.setattr(second_process, "is_compiled", lambda kernel: False)
    with late_kernels.compiled_beside(plan):
        assert started == ["coca.run.late_kernels"]


def test_others_have_none(plan, started, monkeypatch, config_values):
    with late_kernels.compiled_beside(replace(plan, threads=1)):
        pass
    other = make_plan(make_config(config_values | {"method": "cola", "force_evaluations": 4}))
    monkeypatch.setattr(second_process, "is_compiled", lambda kernel: False)
    with late_kernels.compiled_beside(replace(other, threads=2)):
        pass
    late_kernels.call_late_kernels()
    monkeypatch.undo()
    assert all(map(second_process.is_compiled, late_kernels.late_kernels()))
    assert not started


def test_one_kernel_that_is_not_compiled_is_enough(plan, started, monkeypatch):
    stale = kernels.fitted.step
    monkeypatch.setattr(second_process, "is_compiled", lambda kernel: kernel is not stale)
    with late_kernels.compiled_beside(plan):
        assert started == ["coca.run.late_kernels"]


@pytest.mark.slow
def test_a_run_calls_them_with_the_same_types():
    """What was compiled for others would have been for nothing."""
    done = subprocess.run(
        [sys.executable, "-c", SIGNATURES], cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _, _ in lines] == LATE
    assert all(before == after == "1" for _, before, after in lines), lines
