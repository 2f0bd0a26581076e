import numpy as np
import pytest

from coca.initial_conditions.gaussian_modes import GENERATORS
from coca.parallel.domain import Domain

pytestmark = pytest.mark.parametrize("draw", GENERATORS.values(), ids=GENERATORS)


def test_modes_do_not_depend_on_resolution(draw):
    coarse = draw(Domain(50.0, 16), 5)
    fine = draw(Domain(50.0, 32), 5)
    low = np.r_[0:8, -7:0]
    np.testing.assert_array_equal(
        coarse[np.ix_(low, low, range(8))], fine[np.ix_(low, low, range(8))]
    )


def test_modes_are_white_gaussian_and_real(domain, draw):
    n = domain.n_side
    modes = draw(domain, 8)
    field = domain.transform(n).backward(modes.copy())
    # a Hermitian array survives the round trip through the real field
    again = domain.transform(n).forward(field) / n**3
    np.testing.assert_allclose(again, modes, atol=1e-5)
    z = modes[:, :, 1 : n // 2]
    z = z[np.abs(z) > 0]
    # |z|^2 is exponential with mean 1; its mean over N modes scatters by 1/sqrt(N)
    assert np.mean(np.abs(z) ** 2) == pytest.approx(1.0, abs=5 / np.sqrt(z.size))
    assert np.mean(np.abs(z) ** 4) == pytest.approx(2.0, abs=25 / np.sqrt(z.size))


def test_seeds_differ_and_repeat(domain, draw):
    a, b = draw(domain, 1), draw(domain, 2)
    np.testing.assert_array_equal(a, draw(domain, 1))
    correlation = np.vdot(a, b).real / np.vdot(a, a).real
    assert abs(correlation) < 5 / np.sqrt(a.size)


def test_fixed_and_paired(domain, draw):
    free = draw(domain, 4)
    fixed = draw(domain, 4, fixed_amplitude=True)
    pair = draw(domain, 4, fixed_amplitude=True, paired=True)
    drawn = np.abs(free) > 0
    np.testing.assert_allclose(np.abs(fixed[drawn]), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.angle(fixed[drawn]), np.angle(free[drawn]), atol=1e-5)
    np.testing.assert_array_equal(pair, -fixed)
