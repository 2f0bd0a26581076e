"""Files of lensing: what stands in them is what was found."""

import h5py
import numpy as np
import pytest

from coca.errors import ConfigError
from coca.light_cone import healpix, lensing_files, sky
from coca.light_cone.footprint import FULL, OCTANT, Footprint
from coca.light_cone.lensing import Convergence
from coca.light_cone.lensing_files import NAMES, check_files, write_lensing
from coca.light_cone.sources import Sources

healpy = pytest.importorskip("healpy")


@pytest.fixture
def found(cosmology, monkeypatch):
    """A map of white noise, beside a theory that needs no CAMB."""
    monkeypatch.setattr(sky, "limber", lambda found, l, k_least=0.0: 1e-9 / l)
    kappa = np.random.default_rng(1).normal(size=12 * 16**2)
    sources = Sources(np.array([0.5, 1.0]), np.array([0.5, 0.5]))
    return Convergence(kappa, 1e-10, (0.0, 1.0), sources, cosmology, 500.0, FULL)


def test_maps_come_back(found, tmp_path):
    paths = write_lensing(tmp_path / "new", found)
    assert sorted(path.name for path in paths) == sorted(NAMES)
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(NAMES)
    gamma = sky.shear(found.kappa)
    kappa, header = healpy.read_map(paths[1], h=True)
    np.testing.assert_allclose(kappa, found.kappa, rtol=1e-6)
    header = dict(header)
    assert header["ORDERING"] == "RING" and header["Omega_m"] == found.cosmology.Omega_m
    np.testing.assert_allclose(healpy.read_map(paths[2], field=(0, 1)), gamma, rtol=1e-5, atol=1e-9)
    with h5py.File(paths[0]) as file:
        np.testing.assert_array_equal(file["kappa"], found.kappa)
        np.testing.assert_array_equal(file["gamma2"], gamma[1])
        assert file.attrs["source_mean_z"] == 0.75 and file["source_share"][1] == 0.5
        assert "x to the south" in file.attrs["shear_axes"]
    table = np.loadtxt(tmp_path / "new" / "C_l.txt")
    assert table[0, 0] == 2 and table.shape == (31, 8)
    commas = np.loadtxt(tmp_path / "new" / "C_l.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(commas, table)
    np.testing.assert_allclose(table[:, 5], (table[:, 1] - table[:, 2]) / table[:, 3], rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("footprint", [OCTANT, Footprint("cone", 10.0, 20.0, 60.0)])
def test_part_of_the_sky_has_no_shear(footprint, found, tmp_path):
    write_lensing(tmp_path, found)
    part = Convergence(
        found.kappa, 1e-10, (0.0, 1.0), found.sources, found.cosmology, 500.0, footprint
    )
    write_lensing(tmp_path, part)
    assert not (tmp_path / "shear.fits").exists()
    kappa = healpy.read_map(tmp_path / "convergence.fits")
    assert np.mean(kappa != healpy.UNSEEN) == pytest.approx(footprint.share, rel=0.35)


def test_nothing_is_replaced_unasked(tmp_path, monkeypatch):
    check_files(tmp_path, overwrite=False)
    (tmp_path / "C_l.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"--out: found .*C_l.txt, wanted --overwrite"):
        check_files(tmp_path, overwrite=False)
    check_files(tmp_path, overwrite=True)
    monkeypatch.setattr(healpix, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="coca lens: wanted healpy"):
        lensing_files.check_files(tmp_path, overwrite=True)
