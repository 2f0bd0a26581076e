import numpy as np
from coca.kernels.constants import CIC

from coca.parallel.particle_exchange import exchange_particles
from coca.parallel.ranks import OneRank


def test_nothing_is_sent_where_there_is_one_rank(domain, conditions):
    """tests/mpi has more of them."""
    ranks, x = OneRank(), domain.add_lattice(conditions.psi1)
    exchange = exchange_particles(ranks, x, 1.0, 64, CIC)
    assert exchange.received.shape == (3, 0)
    assert exchange.bring(np.ones((x.shape[1], 2), np.float32)).shape == (0, 2)
    out = x[0].copy()
    exchange.send_back(np.empty(0, np.float32))
    exchange.return_values(out)
    np.testing.assert_array_equal(out, x[0])
    assert sum(ranks.sent.values()) == 0
