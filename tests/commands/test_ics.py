"""coca ics: what it writes is what a run starts on, for us and for others."""

import json
import warnings

import h5py
import numpy as np
import pytest
import yaml

from coca.__main__ import main
from coca.configuration.loading import make_config
from coca.files.snapshot_reader import read_particles
from coca.files.snapshot_writer import peculiar_velocities, wrapped_positions
from coca.parallel.domain import Domain
from coca.run.plan import make_plan
from coca.run.simulation import initial_particles, run_plan

START = 49.0


@pytest.fixture
def values(config_values):
    return config_values | {"initial_conditions": {"redshift": START}}


def ics(values, tmp_path, *overrides):
    """The status of `coca ics` of a configuration."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return main(["ics", str(path), *(word for line in overrides for word in ("--set", line))])


@pytest.fixture
def written(values, tmp_path, capsys):
    """The file, and the particles that a run starts on."""
    assert ics(values, tmp_path) == 0
    assert "wrote ics.hdf5" in capsys.readouterr().out
    config = make_config(values)
    domain = Domain(config.box_size, config.particles)
    return tmp_path / "run" / "ics.hdf5", domain, initial_particles(config, domain, START)


def test_the_file_has_the_particles_to_the_bit(written, cosmology):
    path, domain, wanted = written
    x = wrapped_positions(domain, domain.add_lattice(wanted.disp))
    u = peculiar_velocities(cosmology, wanted.D, wanted.vel)
    with h5py.File(path) as file:
        group, header = file["PartType1"], file["Header"].attrs
        np.testing.assert_array_equal(group["Coordinates"], x * np.float32(1e3))
        root_a = np.float32(np.sqrt(cosmology.a_of_D(wanted.D)))
        np.testing.assert_array_equal(group["Velocities"], u / root_a)
        np.testing.assert_array_equal(group["ParticleIDs"], np.arange(domain.particles))
        assert header["Redshift"] == pytest.approx(START, abs=1e-4)
        assert json.loads(file["Coca"].attrs["config"])["particles"] == domain.n_side


def test_own_reader_gives_the_bits_of_the_file(written):
    path, _, _ = written
    found = read_particles(path)
    with h5py.File(path) as file:
        group = file["PartType1"]
        np.testing.assert_array_equal(np.float32(found.x.T * 1e3), group["Coordinates"])
        root_a = np.sqrt(file["Header"].attrs["Time"])
        wanted = (group["Velocities"][:].astype(float) * root_a).astype(np.float32)
        np.testing.assert_array_equal(found.u.T, wanted)


def test_a_run_goes_on_from_it(values, written):
    """It ends where a run from the seed does, but for the file's float32 positions."""
    path, domain, _ = written
    plans = (values, values | {"initial_conditions": {"snapshot": str(path)}})
    a, b = (run_plan(make_plan(make_config(v | {"method": "cola"}))).snapshots[0] for v in plans)
    assert domain.rms(a.disp - b.disp) < 1e-3 * domain.rms(a.disp)
    assert domain.rms(a.vel - b.vel) < 1e-3 * domain.rms(a.vel)


def test_a_snapshot_is_handed_on(values, written, tmp_path):
    """A snapshot of another code, here ours, has the same particles afterwards."""
    path, _, _ = written
    again = values | {"initial_conditions": {"snapshot": str(path)}}
    assert ics(again, tmp_path, f"output.directory={tmp_path}/again") == 0
    with h5py.File(path) as a, h5py.File(tmp_path / "again" / "ics.hdf5") as b:
        x, y = (file["PartType1/Coordinates"][:] for file in (a, b))
        u, v = (file["PartType1/Velocities"][:] for file in (a, b))
    distance = np.abs(x - y)
    assert np.minimum(distance, 64e3 - distance).max() <= 2 * np.spacing(np.float32(64e3))
    np.testing.assert_allclose(u, v, rtol=1e-5, atol=1e-5 * np.abs(u).max())


def test_one_that_is_there_is_kept(values, written, tmp_path, capsys):
    """Unless told; and never a file of others, or what the particles are made from."""
    path, config, before = written[0], str(tmp_path / "config.yaml"), written[0].read_bytes()
    other = ["ics", config, "--set", "seed=4"]
    assert main(other) == 2
    assert "wanted --overwrite to replace it" in capsys.readouterr().err
    itself = ["--overwrite", "--set", f"initial_conditions={{snapshot: {path}}}"]
    assert main([*other, *itself]) == 2
    assert "which --overwrite would replace" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert main([*other, "--overwrite"]) == 0
    assert path.read_bytes() != before
    with h5py.File(path, "a") as file:
        del file["Coca"]
    assert main([*other, "--overwrite"]) == 2
    assert "which coca did not write" in capsys.readouterr().err


def test_swift_finds_what_it_asks_for(written):
    """Names of its io_read_unit_system and darkmatter_read_particles; kpc/h, 1e10 Msun/h, km/s."""
    path, domain, _ = written
    with h5py.File(path) as file:
        units, header, group = file["Units"].attrs, file["Header"].attrs, file["PartType1"]
        length, time = units["Unit length in cgs (U_L)"], units["Unit time in cgs (U_t)"]
        assert length / time == pytest.approx(1e5) and length == pytest.approx(3.0857e21, rel=1e-4)
        assert units["Unit mass in cgs (U_M)"] == pytest.approx(1.98841e43, rel=1e-12)
        assert units["Unit current in cgs (U_I)"] == units["Unit temperature in cgs (U_T)"] == 1
        assert header["Flag_Entropy_ICs"] == 0 and header["NumFilesPerSnapshot"] == 1
        assert group["Masses"].shape == (domain.particles,)
        assert (group["Masses"][:] == np.float32(header["MassTable"][1])).all()
        assert group["Masses"].id.get_storage_size() == 0


def test_in_swifts_conventions_it_is_the_same(values, written, tmp_path, cosmology):
    """Without h, with peculiar velocities, a box of three sides; and coca starts on it as well."""
    path, domain, wanted = written
    config, out = str(tmp_path / "config.yaml"), tmp_path / "swift"
    assert main(["ics", config, "--swift", "--set", f"output.directory={out}"]) == 0
    gadget, swift, h = read_particles(path), read_particles(out / "ics.hdf5"), cosmology.h
    np.testing.assert_allclose(swift.x, gadget.x, rtol=0, atol=2e-5)
    np.testing.assert_allclose(swift.u, gadget.u, rtol=1e-6)
    with h5py.File(out / "ics.hdf5") as file:
        group, header = file["PartType1"], file["Header"].attrs
        x = wrapped_positions(domain, domain.add_lattice(wanted.disp))
        np.testing.assert_allclose(group["Coordinates"], x / h, rtol=1e-6)
        u = peculiar_velocities(cosmology, wanted.D, wanted.vel)
        np.testing.assert_array_equal(group["Velocities"], u)
        np.testing.assert_array_equal(group["ParticleIDs"], np.arange(domain.particles) + 1)
        np.testing.assert_allclose(header["BoxSize"], np.full(3, 64.0 / h))
        # 10^10 Msun; the critical density is 2.77536627 h^2 10^11 Msun / Mpc^3
        total = group["Masses"][:].astype(float).sum()
        assert total == pytest.approx(0.3175 * 27.7536627 * h**2 * (64 / h) ** 3, rel=1e-6)
    again = values | {"initial_conditions": {"snapshot": str(out / "ics.hdf5")}}
    start = initial_particles(make_config(again), domain, START)
    assert domain.rms(start.disp - wanted.disp) < 1e-5
    assert domain.rms(start.vel - wanted.vel) < 1e-5 * domain.rms(wanted.vel)


@pytest.mark.parametrize("code", ["yt", "pynbody"])
def test_others_read_it(written, code):
    pytest.importorskip(code)
    path, _, _ = written
    ours = read_particles(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        x, u, ids = {"yt": with_yt, "pynbody": with_pynbody}[code](path)
    order = np.argsort(ids)
    np.testing.assert_allclose(x[order], ours.x.T, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(u[order], ours.u.T, rtol=1e-5, atol=1e-2)


def with_yt(path):
    import yt

    yt.set_log_level("error")
    data, names = yt.load(str(path)).all_data(), ("Coordinates", "particle_velocity")
    x, u = (data["PartType1", name] for name in names)
    return x.to("Mpccm/h").d, u.to("km/s").d, data["PartType1", "ParticleIDs"].d


def with_pynbody(path):
    import pynbody

    s = pynbody.load(str(path))
    where = s.conversion_context()
    x = s.dm["pos"].in_units("Mpc a h^-1", **where)
    return np.asarray(x), np.asarray(s.dm["vel"].in_units("km s^-1", **where)), s.dm["iord"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("output.directory=null", "output.directory: missing, wanted a directory"),
        ("output.directory=/dev/null/run", "output.directory: found /dev/null/run"),
        ("ensemble={seeds: [1, 2]}", "ensemble: found one, wanted none for coca ics"),
        ("initial_conditions.redshift=0.001", "initial_conditions.redshift: found 0.001"),
        ("initial_conditions.file=absent.hdf5", "initial_conditions.file: cannot read"),
        ("threads=1000", "threads: found 1000, wanted at most"),
        ("convention=swift", "convention: unknown key"),
    ],
)
def test_bad_input_is_one_line_before_any_work(values, tmp_path, capsys, override, message):
    assert ics(values, tmp_path, override) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert not (tmp_path / "run").exists()


def test_too_many_particles_are_told_by_memory(values, tmp_path, capsys):
    assert ics(values, tmp_path, "particles=8192", "mesh=8192") == 2
    assert "particles: " in capsys.readouterr().err
