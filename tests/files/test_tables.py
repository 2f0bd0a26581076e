import csv
import json

import h5py
import numpy as np

from coca.files.tables import write_columns, write_json, write_table


def test_a_table_is_read_by_numpy(tmp_path):
    path, k = tmp_path / "table.txt", np.geomspace(1e-3, 10, 7)
    write_table(path, {"k": ("h/Mpc", k), "P": ("(Mpc/h)^3", k**-1.5)}, "Power")
    title, columns, *_ = path.read_text().splitlines()
    assert (title, columns) == ("# Power", "# columns: k [h/Mpc], P [(Mpc/h)^3]")
    np.testing.assert_allclose(np.loadtxt(path), np.column_stack([k, k**-1.5]), rtol=1e-8)


def test_a_table_with_commas_has_a_line_of_names(tmp_path):
    path, k = tmp_path / "table.csv", np.geomspace(1e-3, 10, 7)
    write_table(path, {"k": ("h/Mpc", k), "P": ("(Mpc/h)^3", k**-1.5)}, "Power")
    with path.open(newline="") as file:
        names, *rows = csv.reader(file)
    assert names == ["k [h/Mpc]", "P [(Mpc/h)^3]"]
    np.testing.assert_allclose(np.array(rows, float), np.column_stack([k, k**-1.5]), rtol=1e-8)


def test_columns_have_units(tmp_path):
    columns = {"S": ("Mpc/h", np.ones((5, 3), np.float32))}
    columns |= {"ParticleIDs": ("identifier", np.arange(5))}
    write_columns(tmp_path / "some.hdf5", columns, {"BoxSize": 3.0})
    with h5py.File(tmp_path / "some.hdf5") as file:
        assert (file.attrs["BoxSize"], file["S"].attrs["Unit"]) == (3.0, "Mpc/h")
        assert file["S"].dtype == np.float32
        np.testing.assert_array_equal(file["ParticleIDs"], np.arange(5))


def test_a_record_is_json(tmp_path):
    record = {"seed": 3, "files": ["a", "b"], "error": None, "rms": 0.1}
    write_json(tmp_path / "run.json", record)
    assert json.loads((tmp_path / "run.json").read_text()) == record
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
