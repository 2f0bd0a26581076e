from pathlib import Path

import pytest

from coca.configuration.loading import make_config
from coca.errors import ConfigError
from tests.configuration.changes import set_


def test_a_mesh_must_hold_the_stencil(config_values):
    config_values |= {"particles": 4, "mesh": 4}
    with pytest.raises(ConfigError, match="mesh: found 4, wanted 5 cells or more"):
        make_config(config_values)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("boxsize", 3.0, "boxsize: unknown key"),
        ("cosmology.Omega_M", 0.3, r"cosmology\.Omega_M: unknown key"),
        ("cosmology.Omega_m", -0.1, r"cosmology\.Omega_m: found -0\.1, wanted more than 0"),
        ("cosmology.Omega_m", 0.04, r"cosmology: wanted Omega_b below Omega_m"),
        (
            "cosmology.Omega_b",
            0.0,
            r"cosmology\.Omega_b: found 0\.0, wanted 1e-06 or more",
        ),
        ("cosmology.h", "high", r"cosmology\.h: found 'high', wanted a number"),
        (
            "cosmology.sigma_8",
            float("nan"),
            r"cosmology\.sigma_8: found nan, wanted a finite number",
        ),
        (
            "cosmology.A_s",
            2e-9,
            r"cosmology: found 0\.834 and 2e-09, wanted one of sigma_8 and A_s",
        ),
        ("cosmology.sigma_8", None, "cosmology: found none, wanted one of sigma_8 and A_s"),
        ("cosmology.m_nu", 0.06, r"cosmology\.m_nu: found 0\.06, wanted .*source: camb"),
        ("cosmology.m_nu", 0.6, r"cosmology\.m_nu: found 0\.6, wanted 0\.5 or less"),
        ("cosmology.Omega_nu", 0.01, r"cosmology: Omega_nu: found 0\.01, .* part of Omega_m"),
        ("cosmology.Omega_k", 0.1, r"cosmology: Omega_k: found 0\.1, .*: space is flat"),
        ("cosmology.w0", -0.1, r"cosmology\.w0: found -0\.1"),
        ("cosmology.wa", 0.9, r"cosmology: found w0 \+ wa = -0\.1, wanted at most -0\.2"),
        ("particles", 32.5, r"particles: found 32\.5, wanted a whole number"),
        ("particles", "32", "particles: found '32', wanted a whole number"),
        ("particles", True, "particles: found True"),
        ("particles", 33, "particles: found 33, wanted an even number"),
        ("mesh", 48, "mesh: found 48, wanted 1, 2 or 3 times particles = 32"),
        ("seed", -1, "seed: found -1"),
        ("method", "network", "method: found 'network', wanted one of coca, .*pm"),
        ("method", "colaa", "method: found 'colaa', wanted one of .*; cola perhaps"),
        ("device", "gpu", "device: found 'gpu', wanted one of auto, cpu, cuda; cuda perhaps"),
        (
            "light_cone",
            {"z_max": 0.5, "every": 1e-7},
            r"light_cone\.every: found 1e-07, wanted 0\.1 or more Mpc/h",
        ),
        ("force_evaluations", -1, "force_evaluations: found -1, wanted auto or a number"),
        ("force_evaluations", "auto", r"tolerance: missing, wanted a number of Mpc/h"),
        ("tolerance", 0.1, r"tolerance: found 0\.1, wanted none but with force_evaluations: auto"),
        ("tolerance", -0.1, r"tolerance: found -0\.1"),
        (
            "output.redshifts",
            [0.0, 1.0],
            r"config: output\.redshifts: found \[0\.0, 1\.0\], wanted .*",
        ),
        ("output.redshifts", [1.0, 1.0, 0.0], r"found \[1\.0, 1\.0, 0\.0\], wanted .*, decreasing"),
        ("output.redshifts", [], r"output\.redshifts: found \[\], wanted one or more"),
        ("output.redshifts", [30.0, 0.0], r"wanted all below initial_conditions\.redshift = 19"),
        ("output.directory", 3, r"output\.directory: found 3"),
        ("linear_power.source", "table", "linear_power: wanted a file with source: table"),
        ("initial_conditions.file", "x.h5", None),
        (
            "initial_conditions",
            {"file": "x.h5", "snapshot": "y.hdf5"},
            "initial_conditions: wanted one of file and snapshot",
        ),
        (
            "initial_conditions",
            {"snapshot": "y.hdf5", "paired": True},
            "wanted no fixed_amplitude or paired with snapshot: the snapshot has its modes",
        ),
        (
            "initial_conditions",
            {"file": "x.h5", "fixed_amplitude": True},
            "initial_conditions: wanted no fixed_amplitude with file: the file has its modes",
        ),
        (
            "initial_conditions",
            {"file": "x.h5", "generator": "ngenic"},
            "initial_conditions: found generator = ngenic, wanted none with x.h5",
        ),
        ("force.deconvolve", 1, r"force\.deconvolve: found 1"),
        ("threads", 0, "threads: found 0, wanted auto or a number"),
        ("threads", "many", "threads: found 'many', wanted auto or a number"),
        ("device", "tpu", "device: found 'tpu'"),
        ("reference", {"force_evaluations": 2}, r"reference\.force_evaluations: found 2"),
    ],
)
def test_bad_values_are_one_line_that_names_the_key(config_values, key, value, message):
    set_(config_values, key, value)
    if message is None:
        assert make_config(config_values).initial_conditions.file == Path("x.h5")
        return
    with pytest.raises(ConfigError, match=message) as caught:
        make_config(config_values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", [0, 2**31])
def test_seeds_that_ngenic_takes_for_others_are_refused(config_values, seed):
    with pytest.raises(ConfigError, match=f"seed: found {seed}, wanted 1 to 2147483647"):
        make_config(config_values | {"seed": seed, "initial_conditions": {"generator": "ngenic"}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "fastpm", "force_evaluations": 0}, "force_evaluations: found 0, wanted 1 or"),
        ({"method": "pm", "force_evaluations": 0}, "force_evaluations: found 0, wanted 1 or more"),
        (
            {"method": "bullfrog", "force_evaluations": "auto", "tolerance": 0.1},
            "found auto, wanted a number with method: bullfrog, which has no error estimate",
        ),
        (
            {"method": "nbody", "force_evaluations": "auto", "tolerance": 0.1},
            "tolerance: found 0.1, wanted none with method: nbody",
        ),
        (
            {"method": "nbody", "force": {"solver": "pm"}},
            "force.solver: found pm, wanted p3m with method: nbody",
        ),
        (
            {"method": "pm", "force": {"softening": 0.1}},
            "force.softening: found 0.1, wanted none with force.solver: pm",
        ),
        (
            {"method": "nbody", "force": {"deconvolve": True}},
            "force.deconvolve: found true, wanted false with force.solver: p3m",
        ),
        (
            {"reference": {"method": "nbody", "force_evaluations": 64}},
            r"reference\.force_evaluations: found 64, wanted none with reference\.method: nbody",
        ),
        ({"method": "cola", "table": "x"}, "table: found x, wanted none with method: cola"),
        (
            {"method": "fitted", "emulator": {"weights": "x"}},
            r"emulator\.weights: found x, wanted none with method: fitted, which has no network",
        ),
    ],
)
def test_keys_that_a_method_does_not_know_are_refused(config_values, values, message):
    with pytest.raises(ConfigError, match=message):
        make_config(config_values | values)


def test_softening_is_a_fortieth_of_the_spacing_where_nothing_is_said(config_values):
    config = make_config(config_values | {"method": "nbody", "force_evaluations": "auto"})
    assert config.solver == "p3m"
    assert config.softening == config.box_size / config.particles / 40
    said = make_config(config_values | {"method": "nbody", "force": {"softening": 0.1}})
    assert said.softening == 0.1


@pytest.mark.parametrize(
    ("method", "frame"),
    [("coca", "emulator"), ("fitted", "lpt"), ("cola", "lpt"), ("pm", "rest"), ("fastpm", "rest")],
)
def test_a_method_has_its_frame(config_values, method, frame):
    assert make_config(config_values | {"method": method}).frame == frame


def test_config_is_frozen(config_values):
    config = make_config(config_values)
    with pytest.raises(Exception, match="frozen"):
        config.seed = 4
