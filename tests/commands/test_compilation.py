from types import SimpleNamespace

import numba
import pytest

from coca.commands import compilation
from coca.configuration.loading import make_config
from coca.run.plan import make_plan
from coca.run.progress import Clock
from coca.run.simulation import run_plan


@pytest.fixture
def two_ranks():
    """The first of two, whose other has nothing to say."""
    from contextlib import nullcontext

    return SimpleNamespace(size=2, rank=0, together=lambda *kinds: nullcontext())


def test_the_rehearsal_is_a_small_run_of_the_same_kind(config_values, two_ranks, monkeypatch):
    plans = []

    def run(plan, progress):
        plans.append(plan)
        return run_plan(plan, progress)

    monkeypatch.setattr(compilation, "run_plan", run)
    config_values["initial_conditions"] = {"snapshot": "absent.hdf5"}
    compilation.compile_kernels(make_config(config_values), two_ranks)
    (plan,) = plans
    config = plan.config
    assert (config.particles, config.mesh, config.box_size) == (16, 32, 32.0)
    assert config.method == "fitted" and config.initial_conditions.given is None


def test_what_was_rehearsed_is_not_compiled_again(config_values, two_ranks):
    config = make_config(config_values | {"force_evaluations": 2})
    compilation.compile_kernels(config, two_ranks)
    assert numba.get_num_threads() == 1
    clock = Clock()
    with clock("run"):
        run_plan(make_plan(config))
    assert clock.compilation == 0.0


def test_one_rank_compiles_as_it_goes(config_values, monkeypatch):
    monkeypatch.setattr(compilation, "run_plan", lambda *_: pytest.fail("rehearsed"))
    compilation.compile_kernels(make_config(config_values), SimpleNamespace(size=1))
