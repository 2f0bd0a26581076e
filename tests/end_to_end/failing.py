"""run_sim.py with a rank that fails in some stage: failing.py STAGE RANK HOW ARGUMENTS...

HOW is raise, or kill for SIGKILL. The stage begins on all ranks, and on the one it fails.
"""

import importlib
import os
import signal
import sys

import run_sim
from coca.parallel.mpi import world

STAGES = {
    "plan": "coca.run.checks:choose_threads",
    "initial conditions": "coca.initial_conditions.gaussian_modes:linear_modes",
    "network": "coca.emulator.emulator:features",
    "force": "coca.gravity.mesh:Mesh.read_gradient",
    "integration": "coca.integration.fitted_kick:FittedKick.advance",
    "reference run": "coca.integration.kicks:VelocityKick.advance",
    "analysis": "coca.results.run_spectra:spectra",
    "output": "coca.files.snapshot_writer:_write_particles",
    "report": "coca.results.report:_projected_density",
}


def break_stage(stage: str, rank: int, how: str) -> None:
    """Put a function that fails on one rank in the place of the stage's."""
    module, _, path = STAGES[stage].partition(":")
    *owners, name = path.split(".")
    owner = importlib.import_module(module)
    for attribute in owners:
        owner = getattr(owner, attribute)
    function = getattr(owner, name)

    def broken(*arguments, **options):
        if world_rank != rank:
            return function(*arguments, **options)
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError(f"broken in {stage}")

    setattr(owner, name, broken)


if __name__ == "__main__":
    stage, rank, how, *arguments = sys.argv[1:]
    world_rank = world().rank
    break_stage(stage, int(rank), how)
    sys.exit(run_sim.main(arguments))
