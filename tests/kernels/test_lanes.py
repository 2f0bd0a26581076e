import numba
import numpy as np
import pytest
from coca.kernels.lanes import (
    absolute,
    count_below,
    each,
    eight,
    four,
    inverse_root,
    least,
    nearest,
    not_below,
    pack,
    put,
    sixteen,
    spread,
    sum_of,
    where_below,
)


@numba.njit
def work_on_lanes(array, i, factor, out):
    a, b = four(array, np.uint64(i)), four(array, np.uint64(i + 1))
    a += (b - a) * factor + a * b
    put(out, np.uint64(1), a)
    return each(eight(array, np.uint64(i)))


def test_lanes_do_what_numbers_do():
    array = np.arange(20, dtype=np.float32) ** 1.5
    out = np.zeros(6, np.float32)
    found = work_on_lanes(array, 3, np.float32(0.3), out)
    a, b = array[3:7], array[4:8]
    np.testing.assert_allclose(out[1:5], a + (b - a) * np.float32(0.3) + a * b, rtol=1e-6)
    assert out[0] == out[5] == 0
    np.testing.assert_array_equal(found, array[3:11])


@numba.njit
def work_on_sixteen(array, bound, out, packed):
    a = sixteen(array, np.uint64(0))
    put(out, np.uint64(0), nearest(a))
    put(out, np.uint64(16), inverse_root(absolute(a) + np.float32(1)))
    put(out, np.uint64(32), least(a, bound))
    put(out, np.uint64(48), not_below(a, bound))
    put(out, np.uint64(64), where_below(a, bound, spread(np.float32(7))))
    pack(packed, np.uint64(3), a * a, a, bound)
    return count_below(a, bound), sum_of(a)


def test_sixteen_numbers_are_compared_packed_and_summed():
    array = np.random.default_rng(1).normal(0, 3, 16).astype(np.float32)
    bound, out, packed = np.float32(0.4), np.empty(80, np.float32), np.zeros(30, np.float32)
    count, total = work_on_sixteen(array, bound, out, packed)
    rounded, root, smaller, larger, chosen = out.reshape(5, 16)
    np.testing.assert_array_equal(rounded, np.rint(array))
    np.testing.assert_allclose(root, (np.abs(array) + 1) ** -0.5, rtol=3e-7)  # float32 round-off
    np.testing.assert_array_equal(smaller, np.minimum(array, bound))
    np.testing.assert_array_equal(larger, np.maximum(array, bound))
    np.testing.assert_array_equal(chosen, np.where(array < bound, 7, 0))
    below = array[array < bound]
    assert count == len(below)
    np.testing.assert_array_equal(packed[3 : 3 + count], below * below)
    assert not packed[:3].any() and not packed[3 + count :].any()
    assert total == pytest.approx(array.sum(dtype=np.float64), rel=1e-5)


def test_not_a_number_is_below_nothing():
    out, packed = np.empty(80, np.float32), np.zeros(30, np.float32)
    count, _ = work_on_sixteen(np.full(16, np.nan, np.float32), np.float32(0.4), out, packed)
    assert count == 0 and not packed.any()
    np.testing.assert_array_equal(out[32:64], np.float32(0.4))
    np.testing.assert_array_equal(out[64:], 0)
