import numpy as np

from coca.cosmology.latin_hypercube import latin_hypercube


def test_every_parameter_has_one_value_in_each_stratum():
    ranges = {"Omega_m": (0.1, 0.5), "h": (0.6, 0.8)}
    points = latin_hypercube(ranges, 20, 3)
    for name, (low, high) in ranges.items():
        values = np.array([point[name] for point in points])
        strata = np.floor((values - low) / (high - low) * 20).astype(int)
        assert sorted(strata) == list(range(20))
    assert points == latin_hypercube(ranges, 20, 3) != latin_hypercube(ranges, 20, 4)
