"""What must not do harm: full and vanished disks, damaged and hostile files, senseless numbers.

Each ends in one clear error, without a damaged or left-over file.
"""

import copy
import functools
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import run_sim
from coca.configuration.fitting import FitConfig
from coca.configuration.loading import load_config, make_config
from coca.configuration.run import Config
from coca.configuration.training import TrainConfig
from coca.emulator.emulator import SHIPPED_WEIGHTS, Emulator
from coca.emulator.training_set import SimulationSet
from coca.errors import CocaError, ConfigError, FileError
from coca.files.safetensors import read_tensors, write_tensors
from coca.files.snapshot_reader import read_particles
from coca.files.snapshot_writer import write_snapshot
from coca.integration.fitted_table import FittedSteps, shipped
from coca.particles import Snapshot
from coca.results.write import write_results
from coca.run.ensemble import members
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import simulate

ROOT = Path(__file__).parent.parent
KINDS = {"train": TrainConfig, "fit": FitConfig}
RNG = np.random.default_rng(4)

LOADERS = {
    "weights": (SHIPPED_WEIGHTS, Emulator.load),
    "table": (shipped("lpt"), FittedSteps.load),
    "table of the emulator": (shipped("emulator"), FittedSteps.load),
}


@contextmanager
def files_of_at_most(size):
    """Writes fail beyond this many bytes of a file, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def read_only(directory):
    """A directory in which nothing can be made, not even by root, who becomes another user."""
    user = os.geteuid()
    directory.chmod(0o555)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(0o755)


def flip(path, place):
    """Turn one bit of a file over."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << int(RNG.integers(8))]))


def everything_in(directory):
    """All files, those with names that begin with a dot too."""
    return sorted(path.name for path in directory.rglob("*"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that has nothing left to do but to write."""
    values = {
        "cosmology": {"Omega_m": 0.3, "Omega_b": 0.05, "h": 0.7, "n_s": 0.96, "sigma_8": 0.8},
        "linear_power": {"source": "eisenstein_hu"},
        "box_size": 64.0, "particles": 32, "mesh": 64, "seed": 1, "frame": "lpt", "threads": 1,
        "force_evaluations": 1, "output": {"directory": str(tmp_path_factory.mktemp("run") / "a")},
    }  # fmt: skip
    plan = make_plan(make_config(values))
    return plan, simulate(plan)


@pytest.fixture
def config_file(config_values, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_values))
    return path


@pytest.fixture
def snapshot(tmp_path, domain, cosmology, conditions):
    D = float(cosmology.D1(0.5))
    lpt = conditions.lpt_frame(cosmology)
    path = tmp_path / "snapshot_000.hdf5"
    write_snapshot(path, domain, cosmology, Snapshot(D, lpt.displacement(D), lpt.velocity(D)), {})
    return path


def write_all(finished):
    plan, simulation = finished
    write_results(plan, simulation, Progress(quiet=True))


@pytest.mark.parametrize("size", [0, 700, 3000, 100_000, 390_000, 920_000])
def test_a_full_disk_is_one_error_and_leaves_nothing_half_written(finished, size):
    """The disk fills in the first snapshot, of 917 504 bytes of data, and thereafter: a failure in
    each part of a file, when it is extended and when it is closed."""
    directory = finished[0].config.output.directory
    shutil.rmtree(directory, ignore_errors=True)
    with files_of_at_most(size), pytest.raises(FileError, match=r"cannot write .*too large"):
        write_all(finished)
    assert everything_in(directory) == []
    write_all(finished)
    assert len(read_particles(directory / "snapshot_000.hdf5").ids) == 32**3


def test_a_full_disk_keeps_the_results_that_were_there(finished):
    """But for run.json: what stands beside it might be of two runs."""
    directory = finished[0].config.output.directory
    write_all(finished)

    def contents():
        return {p: p.read_bytes() for p in directory.rglob("*") if p.is_file()}

    before = contents()
    with files_of_at_most(1000), pytest.raises(FileError):
        write_all(finished)
    del before[directory / "run.json"]
    assert contents() == before


def test_a_full_disk_does_not_crash_the_process(tmp_path, config_file):
    """HDF5 crashes at the end of a process that could not close a file."""
    command = ["-c", f"ulimit -f 100; exec {sys.executable} run_sim.py {config_file} --quiet"]
    done = subprocess.run(["bash", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.fullmatch(r"error: output\.directory: cannot write .*\n", done.stderr)
    assert everything_in(tmp_path / "run") == []


def test_a_directory_that_has_become_read_only_is_one_error(finished):
    directory = finished[0].config.output.directory
    write_all(finished)
    before = everything_in(directory)
    with read_only(directory), pytest.raises(FileError, match=r"cannot write .*Permission denied"):
        write_all(finished)
    assert everything_in(directory) == before


def test_a_directory_that_vanishes_is_one_error(finished, monkeypatch):
    """Between the tables and the record; one that vanished before is made again."""
    directory = finished[0].config.output.directory
    monkeypatch.setattr(
        "coca.results.write._write_report", lambda *_: shutil.rmtree(directory) or ""
    )
    with pytest.raises(FileError, match=r"cannot write .*No such file or directory"):
        write_all(finished)
    assert not directory.exists()
    monkeypatch.undo()
    write_all(finished)
    assert "run.json" in everything_in(directory)


def test_directories_that_cannot_be_are_refused_before_any_work(config_file, tmp_path, capsys):
    (tmp_path / "closed").mkdir()
    for directory in ("x" * 300, "/proc/nowhere/run", "a\nb", "a\0b", str(config_file / "below")):
        command = [str(config_file), "--set", f"output.directory={yaml.safe_dump(directory)}"]
        assert run_sim.main(command) == 2
        assert re.fullmatch(r"error: .*output\.directory: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("kind", LOADERS)
def test_damaged_weights_and_tables_are_one_error(kind, tmp_path):
    original, load = LOADERS[kind]
    path, size = tmp_path / "damaged.safetensors", original.stat().st_size
    names = [original.read_bytes().index(name) for name in (b"sha256", b'"checksum":')]
    for place in [
        0,
        3,
        8,
        20,
        *names,
        names[0] + 9,
        names[0] + 40,
        *RNG.integers(0, 2000, 20),
        *RNG.integers(0, size, 10),
        size - 1,
    ]:
        shutil.copy(original, path)
        flip(path, int(place))
        with pytest.raises(FileError, match=r"cannot use .*damaged\.safetensors"):
            load(path)
    for length in (0, 7, 8, 100, size // 2, size - 1):
        path.write_bytes(original.read_bytes()[:length])
        with pytest.raises(FileError, match=r"cannot use .*damaged\.safetensors"):
            load(path)


@pytest.mark.parametrize("kind", LOADERS)
def test_what_is_shipped_has_a_checksum(kind, tmp_path):
    original, load = LOADERS[kind]
    assert b'"sha256":"' in original.read_bytes()[:4096]
    load(original)


def test_tensors_without_a_checksum_are_read(tmp_path):
    """Those of earlier versions and of other programs."""
    tensors = {"a": np.arange(3.0)}
    save_file(tensors, tmp_path / "plain.safetensors", {"b": "c"})
    metadata, found = read_tensors(tmp_path / "plain.safetensors", "numpy")
    assert metadata == {"b": "c"}
    np.testing.assert_array_equal(found["a"], tensors["a"])


def test_tensors_that_do_not_fit_the_disk_are_one_error(tmp_path):
    path = tmp_path / "a.safetensors"
    with files_of_at_most(5000), pytest.raises(FileError, match=r"cannot write .*a\.safetensors"):
        write_tensors(path, save_file, {"a": np.zeros(10_000)}, {})
    assert everything_in(tmp_path) == []


def test_damaged_snapshots_are_one_error(snapshot):
    """A bit anywhere: in the structure, in the numbers, or in what nobody reads."""
    data, wanted = snapshot.read_bytes(), read_particles(snapshot)
    places = [*range(0, 200, 3), *RNG.integers(0, 6000, 100), *RNG.integers(0, len(data), 100)]
    found = 0
    for place in places:
        snapshot.write_bytes(data)
        flip(snapshot, int(place))
        try:
            particles = read_particles(snapshot)
        except FileError as error:
            found += 1
            assert snapshot.name in str(error)
        else:
            assert particles.header == wanted.header
            for a, b in zip(particles[1:], wanted[1:], strict=True):
                np.testing.assert_array_equal(a, b)
    assert found > 150  # of 267; the rest is unused space between structures
    for length in (0, 8, 100, 5000, len(data) // 2, len(data) - 1):
        snapshot.write_bytes(data[:length])
        with pytest.raises(FileError, match=r"cannot read .*snapshot_000\.hdf5"):
            read_particles(snapshot)


HOSTILE = {
    "tag of Python": b"seed: !!python/object/apply:os.system ['touch harm']",
    "harmless tag": b"seed: !!bool maybe",
    "anchor": b"seed: &a 3\nparticles: *a",
    "billion laughs": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (c, c, b"*%c, " % (c - 1) * 9) for c in range(98, 122)),
    "deep lists": b"seed: " + b"[" * 100_000,
    "deep keys": b"".join(b" " * i + b"a:\n" for i in range(1000)),
    "deep questions": b"? " * 100_000,
    "too large": b"# " + b"x" * 2**21,
    "many keys": b"".join(b"k%d: 1\n" % i for i in range(30_000)),
    "many digits": b"seed: 0x" + b"f" * 500_000,
    "many decimal digits": b"seed: " + b"9" * 10_000,
    "long text": b"frame: " + b"x" * 900_000,
    "long list": b"frame: [" + b"1, " * 100_000 + b"]",
    "list as key": b"? [a, b]\n: 3",
    "no date": b"seed: 2024-99-99",
    "lines in a key": b'"a\\nb\\e[31m": 3',
    "half a pair": b'frame: "\\ud800"',
    "NUL": b"seed: 1\0",
    "binary": bytes(range(256)),
    "nothing but NUL": b"\0" * 100,
    "UTF-16": "seed: 1".encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_yaml_is_one_short_error(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_bytes(HOSTILE[kind])
    began = time.process_time()
    assert run_sim.main(["config.yaml"]) == 2
    assert time.process_time() - began < 10.0  # seconds; 2 for 100 000 numbers
    error = capsys.readouterr().err
    assert re.fullmatch(r"error: [^\n]{10,500}\n", error) and error[:-1].isprintable()
    assert os.listdir() == ["config.yaml"]


def test_an_endless_file_is_no_configuration():
    with pytest.raises(ConfigError, match="more than 1048576 bytes"):
        load_config("/dev/zero")


def test_overrides_are_as_safe(config_file):
    for override in ("seed=&a 3", "seed=!!bool maybe", "seed=" + "[" * 100_000, ".".join("a" * 99)):
        with pytest.raises(ConfigError, match="--set"):
            load_config(config_file, [f"{override}=3"])


def test_nothing_is_unpickled():
    """Neither pickle nor what uses it for files: only NumPy's arrays of numbers are loaded."""
    forbidden = r"\b(pickle|dill|joblib|shelve|marshal|torch\.load|eval|exec)\b *(\(|\.|$)"
    for path in [ROOT / "run_sim.py", *(ROOT / "coca").rglob("*.py")]:
        text = path.read_text()
        code = re.sub(r'""".*?"""|#.*', "", text, flags=re.S | re.M)
        found = [line for line in code.splitlines() if re.search(forbidden, line)]
        assert [line for line in found if ".eval()" not in line] == [], path
        assert "yaml.load(" not in code or "_Loader" in code, path
        for call in re.findall(r"np\.load\([^\n]*", code):
            assert "allow_pickle=False" in call, path


class Harmful:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["pickle", "cut", "empty", "text"])
def test_damaged_training_simulations_are_one_error(damage, tmp_path, domain):
    values = copy.deepcopy(CONFIGS["train.yaml"][1])
    values["simulations"] |= {"directory": str(tmp_path / "training"), "training": 1}
    simulations = SimulationSet(make_config(values, TrainConfig).simulations, domain)
    path = simulations._path(0)
    if damage == "pickle":
        np.save(path, np.array([Harmful(tmp_path / "harm")]), allow_pickle=True)
    else:
        np.save(path, np.zeros((9, 1000), np.float32))
        whole = path.read_bytes()
        path.write_bytes({"cut": whole[:5000], "empty": b"", "text": b"text"}[damage])
    with pytest.raises(FileError, match=r"simulation-.*\.npy: cannot read"):
        simulations.load(0)
    assert not (tmp_path / "harm").exists()


def write_ic(path, name, data):
    with h5py.File(path, "w") as file:
        file[name] = data


def noise(value):
    data = np.random.default_rng(1).standard_normal((32, 32, 32))
    data[3, 4, 5] = value
    return data


SENSELESS = {
    "nan": ("white_noise", noise(np.nan), "not finite"),
    "infinity": ("white_noise", noise(-np.inf), "not finite"),
    "beyond float32": ("white_noise", noise(1e300), "not finite"),
    "no noise": ("white_noise", noise(1e10), r"values of 1e\+10, wanted unit variance"),
    "far": ("psi1", np.full((3, 32, 32, 32), 1e30), r"values of 1e\+30, wanted Mpc/h"),
    "text": ("psi1", np.full((3, 32, 32, 32), b"far"), "wanted a data set of numbers"),
    "complex": ("white_noise", np.ones((32, 32, 32), complex), "wanted a data set of numbers"),
    "group": ("white_noise/inner", np.ones(3), "wanted a data set of numbers"),
    "scalar": ("psi1", 3.0, "has shape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", SENSELESS)
def test_senseless_initial_conditions_are_one_error(kind, config_file, tmp_path, capsys):
    name, data, message = SENSELESS[kind]
    write_ic(tmp_path / "ic.hdf5", name, data)
    override = f"initial_conditions.file={tmp_path / 'ic.hdf5'}"
    assert run_sim.main([str(config_file), "--set", override, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: initial_conditions\.file: .*{message}.*\n", error)
    assert not (tmp_path / "run").exists()


def test_truncated_initial_conditions_are_one_error(config_file, tmp_path, capsys):
    path = tmp_path / "ic.hdf5"
    write_ic(path, "white_noise", noise(1.0))
    path.write_bytes(path.read_bytes()[:9000])
    override = f"initial_conditions.file={path}"
    assert run_sim.main([str(config_file), "--set", override]) == 2
    assert re.fullmatch(r"error: initial_conditions\.file: .*\n", capsys.readouterr().err)


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "text", "1e999", "\0"])
def test_senseless_tables_of_power_are_one_error(value, config_file, tmp_path, capsys):
    rows = [f"{0.01 * i} {100.0 / i}" for i in range(1, 20)]
    rows[7] = f"0.08 {value}"
    (tmp_path / "power.txt").write_text("\n".join(rows))
    source = {"source": "table", "file": str(tmp_path / "power.txt")}
    assert run_sim.main([str(config_file), "--set", f"linear_power={source}"]) == 2
    assert re.fullmatch(r"error: linear_power\.file: .*\n", capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def _group_to_numbers(file):
    del file["Header"]
    file["Header"] = np.arange(3)


def _identifiers_of_another_shape(file):
    del file["PartType1/ParticleIDs"]
    file["PartType1/ParticleIDs"] = np.zeros((32**3, 3))


def _coordinates_that_are_text(file):
    del file["PartType1/Coordinates"]
    file["PartType1/Coordinates"] = np.full((32**3, 3), b"here")


@pytest.mark.parametrize(
    "change",
    [
        {"BoxSize": "large"},
        {"MassTable": h5py.Empty("f")},
        {"NumFilesPerSnapshot": 2**31 - 1},
        {"NumPart_Total_HighWord": np.array([0, 2**31, 0, 0, 0, 0], np.uint32)},
        _group_to_numbers,
        _identifiers_of_another_shape,
        _coordinates_that_are_text,
    ],
)
def test_senseless_snapshots_are_one_error(snapshot, change):
    with h5py.File(snapshot, "r+") as file:
        change(file) if callable(change) else file["Header"].attrs.update(change)
    with pytest.raises(FileError, match=r"snapshot: .*snapshot_000"):
        read_particles(snapshot)


def leaves(values, path=()):
    """Paths to all sections and values of a configuration."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))


CONFIGS = {
    path.name: (KINDS.get(path.stem.split("_")[0], Config), yaml.safe_load(path.read_text()))
    for path in sorted((ROOT / "configs").glob("*.yaml"))
}
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 4, 16, 32, 64, 10**30, 2**63, 0.0, -0.0, 5e-324, 1e308, -1e308]),
    st.integers(),
    st.floats(),
)
HOW = st.sampled_from(["option"] * 4 + ["scaled"] * 4 + ["value", "missing", "unknown"])
FACTORS = st.sampled_from([0.0, 0.5, 1.001, 2.0, 3.0, 10.0, 1e-9, 1e9])
TEXTS = st.one_of(
    st.sampled_from(["auto", "lpt", "rest", "emulator", "bullfrog", "fitted", "gain", "table"]),
    st.sampled_from(["", "/", "/dev/null", "configs/cola.yaml", "~", "x" * 5000, "a\0b"]),
    st.text(max_size=9),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS, st.dates()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
OPTIONS = st.sampled_from(
    [
        ("frame", "rest"), ("frame", "lpt"), ("force_evaluations", 0), ("force_evaluations", 99),
        ("force_evaluations", "auto"), ("tolerance", 0.1), ("integrator", {"method": "fastpm"}),
        ("integrator", {"kick": "gain"}), ("integrator", {"table": "configs/cola.yaml"}),
        ("emulator", {"weights": "configs/cola.yaml"}), ("emulator", {"slabs": 1024}),
        ("linear_power", {"source": "table", "file": "/dev/null"}), ("device", "cuda"),
        ("initial_conditions", {"file": "configs/cola.yaml"}), ("threads", 1024),
        ("ensemble", {"table": "configs/cola.yaml"}), ("ensemble", {"seeds": [1, 2]}),
        ("force", {"gradient": "spectral", "deconvolve": True}), ("mesh", 64), ("particles", 64),
    ]
)  # fmt: skip


@st.composite
def broken_configs(draw):
    """Name and values of a shipped configuration that has been changed in a few places."""
    name = draw(st.sampled_from(sorted(CONFIGS)))
    values = copy.deepcopy(CONFIGS[name][1])
    for _ in range(draw(st.integers(1, 4))):
        *sections, key = draw(st.sampled_from(list(leaves(values))))
        owner = functools.reduce(dict.get, sections, values)
        how = draw(HOW)
        if how == "scaled" and type(owner[key]) in (int, float):
            owner[key] = type(owner[key])(owner[key] * draw(FACTORS))
        elif how == "missing":
            del owner[key]
        elif how == "unknown":
            owner[draw(TEXTS)] = copy.deepcopy(draw(VALUES))
        elif how in ("option", "scaled"):
            values.update([copy.deepcopy(draw(OPTIONS))])
        else:
            owner[key] = copy.deepcopy(draw(VALUES))
        if not values:
            break
    return name, values


FUZZ = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,  # the same examples everywhere: a failure can be had again
    suppress_health_check=list(HealthCheck),
    database=None,
)


@FUZZ
@given(broken_configs())
def test_no_configuration_ends_in_a_traceback(broken):
    """Written and read again, planned where it is a run, it serves or gives an error of ours."""
    name, values = broken
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / name
        path.write_text(yaml.safe_dump(values, allow_unicode=False))
        try:
            config = load_config(path, kind=CONFIGS[name][0])
            if isinstance(config, Config):
                everyone = members(config, config.ensemble) if config.ensemble else [config]
                for member in everyone[:2]:
                    make_plan(getattr(member, "config", member)).describe()
        except CocaError as error:
            line = str(error)
            assert len(line) > 10 and line.isprintable()
        assert os.listdir(directory) == [name]
