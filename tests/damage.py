"""Disks that are full, directories that are closed, and files that are damaged."""

import os
import resource
from contextlib import contextmanager

import numpy as np

RNG = np.random.default_rng(4)


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
