"""Whole runs on all ranks against the same on one, and what they write."""

import json
import warnings
from typing import NamedTuple

import h5py
import numpy as np
import pytest

import run_sim
from coca.configuration.loading import make_config
from coca.emulator.weights_file import SHIPPED_WEIGHTS
from coca.files.snapshot_reader import read_particles
from coca.files.snapshot_writer import wrapped_positions, write_snapshot
from coca.files.tables import RUN_RECORD
from coca.integration.fitted_table import shipped
from coca.integration.kicks import Evaluation
from coca.parallel.domain import Domain
from coca.parallel.ranks import OneRank
from coca.particles import Snapshot
from coca.results.run_spectra import Measurement, measure_spectra
from coca.results.write import INITIAL, write_initial_conditions
from coca.run.checks import check_start
from coca.run.ensemble import LIST
from coca.run.plan import make_plan
from coca.run.simulation import run_plan
from tests.agreement import HANDFUL, check_same

TO_PM = {"method": "fitted", "table": str(shipped("lpt_pm"))}
METHODS = {
    "bullfrog": {"method": "bullfrog"},
    "pm": {"method": "pm"},
    "cola": {"method": "cola"},
    "gain": {"method": "coca", "emulator": {"weights": str(SHIPPED_WEIGHTS)}},
    "fitted": {"method": "fitted"},
    "fitted to pm": TO_PM | {"reference": {"force_evaluations": 8}},
    "tolerance": TO_PM | {"force_evaluations": "auto", "tolerance": 0.2},
    "coca": {"method": "coca"},
}


PLANES = 6
"""Planes of the emulator's coarsest level, of 48^3 particles."""


@pytest.fixture
def values(config_values, shared_path):
    """48^3 particles."""
    config_values["output"]["directory"] = str(shared_path / "run")
    return config_values | {"particles": 48, "mesh": 96, "box_size": 96.0}


class Done(NamedTuple):
    """What of a run is compared."""

    steps: int
    snapshots: list[Snapshot]
    reference: list[Snapshot]
    evaluations: list[Evaluation]
    spectra: list[Measurement]
    warnings: list[str]


def run_on(ranks, config):
    """A run, with the number of its steps."""
    s = run_plan(make_plan(config, ranks))
    steps = len(s.run.steps)
    return Done(steps, s.snapshots, s.reference, s.run.evaluations, measure_spectra(s), s.warnings)


def run_alone(ranks, config):
    """A run on the first rank, while the others wait."""
    return ranks.once(lambda: run_on(OneRank(), config))


def rms(values):
    return np.sqrt(np.mean(values.astype(np.float64) ** 2))


@pytest.mark.parametrize("method", METHODS)
def test_runs_give_the_same_particles(ranks, values, whole, method, monkeypatch):
    """With the network a plane of its coarsest level each where the lattice's do not divide, and
    products in float32: those in bfloat16 are rounded by the shape of the slabs, see
    test_stages.test_network."""
    monkeypatch.setattr("coca.emulator.loaded.choose_precision", lambda *arguments: "float32")
    values |= METHODS[method]
    if values["method"] == "coca" and PLANES % ranks.size:
        n = 48 // PLANES * ranks.size
        values |= {"particles": n, "mesh": 2 * n, "box_size": 2.0 * n}
    values["output"] |= {"redshifts": [1.0, 0.0]}
    config = make_config(values)
    found, wanted = run_on(ranks, config), run_alone(ranks, config)
    assert found.steps == wanted.steps
    # float32 sums in another order: round-off of the potential, which is larger in larger boxes
    round_off = 1e-5 * max(1.0, config.box_size / 128.0)
    # a handful in haloes, where sub-steps, the network's products and read-outs make more of it
    left_out = HANDFUL if values["method"] in ("coca", "fitted") else 0.0
    for a, b in zip(found.snapshots, wanted.snapshots, strict=True):
        check_same(whole(a.disp, 1), b.disp, round_off, left_out)
        check_same(whole(a.vel, 1), b.vel, 10 * round_off, left_out)
    residuals = ([e.residual_rms for e in s.evaluations] for s in (found, wanted))
    np.testing.assert_allclose(*residuals, rtol=1e-4)
    for a, b in zip(found.spectra, wanted.spectra, strict=True):
        np.testing.assert_allclose(a.run.P_a, b.run.P_a, rtol=2e-3)
        np.testing.assert_allclose(a.run.at(0.5).P_a, b.run.at(0.5).P_a, rtol=1e-5)
        if found.reference:
            np.testing.assert_allclose(a.run.r, b.run.r, atol=1e-4)


@pytest.mark.any_number
def test_a_run_from_a_snapshot(ranks, values, whole, shared_path):
    """A run of ours, ended early, is gone on with."""
    values |= {"reference": {"force_evaluations": 8}}
    early = make_config(values | {"output": {"redshifts": [9.0]}, "method": "cola"})
    done, path = run_plan(make_plan(early, ranks)), shared_path / "start.hdf5"
    write_snapshot(path, done.domain, done.cosmology, done.snapshots[0], {})
    config = make_config(values | TO_PM | {"initial_conditions": {"snapshot": str(path)}})
    found, wanted = run_on(ranks, config), run_alone(ranks, config)
    for a, b in ((found.snapshots, wanted.snapshots), (found.reference, wanted.reference)):
        assert rms(whole(a[0].disp, 1) - b[0].disp) < 1e-5  # float32 sums in another order
    assert found.warnings[-1] == wanted.warnings[-1]
    assert found.warnings[-1].startswith("initial_conditions.snapshot: second-order displacements")


@pytest.mark.any_number
def test_initial_conditions_are_written_by_all_ranks(ranks, values, shared_path):
    """One file of one rank, with the particles of as many as there are."""
    config = make_config(values)
    alone = make_config(values | {"output": {"directory": str(shared_path / "alone")}})
    start = check_start(config, ranks)
    written = write_initial_conditions(config, ranks, start)
    ranks.once(lambda: write_initial_conditions(alone, OneRank(), start))
    assert len(written) == 1 + (ranks.size if ranks.size > 1 else 0)
    a, b = (read_particles(shared_path / name / INITIAL) for name in ("run", "alone"))
    np.testing.assert_array_equal(a.ids, b.ids)
    distance = np.abs(a.x - b.x)
    assert np.minimum(distance, config.box_size - distance).max() < 2e-5  # round-off of positions
    assert rms(a.u - b.u) < 1e-5 * rms(b.u)
    with h5py.File(shared_path / "run" / INITIAL) as file:
        masses = file["PartType1/Masses"][:]
    assert masses.shape == (48**3,) and (masses == masses[0]).all() and masses[0] > 0


@pytest.fixture
def config_file(ranks, values, shared_path):
    path = shared_path / "config.yaml"
    ranks.once(lambda: path.write_text(json.dumps(values)))
    return path


def run(config_file, *overrides, more=()):
    arguments = [str(config_file), "--quiet", *more]
    for override in overrides:
        arguments += ["--set", override]
    return run_sim.main(arguments)


@pytest.mark.any_number
def test_what_is_written(ranks, config_file, values, shared_path):
    """Gadget files of each rank and one that joins them, spectra, report, record."""
    to_pm = [f"{key}={value}" for key, value in TO_PM.items()]
    assert run(config_file, "reference.force_evaluations=8", *to_pm) == 0
    directory = shared_path / "run"
    parts = [f"snapshot_000.{r}.hdf5" for r in range(ranks.size)] if ranks.size > 1 else []
    drawn = ("density_000", "residual", "spectra_000", "time")
    pictures = [f"report/{name}.{kind}" for name in drawn for kind in ("png", "pdf")]
    names = ["report.html", "report.png", "run.json", "snapshot_000.hdf5"]
    names += ["spectra_000.csv", "spectra_000.txt", *parts, *pictures]
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert sorted(str(path.relative_to(directory)) for path in files) == sorted(names)
    record = json.loads((directory / RUN_RECORD).read_text())
    assert record["machine"]["ranks"] == ranks.size
    assert sorted([*record["files"], RUN_RECORD]) == sorted(names)
    if ranks.size > 1:
        for what in ("transposes", "ghost planes", "positions", "accelerations"):
            assert record["bytes_sent"][what] > 0
    snapshot, domain = run_alone(ranks, make_config(values | TO_PM)).snapshots[0], Domain(96.0, 48)
    x = wrapped_positions(domain, domain.add_lattice(snapshot.disp))
    with h5py.File(directory / "snapshot_000.hdf5") as file:
        difference = file["PartType1/Coordinates"][:] / 1e3 - x
        difference -= 96.0 * np.rint(difference / 96.0)
        assert rms(difference) < 1.5e-5  # kpc/h in float32
        np.testing.assert_array_equal(file["PartType1/ParticleIDs"][:], np.arange(48**3))
        assert file["Header"].attrs["NumFilesPerSnapshot"] == 1
    here = 0
    for part in parts:
        with h5py.File(directory / part) as file:
            header = file["Header"].attrs
            assert header["NumFilesPerSnapshot"] == ranks.size
            assert header["NumPart_Total"][1] == 48**3
            ids = file["PartType1/ParticleIDs"][:]
            assert header["NumPart_ThisFile"][1] == len(ids)
            np.testing.assert_array_equal(ids, np.arange(here, here + len(ids)))
            here += len(ids)


def test_ranks_agree_on_how_the_network_is_done(ranks, values, monkeypatch):
    """Whatever each one's own device would take."""
    mine = 2 if ranks.rank == ranks.size - 1 else 1
    monkeypatch.setattr("coca.emulator.loaded.choose_slabs", lambda *arguments: mine)
    precision = "float32" if ranks.rank == 0 else "bfloat16"
    monkeypatch.setattr("coca.emulator.loaded.choose_precision", lambda *arguments: precision)
    sizes = {"method": "coca", "particles": 96, "mesh": 192, "box_size": 192.0}
    network = make_plan(make_config(values | sizes), ranks).network
    assert (network.slabs, network.precision) == (2, "float32")


@pytest.mark.any_number
def test_fewer_files_replace_those_of_more_ranks(ranks, config_file, shared_path):
    directory = shared_path / "run"

    def old():
        directory.mkdir()
        (directory / RUN_RECORD).write_text("{}")
        (directory / f"snapshot_000.{ranks.size}.hdf5").write_text("of an earlier run")

    ranks.once(old)
    assert run(config_file, "output.report=false") == 2
    assert (directory / f"snapshot_000.{ranks.size}.hdf5").exists()
    assert run(config_file, "output.report=false", more=["--overwrite"]) == 0
    assert not (directory / f"snapshot_000.{ranks.size}.hdf5").exists()


@pytest.mark.slow
@pytest.mark.any_number
def test_other_codes_read_the_files(ranks, config_file, shared_path):
    """yt the parts, pynbody the set and the joined file."""
    yt, pynbody = pytest.importorskip("yt"), pytest.importorskip("pynbody")
    assert run(config_file, "output.report=false") == 0
    path = shared_path / "run" / "snapshot_000.hdf5"

    def read():
        yt.set_log_level("error")
        with warnings.catch_warnings(), h5py.File(path) as file:
            warnings.simplefilter("ignore")
            x, ids = file["PartType1/Coordinates"][:], file["PartType1/ParticleIDs"][:]
            first = path.with_name("snapshot_000.0.hdf5") if ranks.size > 1 else path
            data = yt.load(str(first)).all_data()
            order = np.argsort(data["PartType1", "ParticleIDs"].d)
            found = data["PartType1", "Coordinates"].to("kpccm/h").d[order]
            np.testing.assert_allclose(found, x, rtol=1e-6, atol=0.05)
            for name in [path.with_name("snapshot_000"), path] if ranks.size > 1 else [path]:
                s = pynbody.load(str(name))
                order = np.argsort(s.dm["iord"])
                np.testing.assert_array_equal(np.asarray(s.dm["iord"])[order], ids)
                np.testing.assert_allclose(np.asarray(s.dm["pos"])[order], x, rtol=1e-6)

    ranks.once(read)


@pytest.mark.parametrize("each", [1, 2])
def test_ensemble(ranks, config_file, shared_path, each):
    """Groups of ranks share the members; a member that fails stops no other one; a restart does
    what is left."""
    if ranks.size % each:
        pytest.skip("groups of two do not fill the ranks")
    table, directory = shared_path / "table.txt", shared_path / "run"

    def prepare():
        table.write_text("# Omega_m sigma_8 seed\n0.3 0.8 1\n0.31 0.81 2\n0.32 0.79 3\n")
        (directory / "0001").mkdir(parents=True)
        (directory / "0001" / "snapshot_000.0.hdf5").mkdir()  # in the way of the file
        (directory / "0001" / "snapshot_000.hdf5").mkdir()

    ranks.once(prepare)
    options = (
        f"ensemble.table={table}",
        f"ensemble.ranks_per_simulation={each}",
        "output.report=false",
    )
    assert run(config_file, *options) == 1
    results = json.loads((directory / LIST).read_text())
    assert sorted(results) == ["0000", "0001", "0002"]
    assert results["0001"].startswith("failed: output.directory: cannot write")
    assert "estimated remaining error" in results["0002"]
    record = json.loads((directory / "0002" / RUN_RECORD).read_text())
    assert record["config"]["cosmology"]["Omega_m"] == 0.32 and record["seed"] == 3
    assert record["machine"]["ranks"] == each
    stamp = (directory / "0002" / RUN_RECORD).stat().st_mtime_ns

    def mend():
        for name in ("snapshot_000.0.hdf5", "snapshot_000.hdf5"):
            if (directory / "0001" / name).is_dir():
                (directory / "0001" / name).rmdir()

    ranks.once(mend)
    before = results
    assert run(config_file, *options, more=["--resume"]) == 0
    results = json.loads((directory / LIST).read_text())
    assert [results[name] == before[name] for name in ("0000", "0001", "0002")] == [1, 0, 1]
    assert "estimated remaining error" in results["0001"]
    assert (directory / "0002" / RUN_RECORD).stat().st_mtime_ns == stamp


@pytest.mark.any_number
def test_a_member_does_not_depend_on_its_group(ranks, config_file, values, shared_path):
    """The second member is the run with the second seed."""
    options = ("ensemble.realisations=2", f"ensemble.ranks_per_simulation={ranks.size}")
    assert run(config_file, *options, "output.report=false") == 0
    single = run_alone(ranks, make_config(values | {"seed": values["seed"] + 1})).snapshots[0]
    domain = Domain(96.0, 48)
    x = wrapped_positions(domain, domain.add_lattice(single.disp))
    with h5py.File(shared_path / "run" / "0001" / "snapshot_000.hdf5") as file:
        difference = file["PartType1/Coordinates"][:] / 1e3 - x
    difference -= 96.0 * np.rint(difference / 96.0)
    check_same(difference.T, np.zeros_like(difference.T), 1.5e-5, HANDFUL)


@pytest.mark.any_number
def test_statistics_are_those_of_one_rank(ranks, config_file, values, shared_path):
    """The first rank reads the joined snapshot, and the files are in the record."""
    assert run(config_file, "output.report=false", "output.statistics=[power, pdf]") == 0
    directory = shared_path / "run"
    record = json.loads((directory / RUN_RECORD).read_text())
    assert {"snapshot_000_power.txt", "snapshot_000_pdf.png"} <= set(record["files"])
    found, wanted = (
        np.loadtxt(directory / f"{name}_000{rest}.txt")[:, 2]
        for name, rest in (("snapshot", "_power"), ("spectra", ""))
    )
    # positions of the snapshot are float32 kpc/h, wrapped
    np.testing.assert_allclose(found, wanted, rtol=1e-3)
