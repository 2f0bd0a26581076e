"""The command on an ensemble of two universes, and what is wrong with a command line."""

import json

import h5py
import numpy as np
import pytest

from coca.__main__ import main
from coca.light_cone.lensing import convergence
from coca.light_cone.map_statistics import map_statistics
from coca.light_cone.shells import read_shell, shell_files
from coca.light_cone.sources import Sources

ENSEMBLE = """\
cosmology: {Omega_m: 0.3, Omega_b: 0.049, h: 0.6711, n_s: 0.9624, sigma_8: 0.8}
linear_power: {source: eisenstein_hu}
box_size: 64.0
particles: 16
mesh: 32
seed: 1
threads: 1
method: bullfrog
force_evaluations: 3
light_cone: {z_max: 0.1, n_side: 16, shells: 2, footprint: octant}
"""


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    """Two universes with a cone; a third did not finish."""
    directory = tmp_path_factory.mktemp("ensemble")
    (directory / "table.txt").write_text("Omega_m sigma_8 seed\n0.3 0.8 5\n0.25 0.9 6\n")
    (directory / "run.yaml").write_text(
        ENSEMBLE
        + f"ensemble: {{table: {directory / 'table.txt'}}}\n"
        + f"output: {{directory: {directory / 'runs'}, redshifts: [0.5, 0.0], report: false, "
        + "snapshots: false}\n"
    )
    assert main(["run", str(directory / "run.yaml"), "--quiet"]) == 0
    listed = json.loads((directory / "runs" / "ensemble.json").read_text())
    (directory / "runs" / "ensemble.json").write_text(json.dumps(listed | {"0002": "failed: x"}))
    return directory / "runs"


@pytest.mark.slow
def test_power_alone(ensemble, tmp_path, capsys):
    path = tmp_path / "power.hdf5"
    assert main(["collect", str(ensemble), "--out", str(path)]) == 0
    assert f"wrote {path}: 2 universes" in capsys.readouterr().out
    with h5py.File(path) as file:
        assert list(file["parameters"].attrs["names"]) == ["Omega_m", "sigma_8"]
        np.testing.assert_array_equal(file["parameters"], [[0.3, 0.8], [0.25, 0.9]])
        np.testing.assert_array_equal(file["seed"], [5, 6])
        table = np.loadtxt(ensemble / "0001" / "spectra_000.txt")
        np.testing.assert_array_equal(file["power"][1, 0], table[:, 2])
        np.testing.assert_array_equal(file["k"], table[:, 0])
        assert file["power"].shape == (2, 2, len(table)) and "C_l" not in file
        assert file.attrs["h"] == 0.6711 and "sigma_8" not in file.attrs
        assert list(file.attrs["redshifts"]) == [0.5, 0.0]


@pytest.mark.slow
def test_with_the_convergence(ensemble, capsys):
    pytest.importorskip("healpy")
    line = ["collect", str(ensemble), "--sources", "0.1"]
    assert main(line) == 0
    shells = map(read_shell, shell_files(ensemble / "0001"))
    wanted = map_statistics(convergence(shells, Sources.at(0.1)))
    with h5py.File(ensemble / "summaries.hdf5") as file:
        for name in ("C_l", "pdf", "peaks"):
            np.testing.assert_array_equal(file[name][1], getattr(wanted, name))
        assert not np.array_equal(file["C_l"][0], file["C_l"][1])
        assert file.attrs["source_mean_z"] == 0.1
    assert main(line) == 2
    assert "wanted --overwrite to replace it" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0


@pytest.mark.slow
def test_sources_beyond_the_cone(ensemble, tmp_path, capsys):
    pytest.importorskip("healpy")
    path = tmp_path / "none.hdf5"
    assert main(["collect", str(ensemble), "--sources", "0.2", "--out", str(path)]) == 2
    assert "beyond z = 0.1, where the light cone ends" in capsys.readouterr().err
    assert not path.exists()


def test_a_directory_without_an_ensemble(tmp_path, capsys):
    assert main(["collect", str(tmp_path)]) == 2
    assert "ensemble.json: wanted an ensemble's list" in capsys.readouterr().err
    (tmp_path / "ensemble.json").write_text('{"0000": "failed: x"}')
    assert main(["collect", str(tmp_path)]) == 2
    assert "found no member that has finished" in capsys.readouterr().err
