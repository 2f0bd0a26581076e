import warnings

import h5py
import numpy as np

from coca.__main__ import main
from coca.files.snapshot_writer import write_snapshot
from coca.particles import Snapshot


def test_command_line(tmp_path, domain, cosmology, conditions, capsys):
    """Two snapshots: every file, r near one, one line for what is wrong."""
    lpt = conditions.lpt_frame(cosmology)
    paths = [tmp_path / f"{name}.hdf5" for name in ("late", "early")]
    for path, D in zip(paths, (0.8, 0.5), strict=True):
        snapshot = Snapshot(D, lpt.displacement(D), lpt.velocity(D))
        write_snapshot(path, domain, cosmology, snapshot, {})
    assert main(["analyse", *map(str, paths), "--out", str(tmp_path / "out"), "--mesh", "32"]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    for name in ("power", "momentum", "displacement", "multipoles", "pdf"):
        assert {f"late_{name}.{kind}" for kind in ("txt", "csv", "png", "pdf")} <= names
    assert {"late_haloes.hdf5", "early_bispectrum.png", "early_with_late.txt"} <= names
    assert "left out linear theory: snapshot: " in capsys.readouterr().out
    k, _, _, _, _, r, _ = np.loadtxt(tmp_path / "out" / "early_with_late.txt").T
    assert np.all(r[k < 0.3] > 0.9)
    how = ["--statistics", "pdf,haloes", "--pdf-window", "gaussian", "--pdf-radii", "4,6"]
    assert (
        main(["analyse", str(paths[0]), "--out", str(tmp_path / "how"), *how, "--halo-particles"])
        == 0
    )
    assert "pdf_4Mpc/h" in (tmp_path / "how" / "late_pdf.txt").read_text()
    with h5py.File(tmp_path / "how" / "late_haloes.hdf5") as file:
        assert len(file["ParticleIDs"]) == file["Particles"][:].sum()
    for option, value, message in (
        ("--mesh", "33", "--mesh: found 33, wanted an even number from 16 on"),
        ("--pdf-radii", "4,far", "--pdf-radii: found 4,far, wanted numbers and commas"),
        ("--pdf-radii", "4,1e4", "--pdf-radii: found 10000, wanted less than half the box"),
        ("--pdf-radii", "-1", "--pdf: radii"),
        ("--pdf-window", "box", "--pdf: window"),
    ):
        capsys.readouterr()
        assert main(["analyse", str(paths[0]), f"{option}={value}"]) == 2
        assert message in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["analyse", str(paths[0]), "--statistics", "power,colour"]) == 2
    assert "error: --statistics: found colour, wanted some of" in capsys.readouterr().err
