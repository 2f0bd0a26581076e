"""Wall times of things that are compared: taken in turns, so that a busy machine slows all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from coca.parallel import machine


class Timing(NamedTuple):
    """Wall seconds of repeated calls."""

    median: float
    low: float
    """Lower quartile."""
    high: float
    """Upper quartile."""


def in_turns(calls: dict[str, Callable[[], object]], rounds: int = 9) -> dict[str, np.ndarray]:
    """Seconds of every call in each of `rounds` rounds; a first round is not counted.

    Returns
    -------
    dict of arrays (rounds,)
    """
    seconds = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values[1:]) for name, values in seconds.items()}


def timing(seconds: np.ndarray) -> Timing:
    """Median and quartiles."""
    low, median, high = np.percentile(seconds, [25, 50, 75])
    return Timing(float(median), float(low), float(high))


def ratio(a: np.ndarray, b: np.ndarray) -> Timing:
    """Median and quartiles of a / b, round by round."""
    return timing(a / b)


def show(value: Timing, unit: float = 1.0, digits: int = 2) -> str:
    """Median with quartiles, as text."""
    median, low, high = (f"{v / unit:.{digits}f}" for v in value)
    return f"{median} ({low}-{high})"


def machine_record(threads: int) -> dict:
    """What the numbers were measured on."""
    return {"processor": machine.processor(), "threads": threads}
