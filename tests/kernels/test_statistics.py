import warnings

import numpy as np
import pytest

from coca.parallel.domain import Grid
from coca.statistics.spectra import density_modes
from tests.statistics.made import L


def test_multipoles_agree_with_abacusutils(domain, conditions):
    """Along z, without velocities; the last shell reaches the Nyquist plane, see test_analysis."""
    from coca.kernels.statistics import binned_multipoles

    abacus = pytest.importorskip("abacusnbody.analysis.power_spectrum")
    one = Grid(L, 32)
    delta_k = density_modes(one, domain.add_lattice(conditions.psi1), one.cells, ordered=False)
    edges = (np.arange(1, 17) - 1e-3) * one.kf
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = abacus.calc_pk_from_deltak(
            delta_k, L, edges, np.array([0.0, 1.0]), poles=np.array([0, 2, 4]), nthread=1
        )
    modes, _, *powers = binned_multipoles(delta_k, one.kf, 2, 0)[:, 1:-1]
    poles = np.asarray(found["binned_poles"])
    for row, l, power in zip(poles, (0, 2, 4), powers, strict=True):
        ours = (2 * l + 1) * L**3 * power / modes
        np.testing.assert_allclose(ours[:-1], row[:-1], rtol=1e-4, atol=1e-4 * poles[0].max())
