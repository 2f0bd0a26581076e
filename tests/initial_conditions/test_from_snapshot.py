"""Runs that start on the particles of a snapshot, ours and made as other codes make them."""

import json

import h5py
import numpy as np
import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.cosmology.background import scale_factor
from coca.errors import CocaError, FileError
from coca.files.snapshot_writer import write_snapshot
from coca.frames import lpt_frame
from coca.initial_conditions import from_snapshot, linear_fields
from coca.integration.fitted_table import shipped
from coca.parallel.domain import Domain
from coca.particles import Snapshot
from coca.run.plan import make_plan
from coca.run.simulation import run_plan

N = 32**3


@pytest.fixture(scope="module")
def D(cosmology):
    return float(cosmology.D1(scale_factor(49.0)))


@pytest.fixture
def path(tmp_path, domain, cosmology, conditions, D):
    """Our own snapshot of 2LPT at redshift 49."""
    return write(tmp_path / "start.hdf5", domain, cosmology, conditions, D)


def write(path, domain, cosmology, conditions, D):
    start = conditions.lpt_frame(cosmology)
    write_snapshot(
        path, domain, cosmology, Snapshot(D, start.displacement(D), start.velocity(D)), {}
    )
    return path


def rewrite(path, change, parts=1):
    """The snapshot with other positions, velocities or identifiers, in files of unequal size."""
    with h5py.File(path) as file:
        header = dict(file["Header"].attrs)
        data = {name: file[f"PartType1/{name}"][:] for name in file["PartType1"]}
    change(data)
    for number, rows in enumerate(np.split(np.arange(N), [1000, 20000][: parts - 1])):
        name = path.with_name(f"other.{number}.hdf5")
        with h5py.File(name, "w") as file:
            file.create_group("Header").attrs.update(header)
            file["Header"].attrs["NumFilesPerSnapshot"] = parts
            file["Header"].attrs["NumPart_ThisFile"] = [0, len(rows), 0, 0, 0, 0]
            for key, values in data.items():
                file[f"PartType1/{key}"] = values[rows]
    return path.with_name("other.0.hdf5")


def shift(data):
    data["Coordinates"] = (data["Coordinates"] + np.float32([1000.0, 1000.0, 0.0])) % 64000


def count_from_one(data):
    data["ParticleIDs"] += np.uint64(1)


def shuffle(data):
    order = np.random.default_rng(1).permutation(N)
    for key, values in data.items():
        data[key] = values[order]


def test_our_own_snapshot_gives_its_modes(path, domain, cosmology, conditions, D):
    found = from_snapshot.from_snapshot(domain, cosmology, path, D)
    # positions of up to 64000 kpc/h are rounded to 2e-6 Mpc/h rms at most, and divided by D = 0.026
    rounding = 1.1e-6 * 2 / D
    assert np.std(found.psi1 - conditions.psi1) < rounding
    assert np.std(found.psi2 - conditions.psi2) < 1e-4 * np.std(conditions.psi2)
    scale = np.std(conditions.delta_k)
    assert np.std(found.delta_k - conditions.delta_k) < 1e-4 * scale
    assert found.remarks == ()
    start, wanted = (found.snapshot or found.lpt_frame(cosmology)), conditions.lpt_frame(cosmology)
    np.testing.assert_allclose(start.displacement(D), wanted.displacement(D), atol=4e-6)
    np.testing.assert_allclose(start.velocity(D), wanted.velocity(D), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("change", [shift, count_from_one, shuffle])
@pytest.mark.parametrize("parts", [1, 3])
def test_snapshots_as_other_codes_write_them(
    path, domain, cosmology, D, change, parts, monkeypatch
):
    monkeypatch.setattr(from_snapshot, "EACH", 3000)  # many rounds, that end inside files
    wanted = from_snapshot.from_snapshot(domain, cosmology, path, D)
    found = from_snapshot.from_snapshot(domain, cosmology, rewrite(path, change, parts), D)
    moved = change is shift  # and rounded again
    np.testing.assert_allclose(found.psi1, wanted.psi1, atol=1e-3 if moved else 0)
    assert any("lies (1, 1, 0) Mpc/h from ours" in line for line in found.remarks) == moved


def test_what_is_not_2lpt_stays_in_the_particles(path, domain, cosmology, conditions, D, tmp_path):
    """First order has no second: it is said, and the run starts with none all the same."""
    psi1 = conditions.psi1
    first = tmp_path / "first.hdf5"
    write_snapshot(first, domain, cosmology, Snapshot(D, D * psi1, psi1), {})
    found = from_snapshot.from_snapshot(domain, cosmology, first, D)
    assert "second-order displacements are" in found.remarks[0] and len(found.remarks) == 1
    assert np.std(found.psi2 - conditions.psi2) < 1e-3 * np.std(conditions.psi2)
    np.testing.assert_allclose(
        (found.snapshot or found.lpt_frame(cosmology)).velocity(D), psi1, rtol=2e-6, atol=1e-5
    )

    with h5py.File(path, "r+") as file:
        file["PartType1/Velocities"][:] *= 1.02
    found = from_snapshot.from_snapshot(domain, cosmology, path, D)
    assert "velocities are 1.01" in found.remarks[0]


@pytest.fixture
def values(config_values, path):
    return config_values | {"initial_conditions": {"snapshot": str(path)}}


@pytest.mark.parametrize(
    "method",
    [
        {"method": "bullfrog"},
        {
            "method": "fitted",
            "table": str(shipped("lpt_pm")),
            "reference": {"force_evaluations": 8},
        },
        {"method": "cola"},
    ],
)
def test_a_run_from_a_snapshot_is_that_from_the_seed(values, method):
    values |= method | {"force_evaluations": 8}
    found = run_plan(make_plan(make_config(values)))
    seed = values | {"initial_conditions": {"redshift": 49.0}}
    wanted = run_plan(make_plan(make_config(seed)))
    # positions rounded to 1e-6 Mpc/h rms, grown by 1 / D at most; mostly they are rounded alike
    assert np.std(found.snapshots[0].disp - wanted.snapshots[0].disp) < 3e-5
    if found.reference:
        assert np.std(found.reference[0].disp - wanted.reference[0].disp) < 3e-5


def test_the_particles_of_the_snapshot_are_evolved(values, path, domain, cosmology, conditions, D):
    """Particles without second order end elsewhere than those of 2LPT, also in its frame."""
    values |= {"force_evaluations": 8, "method": "cola"}
    second = run_plan(make_plan(make_config(values))).snapshots[0].disp
    psi1 = conditions.psi1
    write_snapshot(path, domain, cosmology, Snapshot(D, D * psi1, psi1), {})
    found = {}
    for method in ("pm", "cola"):
        plan = make_plan(make_config(values | {"method": method, "force_evaluations": 64}))
        found[method] = run_plan(plan).snapshots[0].disp
    difference = np.std(found["cola"] - second)
    assert np.std(found["cola"] - found["pm"]) < 0.3 * difference


def test_the_start_is_the_snapshots(values):
    plan = make_plan(make_config(values))
    assert plan.redshift == pytest.approx(49.0, abs=1e-9)
    assert "z = 49, " in plan.describe() and "start.hdf5" in plan.describe()
    values["initial_conditions"]["redshift"] = 49.00005
    assert make_plan(make_config(values)).redshift == plan.redshift


def test_what_is_written_of_it(values, path, tmp_path, capsys):
    rewrite(path, shift)
    values["initial_conditions"]["snapshot"] = str(tmp_path / "other")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    assert run_sim.main([str(tmp_path / "config.yaml")]) == 0
    assert "warning: initial_conditions.snapshot: its lattice lies" in capsys.readouterr().out
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["start_redshift"] == pytest.approx(49.0, abs=1e-9)
    assert "<dd>49 to 0</dd>" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"box_size": 63.0}, r"box_size: found 64, wanted 63"),
        ({"particles": 16, "mesh": 32}, r"found 32768 particles, wanted 16\^3"),
        ({"cosmology": {"Omega_m": 0.3}}, r"Omega_m: found 0\.3175, wanted 0\.3$"),
        ({"cosmology": {"h": 0.7}}, r"h: found 0\.6711, wanted 0\.7$"),
        ({"initial_conditions": {"redshift": 48.0}}, r"redshift: found 48, wanted none, or 49"),
        ({"output": {"redshifts": [50.0, 0.0]}}, r"redshifts: found 50\.0, wanted all below 49"),
        (
            {"initial_conditions": {"snapshot": "absent"}},
            r"^initial_conditions\.snapshot: cannot read absent",
        ),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused_before_any_work(values, changes, message):
    for key, value in changes.items():
        values[key] = values[key] | value if isinstance(value, dict) else value
    with pytest.raises(CocaError, match=message) as caught:
        make_plan(make_config(values))
    assert "\n" not in str(caught.value)


def test_dark_energy_of_another_kind_is_refused(values, path):
    make_plan(make_config(values | {"cosmology": values["cosmology"] | {"w0": -0.9}}))  # not said
    with h5py.File(path, "r+") as file:
        file["Header"].attrs.update({"w0": -0.8, "wa": 0.1})
    with pytest.raises(FileError, match=r"w0, wa: found -0\.8, 0\.1, wanted -1, 0"):
        make_plan(make_config(values))
    make_plan(make_config(values | {"cosmology": values["cosmology"] | {"w0": -0.8, "wa": 0.1}}))


def test_matter_of_other_kinds_is_refused(values, path):
    with h5py.File(path, "r+") as file:
        file["Header"].attrs["MassTable"] = file["Header"].attrs["MassTable"] * 0.85
    with pytest.raises(
        FileError, match=r"mass of a particle \(all matter is in PartType1\): found"
    ):
        make_plan(make_config(values))


def twice(data):
    data["ParticleIDs"][7] = 8


def far(data):
    data["ParticleIDs"][7] = N + 3


def glass(data):
    data["Coordinates"] = np.random.default_rng(2).uniform(0, 64000, (N, 3))


def transposed(data):
    data["ParticleIDs"] = np.arange(N).reshape(32, 32, 32).T.ravel()


def peculiar(data):
    data["Velocities"] *= 0.14  # as without Gadget's 1 / sqrt(a)


def broken(data):
    data["Velocities"][5, 2] = np.inf


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (twice, "found no ParticleIDs 7, wanted each once"),
        (far, "found ParticleIDs from 0 to 32771, wanted 0 to 32767 or 1 to 32768"),
        (glass, r"cells from its site, wanted at most 8 .*a glass cannot be read"),
        (transposed, r"cells from its site, wanted at most 8 .*\(i n \+ j\) n \+ l"),
        (peculiar, r"found velocities 0\.14 times those of growing displacements"),
        (broken, "values that are not finite"),
    ],
)
def test_particles_that_are_on_no_lattice(path, domain, cosmology, D, change, message):
    with pytest.raises(FileError, match=rf"initial_conditions\.snapshot: .*{message}"):
        from_snapshot.from_snapshot(domain, cosmology, rewrite(path, change), D)


def test_what_cannot_be_read_is_said_of_the_key_that_names_it(path, domain, tmp_path):
    with pytest.raises(FileError, match=r"^initial_conditions\.snapshot: cannot read .*absent"):
        from_snapshot.read_lattice(domain, tmp_path / "absent")
    with h5py.File(path, "r+") as file:
        del file["PartType1/Velocities"]
    wanted = r"^initial_conditions\.snapshot: .*start\.hdf5: found no PartType1/Velocities"
    with pytest.raises(FileError, match=wanted):
        from_snapshot.read_lattice(domain, path)


def test_large_boxes_keep_their_phases(tmp_path, cosmology, power, D):
    """Positions of 1000 Mpc/h are rounded to 2e-5 Mpc/h, 3e-4 of the displacements."""
    large = Domain(1000.0, 32)
    wanted = linear_fields.from_seed(large, power, 3)
    path = write(tmp_path / "large.hdf5", large, cosmology, wanted, D)
    found = from_snapshot.from_snapshot(large, cosmology, path, D)
    assert np.std(found.psi1 - wanted.psi1) < 4e-4 * np.std(wanted.psi1)
    assert lpt_frame(cosmology, found.psi1, found.psi2).n_particles == N and not found.remarks
