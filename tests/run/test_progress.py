import sys
from types import SimpleNamespace

import numba
import pytest

from coca.run import progress
from coca.run.progress import Clock, Progress, duration


def test_clock_charges_the_inner_stage():
    clock = Clock()
    with clock("outer"), clock("inner"):
        pass
    assert set(clock.seconds) == {"outer", "inner"}
    assert "total" in clock.table()


def test_clock_tells_compilation_apart():
    clock = Clock()
    with clock("stage"):
        numba.njit(lambda x: x + 1)(1)
    assert 0.0 < clock.compiled["stage"] == pytest.approx(clock.compilation)
    assert clock.compilation < clock.seconds["stage"]
    assert Clock().compilation == 0.0


def test_where_no_bar_is_drawn_lines_say_how_far_it_is(monkeypatch, capsys):
    """Two of ten steps, the first of which were an earlier run's, in 4 s leave 3 times 2 s."""
    now = iter([100.0, 100.0, 102.0, 104.0, 104.5])
    monkeypatch.setattr(progress, "wall_seconds", lambda: next(now))
    monkeypatch.setattr(progress, "HEARTBEAT_SECONDS", 3.0)
    with Progress().count("force evaluations", 10) as counter:
        for n in (5, 1, 1, 1):
            counter.update(n)
    out = capsys.readouterr().out
    assert out == "force evaluations: 10\n  force evaluations: 7 of 10, about 0:06 left\n"
    monkeypatch.undo()
    with Progress(quiet=True).count("force evaluations", 1) as counter:
        counter.update()
    assert capsys.readouterr().out == ""


def test_a_notebook_has_a_bar(monkeypatch, capsys):
    """Unless it is told to be quiet; elsewhere nothing is printed by default."""
    kernel = SimpleNamespace(config={"IPKernelApp": {}})
    for shell, quiet, drawn in ((kernel, None, True), (kernel, True, False), (None, None, False)):
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        with Progress(quiet).count("force evaluations", 2) as counter:
            counter.update(2)
        out = capsys.readouterr().out
        assert ("\rforce evaluations:   0%" in out) == drawn and "force evaluations: 2" not in out


def test_durations():
    assert [duration(s) for s in (0.4, 61, 3723)] == ["0:00", "1:01", "1:02:03"]
