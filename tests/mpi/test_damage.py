"""A disk that is full on one rank, and snapshots of which a part is damaged or gone."""

import resource

import numpy as np
import pytest

from coca.errors import FileError
from coca.files.snapshot_reader import read_particles
from coca.files.snapshot_writer import part_names, write_snapshot
from coca.particles import Snapshot

pytestmark = pytest.mark.any_number


@pytest.fixture
def write(parted, shared_path, cosmology):
    """Writes a snapshot of particles that lie on their lattice, on all ranks; its path."""
    path = shared_path / "snapshot_000.hdf5"
    still = np.zeros((3, parted.own_particles), np.float32)

    def write():
        write_snapshot(path, parted, cosmology, Snapshot(1.0, still, still), {})
        return path

    return write


def test_a_disk_full_on_one_rank_is_an_error_on_all(ranks, parted, shared_path, write):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if ranks.rank == ranks.size - 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = parted.once(lambda: sorted(path.name for path in shared_path.iterdir()))
    assert left == part_names(shared_path / "snapshot_000.hdf5", ranks.size)[:-1]
    write()


def test_a_damaged_or_missing_part_is_an_error(ranks, parted, write):
    """HDF5 has zeros in the place of what a file of virtual data sets does not find."""
    path = write()
    last = path.with_name(part_names(path, ranks.size)[-1]) if ranks.size > 1 else path

    def read_damaged():
        assert len(read_particles(path).ids) == parted.particles
        data = last.read_bytes()
        last.write_bytes(data[: len(data) // 2])
        with pytest.raises(FileError, match=last.name):
            read_particles(path)
        last.unlink()
        with pytest.raises(FileError, match=last.name):
            read_particles(path)

    parted.once(read_damaged)
