from pathlib import Path

import numpy as np
import pytest
import yaml

from coca.configuration.loading import make_config
from coca.configuration.training import TrainConfig
from coca.emulator.training import domain_of
from coca.emulator.training_set import SimulationSet, force_of, planned_simulations
from coca.errors import FileError
from coca.frames import lpt_frame
from coca.initial_conditions.linear_fields import InitialConditions
from coca.integration.reference import nbody_run
from tests.configuration.changes import CONFIGS
from tests.emulator.training import trainer_of


def test_simulations_are_made_once_and_reproducible(values, tmp_path):
    trainer = trainer_of(values)
    files = sorted(trainer.simulations.config.directory.iterdir())
    stamps = [file.stat().st_mtime_ns for file in files]
    trainer_of(values)
    assert [file.stat().st_mtime_ns for file in files] == stamps
    elsewhere = values["simulations"] | {"directory": str(tmp_path)}
    again = trainer_of(values | {"simulations": elsewhere})
    for i in range(3):
        for a, b in zip(trainer.simulations.load(i), again.simulations.load(i), strict=True):
            np.testing.assert_array_equal(a, b)


def test_expanded_trajectories_are_the_simulated_ones(values):
    """Psi1, Psi2 and the coefficients give back the particles of the run they came from."""
    from coca.frames import rest_frame
    from coca.gravity.particle_mesh import ParticleMesh
    from coca.integration import schemes
    from coca.integration.integrate import initial_state, integrate
    from coca.integration.kicks import VelocityKick

    trainer = trainer_of(values)
    simulation, domain = trainer.simulations.planned[0], trainer.domain
    psi1, psi2, rows = trainer.simulations.load(0)
    lpt, rest = lpt_frame(simulation.cosmology, psi1, psi2), rest_frame(domain.particles)
    steps = schemes.bullfrog(simulation.cosmology, np.linspace(simulation.D_start, 1.0, 17))
    state = initial_state(lpt, rest, simulation.D_start)
    outputs = [0.25, 0.625, 1.0]
    run = integrate(domain, rest, ParticleMesh(domain, 32), VelocityKick(), steps, state, outputs)
    for snapshot in run:
        residual = np.tensordot(trainer.simulations.basis(snapshot.D), rows, 1).reshape(3, -1)
        truth = snapshot.disp - lpt.displacement(snapshot.D)
        # ten polynomials hold all but a per cent of trajectories in haloes
        assert np.std(residual - truth) < 0.03 * np.std(truth) + 1e-3


def test_trajectories_of_nbody_are_its_own(values, tmp_path):
    """They are those of an N-body run to today alone, whose long steps are others."""
    changes = {"method": "nbody", "training": 1, "directory": str(tmp_path)}
    config = make_config(values | {"simulations": values["simulations"] | changes}, TrainConfig)
    domain = domain_of(config, 1)
    simulations = SimulationSet(config.simulations, domain)
    assert sorted(simulations.make_missing()) == [0, 1]
    planned, (psi1, psi2, rows) = simulations.planned[0], simulations.load(0)
    lpt = lpt_frame(planned.cosmology, psi1, psi2)
    found = np.tensordot(simulations.basis(1.0), rows, 1).reshape(3, -1)
    found += lpt.displacement(1.0)
    conditions = InitialConditions(None, psi1, psi2)
    force = force_of(config.simulations, domain)
    (truth,) = nbody_run(domain, planned.cosmology, conditions, force, planned.D_start, [1.0])
    residual = truth.disp - lpt.displacement(1.0)
    # orbits in haloes are not the same; most particles are in none
    assert np.median(np.abs(found - truth.disp)) < 0.05 * np.std(residual)


def test_cosmologies_fill_their_ranges(values):
    config = make_config(values, TrainConfig).simulations.model_copy(update={"training": 20})
    drawn = [simulation.cosmology.Omega_m for simulation in planned_simulations(config)[:20]]
    # a Latin hypercube has one point in each of twenty strata
    strata = np.floor((np.array(drawn) - 0.25) / 0.1 * 20).astype(int)
    assert sorted(strata) == list(range(20))


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["pickle", "cut", "empty", "text"])
def test_damaged_training_simulations_are_one_error(damage, tmp_path, domain):
    values = yaml.safe_load((CONFIGS / "train.yaml").read_text())
    values["simulations"] |= {"directory": str(tmp_path / "training"), "training": 1}
    simulations = SimulationSet(make_config(values, TrainConfig).simulations, domain)
    path = simulations.path(0)
    if damage == "pickle":
        np.save(path, np.array([Harmful(tmp_path / "harm")]), allow_pickle=True)
    else:
        np.save(path, np.zeros((9, 1000), np.float32))
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:5000], "empty": b"", "text": b"text"}[damage])
    with pytest.raises(FileError, match=r"simulation-.*\.npy: cannot read"):
        simulations.load(0)
    assert not (tmp_path / "harm").exists()
