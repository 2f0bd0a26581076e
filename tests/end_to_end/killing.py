"""Kill runs at random moments, each one once, and resume them to their end.

killing.py KILLS SEED DIRECTORY ARGUMENTS...: results are in DIRECTORY/0, DIRECTORY/1, ..., and
DIRECTORY/resumed.json says how many went on from a checkpoint. Runs are forks of this process,
which has imported everything and started no threads.
"""

import importlib
import json
import os
import pkgutil
import random
import signal
import sys
import time
from pathlib import Path

import numba

import coca.commands.run
import coca.results.write  # noqa: F401
import run_sim
from coca import kernels


def import_kernels() -> None:
    """What a run imports late, and numba's own first compilation, which take a second."""
    for module in pkgutil.iter_modules(kernels.__path__):
        importlib.import_module(f"coca.kernels.{module.name}")
    numba.njit(lambda: 0)()


def start(arguments: list[str], log: Path) -> int:
    """A run in a fork; its process."""
    process = os.fork()
    if process == 0:
        out = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os._exit(run_sim.main(arguments))
    return process


def run(arguments: list[str], log: Path) -> float:
    """Seconds of a run to its end."""
    began = time.monotonic()
    _, status = os.waitpid(start(arguments, log), 0)
    if status != 0:
        sys.exit(f"status {status}: {log.read_text()}")
    return time.monotonic() - began


if __name__ == "__main__":
    kills, seed, directory = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    arguments, log, rng, resumed = sys.argv[4:], directory / "log", random.Random(seed), 0

    def into(name: object) -> list[str]:
        """The command line of a run with its own directory."""
        return [*arguments, "--set", f"output.directory={directory / str(name)}"]

    directory.mkdir()
    import_kernels()
    seconds = min(run(into("warm"), log), run([*into("warm"), "--overwrite"], log))
    for number in range(kills):
        process = start(into(number), log)
        time.sleep(rng.uniform(0.0, seconds))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        run([*into(number), "--resume"], log)
        resumed += "resumed after" in log.read_text()
    (directory / "resumed.json").write_text(json.dumps(resumed))
