"""Files of shells: read as written, and damage told."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from coca.errors import ConfigError, FileError
from coca.light_cone.footprint import FULL
from coca.light_cone.lensing import convergence
from coca.light_cone.shells import (
    Shell,
    fits_path,
    read_shell,
    shell_files,
    shell_path,
    write_fits,
    write_shell,
)
from coca.light_cone.sources import Sources


@pytest.fixture
def shell(cosmology):
    counts = np.arange(48, dtype=np.int32)
    return Shell(1, 2, (0.1, 0.2), (290.0, 570.0), cosmology, 100.0, 64**3, FULL, counts)


def test_shells_come_back(shell, cosmology, tmp_path):
    write_shell(tmp_path, replace(shell, momentum=np.linspace(0, 1, 48)))
    found = read_shell(shell_path(tmp_path, 1))
    np.testing.assert_array_equal(found.counts, shell.counts)
    assert (found.z, found.chi, found.cosmology) == (shell.z, shell.chi, cosmology)
    assert found.momentum[-1] == 1.0 and found.n_side == 2
    with h5py.File(shell_path(tmp_path, 1)) as file:
        assert file.attrs["ordering"] == "RING" and file.attrs["upper_chi"] == 570.0


def test_the_cosmology_comes_back_whole(shell, tmp_path):
    whole = replace(shell.cosmology, w0=-0.9, wa=0.1, m_nu=0.1)
    write_shell(tmp_path, replace(shell, cosmology=whole))
    assert read_shell(shell_path(tmp_path, 1)).cosmology == whole


def test_seeds_of_replicas_are_recorded(shell, tmp_path):
    for seed in (None, 0, 2**62):
        write_shell(tmp_path, replace(shell, replica_seed=seed))
        assert read_shell(shell_path(tmp_path, 1)).replica_seed == seed


def test_redshift_space_is_recorded_and_does_not_lens(shell, tmp_path):
    write_shell(tmp_path, replace(shell, redshift_space=True))
    found = read_shell(shell_path(tmp_path, 1))
    assert found.redshift_space and not shell.redshift_space
    shell.check_real_space()
    with pytest.raises(ConfigError, match=r"redshift_space: found shell 1 in .*, wanted false for"):
        convergence([found], Sources.at(0.2))


def test_the_mean_is_the_density_times_the_volume(shell):
    volume = 4 / 3 * np.pi * (570.0**3 - 290.0**3)
    assert 48 * shell.mean == pytest.approx(volume * 0.64**3, rel=1e-12)


def test_shells_that_are_missing_or_damaged(shell, tmp_path):
    with pytest.raises(FileError, match=r"shell_000.hdf5: missing, wanted a directory of a run"):
        shell_files(tmp_path)
    write_shell(tmp_path, replace(shell, number=0))
    with pytest.raises(FileError, match=r"shell_001.hdf5: missing, wanted all 2 shells"):
        shell_files(tmp_path)
    shell_path(tmp_path, 1).write_bytes(b"no shell")
    with pytest.raises(FileError, match=r"cannot use .*shell_001.hdf5"):
        read_shell(shell_path(tmp_path, 1))


def test_fits_is_healpys(shell, tmp_path):
    """Maps and header as healpy reads them."""
    healpy = pytest.importorskip("healpy")
    write_fits(tmp_path, shell)
    path = fits_path(shell_path(tmp_path, 1))
    counts, header = healpy.read_map(path, h=True, dtype=None)
    np.testing.assert_array_equal(counts, shell.counts)
    header = dict(header)
    assert (header["ORDERING"], header["NSIDE"], header["upper_chi"]) == ("RING", 2, 570.0)
    assert counts.dtype.kind == "i" and header["particle_mass"] == shell.particle_mass
    write_fits(tmp_path, replace(shell, momentum=np.linspace(0, 1, 48)))
    np.testing.assert_array_equal(healpy.read_map(path, field=1, dtype=None), np.linspace(0, 1, 48))
