from types import SimpleNamespace

import numba
import numpy as np
import pytest

from coca.commands import compilation
from coca.configuration.loading import make_config
from coca.light_cone.shells import read_shell, shell_files
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


CONE = {
    "observer": [60.0, 1.0, 2.0], "redshifts": [1.0, 2.0], "z_max": 2.0, "n_side": 4096,
    "momentum": True, "particles": True, "redshift_space": True, "replicas": "rotated",
    "footprint": {"axis": [1.0, 2.0, 3.0], "radius": 70.0},
}  # fmt: skip


def test_the_rehearsal_has_the_light_cone(config_values, two_ranks, monkeypatch):
    """Of the same kind in small maps, with particles in it, and nothing in the user's directory."""
    seen = []

    def run(plan, progress):
        simulation = run_plan(plan, progress)
        seen.extend(map(read_shell, shell_files(plan.config.output.directory)))
        seen.append(plan.config)
        return simulation

    monkeypatch.setattr(compilation, "run_plan", run)
    config_values["output"] |= {"redshifts": [1.0, 0.5]}
    config = make_config(config_values | {"light_cone": CONE})
    compilation.compile_kernels(config, two_ranks)
    near, far, small = seen
    assert near.counts.sum() > 100 and far.counts.sum() > 1000 and np.any(far.momentum)
    assert near.n_side == 8 and far.chi[1] == pytest.approx(small.box_size)
    assert far.redshift_space and far.replica_seed is not None and far.footprint.name == "cone"
    assert small.output.redshifts == (1.0, 0.5, 0.0) and not small.output.directory.exists()
    assert not config.output.directory.exists()


@pytest.mark.parametrize(
    "cone",
    [
        None,
        {"z_max": 0.05, "n_side": 8},
        {"z_max": 0.05, "n_side": 8, "every": 100.0},
        CONE | {"redshifts": [0.0, 0.02], "z_max": 0.02, "n_side": 8},
    ],
)
def test_what_was_rehearsed_is_not_compiled_again(cone, config_values, two_ranks):
    config = make_config(config_values | {"force_evaluations": 2, "light_cone": cone})
    compilation.compile_kernels(config, two_ranks)
    assert numba.get_num_threads() == 1
    clock = Clock()
    with clock("run"):
        run_plan(make_plan(config))
    assert clock.compilation == 0.0


def test_one_rank_compiles_as_it_goes(config_values, monkeypatch):
    monkeypatch.setattr(compilation, "run_plan", lambda *_: pytest.fail("rehearsed"))
    compilation.compile_kernels(make_config(config_values), SimpleNamespace(size=1))
