"""coca as notebooks use it."""

import subprocess
import sys

import numba
import numpy as np
import pytest
import torch
import yaml

import coca
from coca.api import complete
from coca.files.snapshot_reader import read_particles
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.haloes import find_haloes
from tests import ROOT

SMALL = {"particles": 32, "method": "fitted", "force_evaluations": 2, "threads": 1}


@pytest.fixture(scope="module")
def result():
    return coca.simulate(**SMALL, output={"redshifts": [1.0, 0.0]})


def test_import_is_light():
    code = "import sys, coca; print({'torch', 'numba', 'numpy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
    assert {"simulate", "load_config"} <= set(dir(coca))
    with pytest.raises(AttributeError, match="'no_such_thing'"):
        coca.no_such_thing  # noqa: B018


def test_defaults_are_documented(result):
    config = result.config
    assert (config.box_size, config.mesh, config.seed) == (64.0, 64, 0)
    assert config.cosmology.Omega_m == 0.3175
    assert config.output.directory is None


def test_shapes_and_units(result):
    """The same particles as inside, whose files the readers' tests know."""
    inside = run_plan(make_plan(result.config))
    assert [output.redshift for output in result.outputs] == pytest.approx([1.0, 0.0], abs=1e-6)
    for output, snapshot in zip(result.outputs, inside.snapshots, strict=True):
        assert output.positions.shape == output.velocities.shape == (3, 32**3)
        assert output.positions.dtype == output.velocities.dtype == np.float32
        np.testing.assert_array_equal(output.displacement, snapshot.disp)
        assert output.positions.min() >= 0 and output.positions.max() < 64.0
        i = np.array([3, 5, 7])
        particle = (i[0] * 32 + i[1]) * 32 + i[2]
        offset = output.positions[:, particle] - 2.0 * i - output.displacement[:, particle]
        # float32 round-off of positions up to 64 Mpc/h
        np.testing.assert_allclose(offset / 64.0, np.round(offset / 64.0), atol=1e-6)
        # u = a H dx/dlna: 100 E(a) a f D dx/dD
        a, cosmology = 1 / (1 + output.redshift), inside.cosmology
        unit = 100 * cosmology.E(a) * a * cosmology.f1(a) * cosmology.D1(a)
        np.testing.assert_allclose(output.velocities, unit * snapshot.vel, rtol=1e-5)
    np.testing.assert_array_equal(result.ids, np.arange(32**3))
    assert result.positions is result.outputs[-1].positions
    assert result.spectra.k[0] == pytest.approx(2 * np.pi / 64.0, rel=0.5)
    assert len(result.evaluations) == 2 and result.trust.error > 0
    assert "fitted steps" in result.method


def test_configuration_with_values_in_place_of_its_own():
    config = coca.load_config(ROOT / "configs" / "quickstart.yaml")
    values = SMALL | {"mesh": 64, "box_size": 64.0, "reference": {"force_evaluations": 8}}
    values["linear_power"] = {"source": "eisenstein_hu"}
    result = coca.simulate(config, **values, cosmology={"Omega_m": 0.3})
    assert (result.config.seed, result.config.cosmology.h) == (42, 0.6711)
    assert result.config.cosmology.Omega_m == 0.3
    difference = result.displacement - result.last.reference
    assert 0 < np.sqrt(np.mean(difference**2)) < 1.0  # two forces are within half a cell
    assert np.all(result.spectra.r[:3] > 0.99)


def test_a_run_does_not_depend_on_those_before_it():
    """The same bits, with another method, size and seed in between."""
    small = SMALL | {"particles": 16, "box_size": 32.0}

    def particles():
        last = coca.simulate(**small, seed=5).last
        return last.displacement.tobytes(), last.velocities.tobytes(), last.spectra.P_a.tobytes()

    before = particles()
    coca.simulate(particles=12, method="cola", force_evaluations=3, seed=9, threads=1)
    assert particles() == before


@pytest.mark.parametrize(
    "values, message",
    [
        ({"particle": 32}, "^coca.simulate: particle: unknown key"),
        ({"particles": 31}, "^coca.simulate: particles: found 31, wanted an even number"),
        ({"particles": "many"}, "^coca.simulate: particles: found 'many'"),
        ({"tolerance": "small"}, "^coca.simulate: tolerance: found 'small'"),
        ({"ensemble": {"seeds": [1, 2]}}, "^ensemble: found one, wanted none"),
    ],
)
def test_errors_name_the_key(values, message):
    with pytest.raises(coca.ConfigError, match=message):
        coca.simulate(**values)


def test_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    coca.simulate(**SMALL, output={"directory": tmp_path / "run"})
    assert not list(tmp_path.iterdir())


def test_runs_are_independent_and_leave_threads_alone(result):
    """Other runs before, also on other threads and with the network, change nothing."""
    numba.set_num_threads(2)
    torch.set_num_threads(2)
    coca.simulate(**SMALL | {"method": "coca", "seed": 5})
    two = coca.simulate(**SMALL | {"threads": 2}, output={"redshifts": [1.0, 0.0]})
    one = coca.simulate(**SMALL, output={"redshifts": [1.0, 0.0]})
    assert (numba.get_num_threads(), torch.get_num_threads()) == (2, 2)
    np.testing.assert_array_equal(one.displacement, result.displacement)
    # sums of float32 densities in another order, as in the tests of threads
    assert np.abs(two.displacement - one.displacement).max() < 1e-3


def test_an_amplitude_takes_the_place_of_sigma_8():
    config = complete(None, SMALL | {"cosmology": {"A_s": 2e-9}})
    assert (config.cosmology.sigma_8, config.cosmology.A_s) == (None, 2e-9)
    assert complete(config, {"cosmology": {"sigma_8": 0.8}}).cosmology.A_s is None


def test_initial_conditions_are_those_of_the_run():
    """No force moves particles from the 2LPT frame."""
    values = SMALL | {"force_evaluations": 0}
    conditions, result = coca.make_initial_conditions(**values), coca.simulate(**values)
    lpt = conditions.lpt_frame(result.config.build_cosmology())
    np.testing.assert_array_equal(lpt.displacement(result.last.D), result.displacement)


def test_a_configuration_is_given_in_any_way(tmp_path):
    """A file, a dictionary, keywords, and NumPy's numbers, all the same."""
    wanted = complete(None, SMALL | {"cosmology": {"h": 0.7}, "output": {"redshifts": [1.0, 0.0]}})
    numbers = {
        "particles": np.int64(32), "method": "fitted", "force_evaluations": np.int32(2),
        "threads": 1, "cosmology": {"h": np.float64(0.7)},
        "output": {"redshifts": np.array([1.0, 0.0])},
    }  # fmt: skip
    assert complete(None, numbers) == complete(numbers, {}) == wanted
    assert complete(numbers | {"seed": 3}, {"seed": 0}) == wanted
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(wanted.model_dump(mode="json", exclude_unset=True)))
    assert complete(str(path), {}) == complete(path, {}) == complete(wanted, {}) == wanted
    with pytest.raises(coca.ConfigError, match="found 3, wanted a configuration, its file, or a"):
        complete(3, {})


def test_the_start_of_a_snapshot_is_its_own():
    """Whatever the redshift of a configuration that said none."""
    snapshot = {"initial_conditions": {"snapshot": "x.hdf5"}}
    start = complete(complete(None, SMALL), snapshot)
    assert start.initial_conditions.redshift is None
    said = complete(None, SMALL | {"initial_conditions": {"redshift": 19.0}})
    assert complete(said, snapshot).initial_conditions.redshift == 19.0


def test_a_configuration_has_what_was_said_and_a_record_what_that_meant():
    config = complete(None, SMALL)
    assert config.initial_conditions.redshift is None
    assert config.model_dump()["initial_conditions"]["redshift"] == config.initial_conditions.start
    assert "initial_conditions" not in config.model_dump(exclude_unset=True)


def test_what_is_to_be_minded_is_a_warning():
    with pytest.warns(coca.CocaWarning, match="spacing of the particles = 10") as caught:
        result = coca.simulate(**SMALL | {"particles": 16, "box_size": 160.0})
    assert [str(w.message) for w in caught] == list(result.warnings)
    assert caught[0].filename == __file__


def test_statistics_are_those_of_the_files(result, tmp_path):
    """As `coca analyse` takes them from a snapshot that was saved."""
    path = result.save(tmp_path / "last.hdf5")
    particles = read_particles(path)
    assert particles.header.redshift == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(particles.u, result.velocities, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(particles.header.mass, result.last._particles.header.mass, rtol=1e-6)
    ours, theirs = result.haloes(), find_haloes(particles)
    assert len(ours.mass) == len(theirs.mass) > 0 and ours.mass[0] == pytest.approx(theirs.mass[0])
    np.testing.assert_allclose(result.power().P_a, result.spectra.P_a, rtol=1e-4)
    assert len(result.power(32).k) < len(result.spectra.k)
    with pytest.raises(coca.FileError, match="wanted overwrite=True to replace it"):
        result.save(path)
    assert result.save(path, overwrite=True) == path
    with pytest.raises(coca.FileError, match="cannot write: No such file"):
        result.save(tmp_path / "absent" / "last.hdf5")


def test_density_and_redshift_space(result):
    """Mass is kept, and the shift is that of the velocity over a H."""
    delta = result.density(16)
    assert delta.shape == (16, 16, 16) and abs(delta.mean(dtype=float)) < 1e-5
    assert delta.min() >= -1.0 and delta.max() > 3.0
    first = result.outputs[0]
    s, a = first.redshift_space(1), 1 / (1 + first.redshift)
    shift = s[1] - first.positions[1]
    wanted = first.velocities[1] / (100 * result.config.build_cosmology().E(a) * a)
    difference = shift - wanted
    difference -= 64.0 * np.rint(difference / 64.0)
    assert np.abs(difference).max() < 2e-5 and s.min() >= 0 and s.max() < 64.0
    np.testing.assert_array_equal(s[[0, 2]], first.positions[[0, 2]])
    with pytest.raises(coca.ConfigError, match="axis: found 3, wanted 0, 1 or 2"):
        result.redshift_space(3)
    with pytest.raises(coca.ConfigError, match="mesh: found 15, wanted an even number"):
        result.density(15)


def test_a_result_shows_itself(result, tmp_path):
    """In a line, in a notebook and in a figure; never its arrays."""
    assert len(repr(result)) < 250 and "64 Mpc/h, 32³ particles, seed 0" in repr(result)
    assert repr(result.last) == "<coca.Output: 32768 particles at z = 0>"
    html = result._repr_html_()
    assert html.startswith("<table>") and "fitted steps" in html and result.trust.statement in html
    figure = result.plot()
    assert [axes.get_xlabel() for axes in figure.axes[:2]] == ["y [Mpc/h]", "k [h/Mpc]"]
    figure.savefig(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
