"""Transforms against numpy's."""

import sys
from functools import partial

import numpy as np
import pytest

from coca.parallel import fft
from coca.parallel.fft import Transform, Workers
from coca.parallel.ranks import OneRank
from tests.parallel.modes import smooth

SIZES = pytest.mark.parametrize("n", [2, 6, 10, 16, 30, 48])


@pytest.fixture(params=[1, 3], ids=["one worker", "three workers"])
def workers(request):
    return Workers(request.param)


def field_of(n):
    return np.random.default_rng(n).normal(size=(n, n, n)).astype(np.float32)


def close(a, b):
    # float32 round-off of sums of n^3 numbers
    np.testing.assert_allclose(a, b, atol=3e-6 * np.abs(b).max())


@SIZES
def test_forward_is_numpys_and_keeps_the_field(n, workers):
    transform, field = Transform(n, workers, OneRank()), field_of(n)
    kept = field.copy()
    close(transform.forward(field), np.fft.rfftn(field))
    np.testing.assert_array_equal(field, kept)


@SIZES
def test_backward_is_numpys(n, workers):
    transform, field = Transform(n, workers, OneRank()), field_of(n)
    modes = np.fft.rfftn(field).astype(np.complex64)
    work = transform.empty_k()
    kept = modes.copy()
    close(transform.backward(modes, work=work), field * n**3)
    np.testing.assert_array_equal(modes, kept)
    close(transform.backward(modes), field * n**3)


@SIZES
def test_in_place_is_the_same(n, workers):
    transform, field = Transform(n, workers, OneRank()), field_of(n)
    modes = transform.empty_k()
    mesh = transform.mesh(modes)
    mesh[..., :n] = field
    transform.forward(mesh, modes)
    close(modes, np.fft.rfftn(field))
    transform.backward(modes, mesh)
    close(mesh[..., :n], field * n**3)


@SIZES
@pytest.mark.parametrize("block", [2**18, 2**8])
def test_convolution_multiplies_every_mode(n, block, workers, monkeypatch):
    """With one block of columns, and with many."""
    monkeypatch.setattr(fft, "BLOCK_BYTES", block)
    transform, field = Transform(n, workers, OneRank()), field_of(n)
    k = 2 * np.pi * np.fft.fftfreq(n, 1 / n)
    kx, ky, kz = np.meshgrid(k, k, k[: n // 2 + 1], indexing="ij")
    factor = 1j * np.where(np.abs(ky) == np.pi * n, 0, ky)
    factor = factor * np.exp(-(kx**2 + ky**2 + kz**2) * 0.02**2 / 2)
    expected = np.fft.irfftn(factor * np.fft.rfftn(field), field.shape)
    modes = transform.empty_k()
    transform.mesh(modes)[..., :n] = field
    transform.convolve(modes, partial(smooth, n=n))
    np.testing.assert_allclose(
        transform.mesh(modes)[..., :n], expected, atol=1e-5 * max(1.0, np.abs(expected).max())
    )


def test_arrays_of_any_alignment(workers):
    n = 16
    transform, field = Transform(n, workers, OneRank()), field_of(16)
    room = np.empty(n**3 + 1, np.float32)
    askew = room[1:].reshape(n, n, n)
    askew[:] = field
    modes = transform.forward(field)
    np.testing.assert_array_equal(transform.forward(askew), modes)
    room = np.empty(modes.size + 1, np.complex64)
    askew_k = room[1:].reshape(modes.shape)
    transform.mesh(askew_k)[..., :n] = field
    transform.forward(transform.mesh(askew_k), askew_k)
    np.testing.assert_array_equal(askew_k, modes)


def test_plans_do_not_keep_arrays_alive(workers):
    n = 64
    transform = Transform(n, workers, OneRank())
    field = transform.empty()
    field[:] = 0
    modes = transform.forward(field)
    owners = [sys.getrefcount(a.base) for a in (field, modes)]
    fresh = [transform.empty(), transform.empty_k()]
    assert owners == [sys.getrefcount(a.base) for a in fresh]


def test_errors_of_a_piece_are_raised(workers):
    def fail(worker, piece):
        if piece == 5:
            raise FloatingPointError("piece 5")

    with pytest.raises(FloatingPointError, match="piece 5"):
        workers.share(fail, 10)
