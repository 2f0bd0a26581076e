import numpy as np
import pytest

from coca.integration.linear_density import LinearDensity, linear_density, mean_linear_density


def test_rms_and_slope_are_those_of_the_density(domain, conditions):
    fft = domain.transform(domain.n_side)
    found = linear_density(domain, conditions.delta_k, 0.5)
    density = fft.backward(conditions.delta_k.copy())
    assert found.log_rms == pytest.approx(np.log(0.5 * density.std()), abs=1e-5)
    long = conditions.delta_k.copy()
    long[:, :, domain.n_side // 8 :] = 0.0
    share = np.log(fft.backward(long).std() / density.std())
    assert found.slope == pytest.approx(share, abs=1e-5) and share < -0.05


def test_a_box_without_structure_has_a_density(domain, conditions):
    assert linear_density(domain, 0.0 * conditions.delta_k, 1.0) == LinearDensity(
        np.log(1e-6), 0.0, 1.0
    )


def test_what_is_expected_is_the_mean_of_boxes(domain, power, conditions):
    """In which 20 modes of the largest wavelengths scatter by a part in ten."""
    found, wanted = (
        linear_density(domain, conditions.delta_k, 0.5),
        mean_linear_density(power, domain.cell, 0.5),
    )
    assert wanted.log_rms == pytest.approx(found.log_rms, abs=0.05)
    assert wanted.slope == pytest.approx(found.slope, abs=0.05)
    assert wanted.log_rms < mean_linear_density(power, domain.cell / 2, 0.5).log_rms
