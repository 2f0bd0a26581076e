import numba
import pytest

from coca.run.progress import Clock


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
