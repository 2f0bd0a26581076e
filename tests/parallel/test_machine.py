import os
import platform
import subprocess
import sys

import numba
import pytest

from coca.errors import ConfigError
from coca.parallel.machine import choose_threads, most_threads, peak_memory
from tests import ROOT

REUSE = """
import resource
import numpy as np
from coca.parallel.machine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [np.ones(2**22, np.uint8) for _ in range(20)]
    if large:
        parts.append(np.ones(2**26, np.uint8))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

large = LARGE
keep_freed_memory(large)
print(faults(), faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator alone is told")
@pytest.mark.parametrize("large", [False, True])
def test_freed_memory_is_used_again(large):
    """80 MiB, and an array of 64 MiB, in pages of 4 KiB, or in huge ones, are taken once."""
    command = [sys.executable, "-c", REUSE.replace("LARGE", str(large))]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    first, second = map(int, done.stdout.split())
    assert second < 0.1 * first


@pytest.mark.slow
def test_peak_memory_is_this_process_alone():
    """Not that of a large process, such as a notebook, that started it."""
    ballast = bytearray(os.urandom(1)) * 2**30
    command = [
        sys.executable,
        "-c",
        "from coca.parallel.machine import peak_memory; print(peak_memory())",
    ]
    child = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert 2**24 < int(child.stdout) < len(ballast) <= peak_memory()


def test_threads_are_at_most_those_of_numba(monkeypatch):
    assert most_threads() == numba.config.NUMBA_NUM_THREADS
    assert choose_threads("auto") <= most_threads()
    with pytest.raises(ConfigError, match=f"threads: found 1000, wanted at most {most_threads()}"):
        choose_threads(1000)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    assert most_threads() == 3
