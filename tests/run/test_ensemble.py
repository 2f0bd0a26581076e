"""Which runs an ensemble is, and which of them are finished; tests/mpi runs some."""

import json

import pytest
import yaml

import run_sim
from coca.configuration.loading import make_config
from coca.errors import ConfigError, FileError
from coca.run.earlier import finished
from coca.run.ensemble import members


def ensemble_of(config_values, **options):
    config = make_config(config_values | {"ensemble": options})
    return members(config, config.ensemble)


def test_seeds_and_realisations(config_values):
    found = ensemble_of(config_values, seeds=[5, 2, 9])
    assert [member.config.seed for member in found] == [5, 2, 9]
    found = ensemble_of(config_values, realisations=3)
    assert [member.config.seed for member in found] == [3, 4, 5]
    assert [member.name for member in found] == ["0000", "0001", "0002"]
    base = make_config(config_values).output.directory
    assert [m.config.output.directory for m in found] == [base / m.name for m in found]
    assert all(member.config.ensemble is None for member in found)


def test_members_need_a_directory(config_values):
    with pytest.raises(ConfigError, match=r"output\.directory: missing"):
        ensemble_of(config_values | {"output": {}}, realisations=2)


def test_a_table_of_cosmologies(config_values, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("# sigma_8, Omega_m\n0.7, 0.2\n\n0.9, 0.4\n")
    found = ensemble_of(config_values, table=str(path))
    values = [(m.config.cosmology.sigma_8, m.config.cosmology.Omega_m) for m in found]
    assert values == [(0.7, 0.2), (0.9, 0.4)]
    assert [member.config.seed for member in found] == [3, 4]
    assert {member.config.cosmology.h for member in found} == {0.6711}
    path.write_text("A_s w0 wa\n2e-9 -0.9 0.1\n")
    (only,) = ensemble_of(config_values, table=str(path))
    parameters = only.config.cosmology
    assert (parameters.sigma_8, parameters.A_s, parameters.w0) == (None, 2e-9, -0.9)
    path.write_text("seed h\n11 0.7\n")
    (only,) = ensemble_of(config_values, table=str(path))
    assert (only.config.seed, only.config.cosmology.h) == (11, 0.7)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("Omega_m sigma8\n0.3 0.8\n", FileError, r"found names \['Omega_m', 'sigma8'\]"),
        ("h h\n0.7 0.7\n", FileError, "each once"),
        ("\n", FileError, "found names"),
        ("h\n", FileError, "wanted rows of 1"),
        ("h\n0.7 0.8\n", FileError, "wanted rows of 1"),
        ("h seed\n0.7 1.5\n", FileError, "wanted integers from 0"),
        ("h\nnan\n", FileError, "finite"),
        ("h\nhigh\n", FileError, "cannot read"),
        ("Omega_m\n0.3\n-0.1\n", ConfigError, "ensemble, member 0001: .*Omega_m: found -0.1"),
    ],
)
def test_bad_tables_name_the_file(config_values, tmp_path, text, error, message):
    path = tmp_path / "table.txt"
    path.write_text(text)
    with pytest.raises(error, match=message):
        ensemble_of(config_values, table=str(path))
    with pytest.raises(FileError, match="cannot read"):
        ensemble_of(config_values, table=str(tmp_path / "absent.txt"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "wanted one of seeds, realisations and table"),
        ({"seeds": [1], "realisations": 2}, "wanted one of seeds, realisations and table"),
        ({"seeds": []}, "wanted different ones"),
        ({"seeds": [1, 1]}, "wanted different ones"),
        ({"realisations": 0}, r"ensemble\.realisations: found 0"),
        ({"realisations": 10**11}, r"ensemble\.realisations: found 10+, wanted 100000 or less"),
        ({"realisations": 2, "ranks_per_simulation": 0}, "ranks_per_simulation: found 0"),
    ],
)
def test_bad_ensembles_name_the_key(config_values, options, message):
    with pytest.raises(ConfigError, match=message):
        ensemble_of(config_values, **options)


@pytest.fixture
def config_file(config_values, tmp_path):
    values = config_values | {"ensemble": {"realisations": 2}, "force_evaluations": 1}
    values["output"] |= {"report": False}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("key", ["file", "snapshot"])
def test_members_of_given_modes_differ(config_values, key):
    """Seeds say nothing where the modes are given; a table of cosmologies may."""
    config_values["initial_conditions"] = {key: "modes.hdf5"}
    with pytest.raises(ConfigError, match=r"ensemble: wanted a table, or no seeds with modes.hdf5"):
        make_config(config_values | {"ensemble": {"seeds": [1, 2]}})
    make_config(config_values | {"ensemble": {"table": "table.txt"}})


def test_dry_run_says_what_is_left(config_file, tmp_path, capsys):
    assert run_sim.main([str(config_file), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "2 runs to do, 0 finished; 1 at a time, like 0000" in out and "32^3" in out
    assert not (tmp_path / "run").exists()
    assert run_sim.main([str(config_file)]) == 0
    assert "2 members: 2 run, 0 finished before, 0 failed" in capsys.readouterr().out
    said = json.loads((tmp_path / "run" / "ensemble.json").read_text())
    assert all("estimated remaining error" in line for line in said.values())
    assert run_sim.main([str(config_file), "--dry-run"]) == 0
    assert "0 runs to do, 2 finished" in capsys.readouterr().out
    assert run_sim.main([str(config_file)]) == 0
    assert "2 members: 0 run, 2 finished before, 0 failed" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "ensemble.json").read_text()) == said


def test_members_that_would_be_replaced_stop_the_ensemble(config_file, tmp_path, capsys):
    """Before any work; all are done again when told, and what has no member any more goes."""
    run, first = [str(config_file), "--quiet"], tmp_path / "run" / "0000" / "spectra_000.txt"
    assert run_sim.main(run) == 0
    before = first.read_text()
    assert run_sim.main([*run, "--set", "ensemble.realisations=3", "--set", "seed=4"]) == 2
    assert "seed: 3 there, 4 here" in capsys.readouterr().err
    assert not (tmp_path / "run" / "0002").exists() and first.read_text() == before
    one = [*run, "--set", "ensemble.realisations=1"]
    assert run_sim.main(one) == 2
    assert "an ensemble with member 0001, which this one has not" in capsys.readouterr().err
    assert run_sim.main([*one, "--set", "ensemble=null"]) == 2
    assert "the members of an ensemble" in capsys.readouterr().err
    assert run_sim.main([*one, "--overwrite", "--set", "seed=4"]) == 0
    assert not (tmp_path / "run" / "0001").exists() and first.read_text() != before


def test_a_member_of_another_configuration_is_not_finished(config_values, config_file):
    assert run_sim.main([str(config_file), "--quiet"]) == 0
    values = yaml.safe_load(config_file.read_text())
    options = values.pop("ensemble")
    assert all(finished(m.config) for m in ensemble_of(values, **options))
    assert all(finished(m.config) for m in ensemble_of(values | {"threads": "auto"}, **options))
    other = ensemble_of(values | {"force_evaluations": 2}, **options)
    assert not any(finished(member.config) for member in other)
    member = other[0].config.output.directory / "run.json"
    member.write_text(json.dumps({"config": 3}))
    assert not finished(other[0].config)
    member.write_text("{")
    assert not finished(other[0].config)
