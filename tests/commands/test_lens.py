"""The command on a small cone, and what is wrong with a command line."""

import h5py
import numpy as np
import pytest

from coca.__main__ import main
from coca.commands import lens
from coca.cosmology.background import scale_factor
from coca.cosmology.distance import comoving_distance
from coca.light_cone import sky
from coca.light_cone.footprint import FULL
from coca.light_cone.shells import Shell, write_shell

healpy = pytest.importorskip("healpy")


@pytest.fixture
def directory(cosmology, tmp_path, monkeypatch):
    """Particles thrown at random to z = 0.3."""
    monkeypatch.setattr(sky, "limber", lambda found, l, k_least=0.0: 1e-9 / l)
    rng, z = np.random.default_rng(1), [0.0, 0.15, 0.3]
    for i in range(2):
        edges = z[i], z[i + 1]
        chi = tuple(comoving_distance(cosmology, scale_factor(np.array(edges))))
        counts = rng.poisson(100.0, 12 * 8**2).astype(np.int32)
        write_shell(tmp_path, Shell(i, 2, edges, chi, cosmology, 100.0, 32**3, FULL, counts))
    return tmp_path


@pytest.mark.slow
def test_command_line(directory, capsys, monkeypatch):
    assert main(["lens", str(directory), "--sources", "0.3"]) == 0
    assert "lensing/convergence.fits" in capsys.readouterr().out
    assert main(["lens", str(directory), "--sources", "0.3"]) == 2
    assert "wanted --overwrite to replace it" in capsys.readouterr().err
    galaxies = directory / "galaxies.txt"
    galaxies.write_text("10 20 0.2\n300 -80 0.3\n")
    read, names = lens.read_shell, []
    monkeypatch.setattr(lens, "read_shell", lambda path: names.append(path.name) or read(path))
    command = ["lens", str(directory), "--sources", "0.3", "--overwrite", "--galaxies"]
    assert main([*command, str(galaxies)]) == 0
    assert names == ["shell_000.hdf5", "shell_001.hdf5"]  # each once, for maps and galaxies
    with h5py.File(directory / "lensing" / "galaxies.hdf5") as file:
        assert set(file) == {"lon", "lat", "z", "kappa", "gamma1", "gamma2"}
        assert list(file["z"]) == [0.2, 0.3] and np.all(file["gamma1"][:] != 0.0)
    galaxies.write_text("10 20 0.5\n")
    assert main([*command, str(galaxies)]) == 2
    assert "1 galaxies beyond z = 0.3" in capsys.readouterr().err
    table = directory / "nz.txt"
    table.write_text("0.1 1\n0.2 1\n")
    first = (directory / "lensing" / "C_l.txt").read_text()
    assert main(["lens", str(directory), "--sources", str(table), "--overwrite"]) == 0
    assert first != (directory / "lensing" / "C_l.txt").read_text()
    assert "sources of mean z = 0.15" in (directory / "lensing" / "C_l.txt").read_text()


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ("0.31", "sources: found 100 % of the sources beyond z = 0.3, where the light cone ends"),
        ("-1", "--sources: found -1, wanted a redshift above 0"),
        ("nan", "--sources: found nan, wanted a redshift above 0"),
        ("gone.txt", "sources: cannot read gone.txt"),
    ],
)
def test_sources_that_cannot_be(directory, sources, message, capsys):
    assert main(["lens", str(directory), f"--sources={sources}"]) == 2
    assert message in capsys.readouterr().err
    assert not (directory / "lensing").exists()


def test_a_directory_without_a_cone(tmp_path, capsys):
    assert main(["lens", str(tmp_path), "--sources", "1"]) == 2
    assert "wanted a directory of a run with light_cone" in capsys.readouterr().err
