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


@pytest.mark.parametrize(
    "function, arguments, message",
    [
        (coca.simulate, {"quiet": "no"}, "^quiet: found 'no', wanted True, False or None$"),
        (coca.simulate, {"quiet": 0}, "^quiet: found 0, wanted True, False or None$"),
        (coca.make_initial_conditions, {"seed": "x"}, "^coca.make_initial_conditions: seed: found"),
        (coca.make_initial_conditions, {"config": 3}, "^coca.make_initial_conditions: found 3, "),
        (coca.load_config, {"path": 3}, "^path: found 3, wanted a path$"),
        (coca.load_config, {"path": "x", "overrides": "seed=3"}, "^overrides: found 'seed=3', wa"),
        (
            coca.load_config,
            {"path": "x", "overrides": [3]},
            r"^overrides: found \[3\], wanted a li",
        ),
        (coca.load_config, {"path": "x", "overrides": None}, "^overrides: found None, wanted a li"),
        (coca.simulate, {"emulator": len}, "^coca.simulate: emulator: found <.*, or a coca.OwnEm"),
        (coca.make_config, {"data": 3}, "^config: found 3, wanted keys with values$"),
        (coca.make_config, {"data": None}, "^config: found None, wanted keys with values$"),
    ],
)
def test_errors_name_the_argument(function, arguments, message):
    with pytest.raises(coca.ConfigError, match=message):
        function(**arguments)


def test_an_emulator_of_ones_own_is_given_in_any_way():
    """As a keyword, in a dictionary, and for initial conditions alone, at any spacing; the method
    need not be said."""
    values = {key: value for key, value in SMALL.items() if key != "method"} | {"box_size": 32.0}
    wanted = coca.make_initial_conditions(**values | {"method": "cola"})
    N = 32**3
    own = coca.OwnEmulator(lambda D: np.zeros((3, N)), [0.5, 1.0])
    found = coca.make_initial_conditions(**values, emulator=own, quiet=True)
    np.testing.assert_array_equal(found.psi1, wanted.psi1)
    keyword = coca.simulate(**values | {"force_evaluations": 0}, emulator=own)
    inside = coca.simulate(values | {"force_evaluations": 0, "emulator": own})
    np.testing.assert_array_equal(keyword.displacement, inside.displacement)
    empty = coca.simulate({}, **values | {"force_evaluations": 0}, emulator=own)
    np.testing.assert_array_equal(empty.displacement, inside.displacement)
    with pytest.raises(coca.ConfigError, match="method: found fitted, wanted coca with an emul"):
        coca.simulate(**SMALL | {"box_size": 32.0}, emulator=own)


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
