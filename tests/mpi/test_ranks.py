"""What ranks say to one another."""

import numpy as np
import pytest

from coca.errors import ConfigError, FileError


def test_the_same_sum_on_every_rank(ranks):
    own = np.random.default_rng(ranks.rank).normal(size=7)
    everyone = sum(np.random.default_rng(r).normal(size=7) for r in range(ranks.size))
    total = ranks.sum(own)
    np.testing.assert_allclose(total, everyone, rtol=1e-14)
    assert all(np.array_equal(other, total) for other in ranks.gather(total))
    assert ranks.sum(1.5) == 1.5 * ranks.size and type(ranks.sum(1)) is int


def test_values_from_everyone_and_from_the_first(ranks):
    assert ranks.gather(str(ranks.rank)) == [str(r) for r in range(ranks.size)]
    assert ranks.broadcast({"rank": ranks.rank}) == {"rank": 0}


@pytest.mark.parametrize("hop", [1, -1, 2])
def test_shift_takes_from_behind(ranks, hop):
    found = ranks.shift(np.full(3, ranks.rank), hop, "test")
    np.testing.assert_array_equal(found, (ranks.rank - hop) % ranks.size)


@pytest.mark.parametrize(("planes", "below", "above"), [(2, 1, 2), (1, 3, 3), (3, 0, 4)])
def test_edges_are_the_periodic_neighbours(ranks, planes, below, above):
    """Also where they reach beyond the next rank, and around the whole period."""
    total = planes * ranks.size
    own = np.arange(planes)[:, None] + planes * ranks.rank + np.zeros((1, 4))
    before, after = ranks.ghost_planes(own, below, above, "test")
    first, last = own[0, 0], own[-1, 0]
    wanted_before = np.arange(first - below, first) % total
    wanted_after = np.arange(last + 1, last + 1 + above) % total
    np.testing.assert_array_equal(before, np.repeat(wanted_before[:, None], 4, axis=1))
    np.testing.assert_array_equal(after, np.repeat(wanted_after[:, None], 4, axis=1))


def test_rows_go_where_they_are_sent(ranks):
    """Rank r sends s + 1 rows to rank s, and gets r + 1 from each."""
    counts = np.arange(1, ranks.size + 1)
    rows = np.repeat(np.arange(ranks.size), counts)[:, None] * 100.0 + ranks.rank
    arrivals = ranks.exchange(rows, counts, None, "test")
    found = arrivals.wait()
    wanted = np.repeat(np.arange(ranks.size), ranks.rank + 1) + 100.0 * ranks.rank
    np.testing.assert_array_equal(found[:, 0], wanted)
    np.testing.assert_array_equal(arrivals.counts, ranks.rank + 1)
    back = ranks.exchange(found, arrivals.counts, counts, "test").wait()
    np.testing.assert_array_equal(back, rows)


def test_partners_come_in_pairs(ranks):
    order = ranks.gather(list(ranks.partners()))
    assert all(sorted([r, *met]) == list(range(ranks.size)) for r, met in enumerate(order))
    for met in zip(*(_turns(r, ranks.size) for r in range(ranks.size)), strict=True):
        assert all(met[partner] == r for r, partner in enumerate(met))
    out = np.empty(2)
    for partner in ranks.partners():
        ranks.swap(np.full(2, 10.0 * ranks.rank + partner), partner, out, "test")
        np.testing.assert_array_equal(out, 10.0 * partner + ranks.rank)


def _turns(rank, size):
    return [(turn - rank) % size for turn in range(size)]


def test_an_error_on_one_rank_is_raised_on_all(ranks):
    with pytest.raises(FileError, match="the last rank's"), ranks.together(FileError, OSError):
        if ranks.rank == ranks.size - 1:
            raise FileError("the last rank's")
    with ranks.together(FileError):
        pass


def test_work_done_once(ranks):
    done = []
    assert ranks.once(lambda: done.append(1) or "result") == "result"
    assert ranks.sum(len(done)) == 1

    def fail():
        raise ConfigError("of the first rank")

    with pytest.raises(ConfigError, match="of the first rank"):
        ranks.once(fail)


def test_groups_of_consecutive_ranks(ranks):
    for groups in (g for g in range(1, ranks.size + 1) if ranks.size % g == 0):
        group = ranks.split(groups)
        assert group.size == ranks.size // groups
        first = ranks.rank // group.size * group.size
        assert group.gather(ranks.rank) == list(range(first, first + group.size))


def test_bytes_are_counted(ranks):
    before = ranks.sent["counted"]
    ranks.shift(np.zeros(5), 1, "counted")
    assert ranks.sent["counted"] - before == (40 if ranks.size > 1 else 0)


def test_a_node_shares_its_cores(ranks):
    shares = ranks.gather(ranks.node)
    assert sorted(node.rank for node in shares) == list(range(ranks.size))
    assert all(node.ranks == ranks.size for node in shares)
    total = sum(node.cores for node in shares)
    assert total == pytest.approx(round(total)) and total >= 1
