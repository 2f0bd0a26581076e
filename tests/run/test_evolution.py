import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.gravity.p3m import P3M
from coca.run.checkpoint import Evolution, NoCheckpoints
from coca.run.evolution import evolve
from coca.run.method import FrameRejected
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import build_problem


class OneEvolution(NoCheckpoints):
    """Gives the same evolution again and again, and counts its steps."""

    def __init__(self):
        self.evolution, self.steps = Evolution(), 0

    def begin(self):
        return self.evolution

    def step(self, state, kept):
        self.steps += 1


@pytest.fixture
def problem(config_values):
    """16^3 particles with two outputs, and a reference."""
    output = config_values["output"] | {"redshifts": [1.0, 0.0]}
    sizes = {"particles": 16, "mesh": 32, "box_size": 32.0}
    values = config_values | sizes | {"method": "cola", "output": output, "reference": {}}
    return build_problem(make_plan(make_config(values)), Progress(quiet=True), OneEvolution())


def evolved(problem, limit=np.inf):
    """In four steps of COLA."""
    (method,) = problem.plan.methods
    steps = method.steps(problem.cosmology, problem.D_start, problem.outputs, 4)
    integrator = method.integrator(
        problem.domain, problem.cosmology, problem.lpt, problem.force, 4, steps, None
    )
    return evolve(problem, problem.lpt, integrator, steps, np.full(4, limit))


def test_what_is_finished_is_not_done_again(problem):
    snapshots, evaluations = evolved(problem)
    assert [s.D for s in snapshots] == problem.outputs and len(evaluations) == 4
    past = problem.checkpoints.evolution
    done = problem.checkpoints.steps
    assert past.finished and past.done == done > 0
    past.snapshots = list(snapshots)
    again = evolved(problem)
    assert again == (snapshots, evaluations) and problem.checkpoints.steps == done


def test_a_failure_is_remembered(problem):
    """So that a run that goes on takes the next method, as it did before."""
    with pytest.raises(FrameRejected, match=r"wanted at most 0\.001") as first:
        evolved(problem, 1e-3)
    assert len(problem.checkpoints.evolution.evaluations) == 1  # and no more
    with pytest.raises(FrameRejected) as again:
        evolved(problem)
    assert str(again.value) == str(first.value) == problem.checkpoints.evolution.failure
    assert problem.checkpoints.steps == 0


def test_the_reference_has_its_own_force(problem):
    """N-body's, on the mesh that it takes by default."""
    assert isinstance(problem.reference_force, P3M)
    assert problem.reference_force is not problem.force
