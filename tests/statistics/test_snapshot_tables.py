import json

import h5py
import numpy as np
import pytest

from coca.configuration.loading import make_config
from coca.errors import ConfigError
from coca.files.snapshot_reader import read_particles
from coca.results.write import write_results
from coca.run.plan import make_plan
from coca.run.progress import Progress
from coca.run.simulation import run_plan


def test_statistics_of_a_run(config_values, tmp_path):
    """From the configuration, listed in the record; without snapshots there are none."""
    config_values["output"] |= {
        "statistics": ["power", "haloes", "density", "redshift_space", "multipoles"],
        "report": False,
    }
    plan = make_plan(make_config(config_values))
    write_results(plan, run_plan(plan), Progress(quiet=True))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    kinds = {f"snapshot_000_power.{kind}" for kind in ("txt", "csv", "png", "pdf")}
    assert kinds | {"snapshot_000_haloes.hdf5"} <= set(record["files"])
    _, modes, P, error, linear = np.loadtxt(tmp_path / "run" / "snapshot_000_power.txt").T
    of_run = np.loadtxt(tmp_path / "run" / "spectra_000.txt")
    # positions of the snapshot are float32 kpc/h, wrapped
    np.testing.assert_allclose(P, of_run[:, 2], rtol=1e-4)
    np.testing.assert_allclose(linear, of_run[:, 3], rtol=1e-6)
    np.testing.assert_allclose(error, P / np.sqrt(modes / 2), rtol=1e-6)
    table = np.loadtxt(tmp_path / "run" / "snapshot_000_power.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table[:, 2], P)
    with h5py.File(tmp_path / "run" / "snapshot_000_density.hdf5") as file:
        assert file["Density"].shape == (64, 64, 64) and file.attrs["Mesh"] == 64
    with h5py.File(tmp_path / "run" / "snapshot_000_haloes.hdf5") as file:
        assert {"Peak", "Radius200m", "Dispersion", "Concentration", "Spin"} <= set(file)
    _, x, u, ids = read_particles(tmp_path / "run" / "snapshot_000.hdf5")
    with h5py.File(tmp_path / "run" / "snapshot_000_redshift_space.hdf5") as file:
        moved = file["S"][:].T - x - u / 100  # 1 / (a H) at z = 0
        np.testing.assert_array_equal(file["ParticleIDs"], ids)
    np.testing.assert_allclose(moved - 64 * np.rint(moved / 64), 0.0, atol=3e-5)
    config_values["output"]["snapshots"] = False
    with pytest.raises(ConfigError, match=r"output.statistics: wanted snapshots"):
        make_config(config_values)
