import numpy as np
import pytest

import coca
from coca.configuration.loading import make_config
from coca.files.snapshot_reader import read_particles
from coca.results.result import result_of
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from coca.statistics.haloes import find_haloes


@pytest.fixture(scope="module")
def simulation(cosmology):
    """32^3 particles at two redshifts, without files."""
    parameters = {
        name: getattr(cosmology, name) for name in ("Omega_m", "Omega_b", "h", "n_s", "sigma_8")
    }
    values = {
        "cosmology": parameters, "linear_power": {"source": "eisenstein_hu"},
        "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 0, "method": "fitted",
        "force_evaluations": 2, "threads": 1, "output": {"redshifts": [1.0, 0.0]},
    }  # fmt: skip
    return run_plan(make_plan(make_config(values)))


@pytest.fixture(scope="module")
def result(simulation):
    return result_of(simulation)


def test_shapes_and_units(result, simulation):
    """The same particles as inside, whose files the readers' tests know."""
    assert [output.redshift for output in result.outputs] == pytest.approx([1.0, 0.0], abs=1e-6)
    for output, snapshot in zip(result.outputs, simulation.snapshots, strict=True):
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
        a, cosmology = 1 / (1 + output.redshift), simulation.cosmology
        unit = 100 * cosmology.E(a) * a * cosmology.f1(a) * cosmology.D1(a)
        np.testing.assert_allclose(output.velocities, unit * snapshot.vel, rtol=1e-5)
    np.testing.assert_array_equal(result.ids, np.arange(32**3))
    assert result.positions is result.outputs[-1].positions
    assert result.spectra.k[0] == pytest.approx(2 * np.pi / 64.0, rel=0.5)
    assert len(result.evaluations) == 2 and result.trust.error > 0
    assert "fitted steps" in result.method


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
    for length in (0, -0.2, "near"):
        with pytest.raises(
            coca.ConfigError, match=r"linking_length: found .*, wanted a number between"
        ):
            result.haloes(length)
    with pytest.raises(coca.FileError, match="wanted overwrite=True to replace it"):
        result.save(path)
    assert result.save(path, overwrite=True) == path
    with pytest.raises(coca.FileError, match="cannot write: No such file"):
        result.save(tmp_path / "absent" / "last.hdf5")


def test_paths_that_are_none(result, tmp_path):
    for path in (3, None, b"last.hdf5", "last\0.hdf5"):
        with pytest.raises(coca.ConfigError, match=r"^path: found .*, wanted a path$"):
            result.save(path)
    for overwrite in (False, True):
        with pytest.raises(
            coca.FileError, match=r"^path: found .*, a directory, wanted the name of"
        ):
            result.save(tmp_path, overwrite=overwrite)
    with pytest.raises(coca.FileError, match=r"cannot write: File name too long$"):
        result.save(tmp_path / (400 * "x"))
    with pytest.raises(coca.ConfigError, match=r"^overwrite: found 'no', wanted True or False$"):
        result.save(tmp_path / "last.hdf5", overwrite="no")


def test_arguments_that_are_no_numbers(result):
    """Such as would be taken for an index or a size by NumPy, or for another number."""
    for axis in (1.0, True, "z", np.array([0, 1]), None):
        with pytest.raises(coca.ConfigError, match=r"^axis: found .*, wanted 0, 1 or 2$"):
            result.redshift_space(axis)
    for mesh in (16.0, True, "fine", np.array([16, 16])):
        for measure in (result.density, result.power):
            with pytest.raises(
                coca.ConfigError, match=r"^mesh: found .*, wanted an even whole num"
            ):
                measure(mesh)
    with pytest.raises(coca.ConfigError, match=r"^mesh: need \d+\.\d GiB of memory"):
        result.density(10**6)
    with pytest.raises(coca.ConfigError, match=r"^k: found 'far', wanted a wavenumber in h/Mpc$"):
        result.spectra.at("far")
    np.testing.assert_array_equal(result.redshift_space(np.int64(1)), result.redshift_space(1))


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
    with pytest.raises(coca.ConfigError, match="mesh: found 15, wanted an even whole number"):
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
