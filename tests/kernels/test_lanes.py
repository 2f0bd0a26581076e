import numba
import numpy as np
from coca.kernels.lanes import each, eight, four, put, sixteen


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
def sixteen_times(array, factor, out):
    put(out, np.uint64(2), sixteen(array, np.uint64(1)) * factor)


def test_sixteen_numbers_at_a_time():
    array, out = np.arange(20, dtype=np.float32) ** 1.5, np.zeros(20, np.float32)
    sixteen_times(array, np.float32(0.3), out)
    np.testing.assert_array_equal(out[2:18], array[1:17] * np.float32(0.3))
    assert not out[[0, 1, 18, 19]].any()
