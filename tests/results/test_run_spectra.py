import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.results.run_spectra import measure_spectra
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.spectra import particle_spectra


def test_spectra_are_those_of_the_particles(config_values):
    """Spectra of the run and of its frame, each against the reference; and linear theory."""
    config_values["output"]["redshifts"] = [1.0, 0.0]
    values = config_values | {"force_evaluations": 2, "reference": {"force_evaluations": 8}}
    done = run_plan(make_plan(make_config(values)))
    measured = measure_spectra(done)
    assert [m.redshift for m in measured] == pytest.approx([1.0, 0.0], abs=1e-6)
    for i, found in enumerate(measured):
        D = done.snapshots[i].D
        places = done.snapshots[i].disp, done.reference[i].disp, done.run.frame.displacement(D)
        x, truth, frame = map(done.domain.add_lattice, places)
        for ours, wanted in (
            (found.run, particle_spectra(done.domain, 64, x, truth)),
            (found.frame, particle_spectra(done.domain, 64, frame, truth)),
        ):
            for name in wanted._fields:
                np.testing.assert_array_equal(getattr(ours, name), getattr(wanted, name))
        np.testing.assert_allclose(found.linear, D**2 * done.power(found.run.k))


def test_without_a_frame_there_is_nothing_to_compare(config_values):
    done = run_plan(make_plan(make_config(config_values | {"method": "bullfrog"})))
    (found,) = measure_spectra(done)
    assert found.frame is None
    np.testing.assert_array_equal(found.run.P_a, found.run.P_b)
