import numpy as np
import pytest

from coca.integration.inside_steps import MOST, End, Turn, Way, share_of_separation
from coca.parallel.domain import Domain
from coca.particles import State, hermite

START, STOP = 0.4, 0.7


@pytest.fixture(scope="module")
def domain():
    return Domain(32.0, 16, 1)


@pytest.fixture(scope="module")
def ends(domain):
    """Particles at two ends, whose separations from where they go on know nothing of each other."""
    rng = np.random.default_rng(1)

    def arrays(scale):
        return (scale * rng.normal(size=(2, 3, domain.particles))).astype(np.float32)

    def end(D):
        means, apart = arrays(1.0), arrays(0.3)
        return End(State(*means, D, D), State(*(means + apart), D, D))

    return end(START), end(STOP)


def separation(domain, ends, D):
    """What is seen at D less where particles go on; velocities go on straight."""
    first, last = (end.goes_on for end in ends)
    t = (D - START) / (STOP - START)
    mean = hermite(first, last, D)[0], (1 - t) * first.w + t * last.w
    return np.array(Way(domain, *ends).at(D)) - mean


def turn(correlation, last=1.0):
    mixed = correlation * last
    return Turn.of(np.array([[1.0, mixed], [mixed, last**2]]))


@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.7, 1.0])
def test_a_turn_leads_from_one_separation_to_the_other(correlation):
    found = turn(correlation, 0.4)
    np.testing.assert_allclose(found.shares(0.0), [1, 0], atol=1e-12)
    np.testing.assert_allclose(found.shares(1.0), [0, 1], atol=1e-12)
    for t in (0.0, 0.3, 1.0):
        rates = (found.shares(t + 1e-6) - found.shares(t - 1e-6)) / 2e-6
        np.testing.assert_allclose(found.slopes(t), rates, atol=1e-6)


@pytest.mark.parametrize("correlation", [-1.0, -0.9, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("last", [0.1, 1.0, 3.0])
def test_sizes_change_in_proportion_to_time(correlation, last):
    """Opposite separations too, and those of other sizes."""
    for t in (0.2, 0.5, 0.9):
        a, b = turn(correlation, last).shares(t)
        correlation_ = np.clip(correlation, -1 + 1e-6, 1 - 1e-6)
        square = a**2 + (b * last) ** 2 + 2 * a * b * last * correlation_
        assert np.sqrt(square) == pytest.approx(1 - t + t * last, rel=1e-6)


def test_nothing_turns_into_something_in_proportion_to_time(domain, ends):
    assert Turn.of(np.array([[0.0, 0.0], [0.0, 2.0]])) is None
    start, stop = End(ends[0].goes_on, ends[0].goes_on), ends[1]
    e, w = separation(domain, (start, stop), START + 0.25 * (STOP - START))
    np.testing.assert_allclose(e, 0.25 * (stop.seen.e - stop.goes_on.e), atol=1e-5)
    apart = stop.seen.w - stop.goes_on.w
    share = np.sum(w * apart) / np.sum(apart * apart)
    np.testing.assert_allclose(w, share * apart, atol=1e-5)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_separations_keep_their_size(domain, ends, part):
    """Half-way along a straight line their squares would be halved."""
    found = separation(domain, ends, START + part * (STOP - START))
    assert np.mean(np.square(found[0])) == pytest.approx(0.09, rel=0.05)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_speeds_change_in_proportion_to_time(domain, ends, part):
    """Of all that is seen: of means that differ straight lines lose a part."""
    first, last = ends
    rng = np.random.default_rng(2)
    other = first.goes_on.w + 0.5 * rng.normal(size=first.goes_on.w.shape).astype(np.float32)
    goes_on = State(last.goes_on.e, other, STOP, STOP)
    seen = State(last.seen.e, 1.2 * (other + last.seen.w - last.goes_on.w), STOP, STOP)
    w = Way(domain, first, End(goes_on, seen)).at(START + part * (STOP - START))[1]
    at_ends = [np.sqrt(np.mean(np.square(x))) for x in (first.seen.w, seen.w)]
    wanted = (1 - part) * at_ends[0] + part * at_ends[1]
    assert np.sqrt(np.mean(np.square(w))) == pytest.approx(wanted, rel=1e-4)


def test_share_of_a_separation_is_bounded():
    """Where means at both ends know nothing of each other, and separations are small."""
    products = np.diag([1.0, 1.0, 1e-4, 1e-4])
    half = np.array([0.5, 0.5])
    assert share_of_separation(products, half, half) == MOST
    products[2:, 2:] = 0.0
    assert share_of_separation(products, half, half) == 1.0


def test_ends_are_where_particles_are_seen(domain, ends):
    for end, D in zip(ends, (START, STOP), strict=True):
        found = Way(domain, *ends).at(D)
        np.testing.assert_allclose(found, [end.seen.e, end.seen.w], atol=1e-5)


def test_the_same_separation_stays(domain, ends):
    """One that is a fifth larger at the end grows in proportion to time."""
    first, last = ends
    apart = np.array([first.seen.e - first.goes_on.e, first.seen.w - first.goes_on.w])
    grown = np.array([last.goes_on.e, last.goes_on.w]) + np.float32(1.2) * apart
    alike = first, End(last.goes_on, State(*grown, STOP, STOP))
    found = separation(domain, alike, 0.5 * (START + STOP))
    np.testing.assert_allclose(found[0], 1.1 * apart[0], atol=2e-4)


def test_where_nothing_is_apart_particles_go_on_a_cubic(domain, ends):
    together = tuple(End(end.goes_on, end.goes_on) for end in ends)
    wanted = hermite(*(end.goes_on for end in ends), 0.5)
    np.testing.assert_allclose(Way(domain, *together).at(0.5), wanted, atol=1e-6)


def test_slopes_are_those_of_the_way(domain, ends):
    h = 0.002 * (STOP - START)
    found = Way(domain, *ends).slopes()
    for slope, first in zip(found, (START, STOP - h), strict=True):
        near = [Way(domain, *ends).at(D)[0] for D in (first, first + h)]
        np.testing.assert_allclose(slope, (near[1] - near[0]) / h, atol=0.02 * np.abs(slope).max())


def test_the_cubic_with_these_slopes_is_the_way(domain, ends):
    """A light cone follows it: to a thirtieth of the separations."""
    way = [
        State(end.seen.e, slope, D, D)
        for end, slope, D in zip(ends, Way(domain, *ends).slopes(), (START, STOP), strict=True)
    ]
    for D in (0.48, 0.55, 0.62):
        off = hermite(*way, D)[0] - Way(domain, *ends).at(D)[0]
        assert np.sqrt(np.mean(np.square(off))) < 0.3 / 30
