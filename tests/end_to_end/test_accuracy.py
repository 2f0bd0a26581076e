"""Fitted steps and COCA are more accurate than other methods with as many forces."""

import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.integration.fitted_table import shipped
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.spectra import particle_spectra
from coca.step_fitting.losses import POWER_WEIGHT
from tests.problem import run

pytestmark = pytest.mark.slow


CONVERGED_PM = {"method": "bullfrog", "force_evaluations": 32}


@pytest.fixture
def errors_in(config_values):
    """Gives, for a cosmology and redshift, errors of runs of 48^3 particles beside N-body's: rms of
    P - 1, and 1 - r at k = 1 h/Mpc."""

    def beside(Omega_m, sigma_8, z):
        values = config_values | {"box_size": 96.0, "particles": 48, "mesh": 96, "threads": "auto"}
        values["cosmology"] = values["cosmology"] | {"Omega_m": Omega_m, "sigma_8": sigma_8}
        values["output"] = values["output"] | {"redshifts": [z]}
        truth = run(values, method="nbody", force_evaluations="auto")

        def errors(**options):
            simulation = run(values, **options)
            domain = simulation.domain
            x, x_true = (domain.add_lattice(s.snapshots[-1].disp) for s in (simulation, truth))
            spectra = particle_spectra(domain, 96, x, x_true)
            bias = [spectra.at(k).ratio - 1 for k in (0.5, 1.0, 1.5)]
            return np.array([np.sqrt(np.mean(np.square(bias))), 1 - spectra.at(1.0).r])

        return errors

    return beside


def check_nearer_than_the_mesh(errors, method):
    """Four and six forces, in power, at some cost in correlation."""
    mesh = errors(**CONVERGED_PM)
    for count in (4, 6):
        power, missing = errors(force_evaluations=count, method=method)
        assert power < 0.6 * mesh[0] and missing < 2.5 * mesh[1], (count, power, missing, mesh)


@pytest.mark.parametrize(("Omega_m", "sigma_8", "z"), [(0.15, 0.95, 0.0), (0.45, 0.65, 0.5)])
def test_fitted_steps_end_where_nbody_does(errors_in, Omega_m, sigma_8, z):
    """On a realisation that the fit has not seen: with two steps they beat BullFrog's two in what
    is fitted, with more the mesh's own answer in power, at some cost in its correlation."""
    errors = errors_in(Omega_m, sigma_8, z)
    mine, others = (errors(force_evaluations=2, method=name) for name in ("fitted", "bullfrog"))
    losses = [POWER_WEIGHT * power**2 + missing for power, missing in (mine, others)]
    assert losses[0] < 0.7 * losses[1], (mine, others)
    check_nearer_than_the_mesh(errors, "fitted")


def test_a_finer_mesh_tells_phases(errors_in):
    """Eight steps on a mesh of three times the particles, beside six on one of twice; in power, at
    some cost in correlation, also beside twelve of BullFrog on the finer mesh."""
    errors = errors_in(0.3, 0.8, 0.0)
    coarse, fine = (
        errors(method="fitted", force_evaluations=6),
        errors(method="fitted", mesh=144, force_evaluations=8),
    )
    pm = errors(method="bullfrog", mesh=144, force_evaluations=12)
    assert fine[1] < 0.7 * coarse[1] and fine[1] < 1.5 * pm[1], (coarse, fine, pm)
    assert fine[0] < 0.5 * pm[0], (coarse, fine, pm)


def test_coca_ends_where_nbody_does(errors_in):
    """Within the cosmologies that its emulator has seen."""
    errors = errors_in(0.35, 0.85, 0.0)
    check_nearer_than_the_mesh(errors, "coca")


def test_coca_corrects_its_emulator(config_values):
    """More forces, closer to the reference, from the shipped emulator."""
    base = config_values | {"method": "coca", "reference": {"force_evaluations": 64}}
    to_pm = {"table": str(shipped("emulator_pm"))}
    errors = []
    for count, table in ((0, {}), (4, to_pm), (16, {})):
        s = run_plan(make_plan(make_config(base | table | {"force_evaluations": count})))
        errors.append(np.std(s.snapshots[0].disp - s.reference[0].disp))
    assert errors[1] < 0.8 * errors[0]
    assert errors[2] < 0.4 * errors[1]
