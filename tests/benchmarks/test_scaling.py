"""The formula of many ranks: its link is found again, its limits are right, and a slow link is as slow as it says."""
import pytest

from benchmarks.link import Link, fitted, step
from benchmarks.scaling import RANKS, draw, simulated, table

LINK = Link(1e-4, 1e8)


@pytest.mark.parametrize("ranks", [2, 8])
def test_a_link_is_found_again(ranks):
    sizes = [100, 10_000, 1_000_000]
    found = fitted(sizes, [LINK.all_reduce(size, ranks) for size in sizes], ranks)
    assert found.latency == pytest.approx(LINK.latency) and found.bandwidth == pytest.approx(LINK.bandwidth)


def test_a_ring_worked_by_hand():
    assert LINK.all_reduce(4e6, 4) == pytest.approx(6 * (1e-4 + 1e6 / 1e8))
    assert LINK.exchange(4e6, 4) == pytest.approx(12 * (1e-4 + 1e6 / 1e8))


def test_what_shows_of_the_messages():
    assert step(1.0, 10**6, LINK, 1).shown == 0, "one rank sends nothing"
    one_bucket = step(1.0, 1000, LINK, 2)
    assert one_bucket.shown == pytest.approx(LINK.all_reduce(4000, 2)), "a single bucket begins when backward ends"
    many = step(10.0, 10**7, LINK, 2)
    assert many.shown == pytest.approx(LINK.all_reduce(4e7 / 38, 2)), "of many only the last shows"
    slow = step(0.3, 10**7, LINK, 2)
    assert slow.shown == pytest.approx(38 * LINK.all_reduce(4e7 / 38, 2) - 0.2 * 37 / 38), "or what is longer"
    assert slow.shared > slow.shown


@pytest.mark.parametrize("ranks", [4, 8])
def test_a_simulated_link_is_at_least_as_slow(ranks):
    assert simulated(ranks, 40_000, LINK) >= LINK.all_reduce(40_000, ranks)


def test_a_table_and_its_picture(tmp_path):
    lines = table(1e10, LINK)
    for line in lines.values():
        assert line[0] == 1 and len(line) == len(RANKS) and all(a >= b > 0 for a, b in zip(line, line[1:]))
    draw({"one": lines, "another": lines}, tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 1000
