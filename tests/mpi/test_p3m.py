"""P3M and N-body steps on all ranks against the same on one."""

import numpy as np
import pytest

from coca.cosmology.linear_power import linear_power
from coca.frames import rest_frame
from coca.gravity.p3m import P3M
from coca.initial_conditions import linear_fields
from coca.integration.integrate import initial_state
from coca.integration.nbody import NBody
from coca.parallel.domain import Domain
from tests.agreement import check_same
from tests.mpi.parts import own

SOFTENING = 0.05
D_START, D_END = 0.3, 0.4


@pytest.fixture(scope="module", autouse=True)
def compiled_pairs(ranks, cosmology):
    """By the first rank, for all."""

    def work():
        small = Domain(16.0, 8)
        force, x = P3M(small, 16, SOFTENING), small.add_lattice(np.zeros((3, 512), np.float32))
        force(x, True)
        conditions = linear_fields.from_seed(small, linear_power(cosmology, "eisenstein_hu"), 1)
        state = initial_state(conditions.lpt_frame(cosmology), rest_frame(512), D_START)
        NBody(small, cosmology, force).step(state, D_END)

    ranks.once(work)


@pytest.fixture(scope="module")
def start(alone, cosmology):
    conditions = linear_fields.from_seed(alone, linear_power(cosmology, "eisenstein_hu"), 7)
    return conditions.lpt_frame(cosmology)


def clustered(alone, start):
    """Where particles would be long after shell crossing, and a tenth of them in a halo that lies
    on the border of slabs."""
    x = alone.add_lattice(start.displacement(1.0))
    rng = np.random.default_rng(3)
    offsets = rng.normal(0, 1.0, (3, x.shape[1] // 10)).astype(np.float32)
    x[:, ::10][:, : offsets.shape[1]] = np.float32(alone.box_size / 2) + offsets
    return x


def test_force(parted, alone, start):
    x = clustered(alone, start)
    mine = own(parted, x)
    g, delta, _ = P3M(parted, 96, SOFTENING)(mine, density=True, out=mine)
    wanted = P3M(alone, 96, SOFTENING)(x, density=True)
    # float32 round-off of sums in another order
    np.testing.assert_allclose(g, own(parted, wanted.g), atol=3e-6 * np.abs(wanted.g).max())
    expected = own(parted, wanted.delta)
    np.testing.assert_allclose(delta, expected, atol=3e-6 * np.abs(wanted.delta).max())


def test_slabs_thinner_than_the_cut(ranks):
    """Pairs reach over more than the next slab."""
    few, few_alone = Domain(24.0, 12, 1, ranks), Domain(24.0, 12, 1)
    x = np.random.default_rng(5).uniform(0, 24, (3, few.particles)).astype(np.float32)
    x[:, ::10] = np.float32(12) + 0.1 * (x[:, ::10] - np.float32(12))  # a clump in the middle
    cut = 5.0  # cells of 2 Mpc/h, beside slabs of 8 and 6
    found = P3M(few, 12, SOFTENING, cut=cut)(own(few, x)).g
    wanted = P3M(few_alone, 12, SOFTENING, cut=cut)(x).g
    np.testing.assert_allclose(found, own(few, wanted), atol=3e-6 * np.abs(wanted).max())


def test_values_travel_to_the_slab_and_home(parted, alone, start):
    x = clustered(alone, start)
    particles = P3M(parted, 96, SOFTENING).gather(own(parted, x))
    back = particles.bring_home(particles.take(own(parted, x)))
    np.testing.assert_array_equal(back, own(parted, x))
    assert parted.sum(int(np.count_nonzero(particles.targets))) == parted.particles


def test_nbody_step(ranks, parted, alone, start, cosmology):
    def stepped(domain):
        state = initial_state(start, rest_frame(alone.particles), D_START)
        state.e, state.w = own(domain, state.e), own(domain, state.w)
        nbody = NBody(domain, cosmology, P3M(domain, 96, SOFTENING))
        for D in (0.5 * (D_START + D_END), D_END):
            nbody.step(state, D)
        return state.e, state.w

    found, wanted = stepped(parted), ranks.once(lambda: stepped(alone))
    # float32 round-off of positions of up to 96 Mpc/h over some ten steps, but for those that have
    # met another particle, or whose rung hangs on round-off
    check_same(found[0], own(parted, wanted[0]), 2e-5, 0.001)
    check_same(found[1], own(parted, wanted[1]), 2e-3, 0.001)
