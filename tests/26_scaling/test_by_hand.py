"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
import pytest
from by_hand import expect, likely

from tinytorch.scaling import Trial, fit, minimum, multiplied, optima, power_law, resampled, tokens_for


def test_counting():
    expect("weights", multiplied(2, 8, 10), 1616, {"the head is forgotten": 1536, "one layer only": 848})
    expect("tokens for a million FLOPs", tokens_for(1e6, 2, 8, 10, 16), 78,
           {"forward only: 2N, where it should be 6N": 234, "attention is forgotten": 103, "rounded up": 79})
    assert type(tokens_for(1e6, 2, 8, 10, 16)) is int, "a whole number of tokens"


def test_the_minimum():
    found = minimum([1, np.e, np.e ** 2], [3, 2, 3])
    expect("the best size", found[0], np.e,
           {"the logarithm of the size": 1.0, "over sizes, not over their logarithms": minimum_over_sizes()})
    expect("the loss there", found[1], 2, {"the loss at x = 0": 3})
    for losses, what in [([2, 3, 2], "a parabola that opens downwards has no minimum"),
                         ([1, 2, 4], "the minimum lies below the smallest size")]:
        with pytest.raises(ValueError):
            raise_unless_none(minimum, [10, 100, 1000], losses, what)
    with pytest.raises(ValueError):
        raise_unless_none(minimum, [10, 10, 20, 20], [1, 2, 2, 1], "two different sizes are too few for a parabola")


def raise_unless_none(function, sizes, losses, what):
    found = function(sizes, losses)
    raise AssertionError(f"{what}: expected a ValueError, got {found}")


def minimum_over_sizes():
    a, b, _ = np.polyfit([1, np.e, np.e ** 2], [3, 2, 3], 2)
    return -b / (2 * a)


def test_a_power_law():
    k, a = power_law([1, 100, 10000], [5, 50, 500])
    expect("the exponent", a, 0.5, {"k and a have changed places": 5, "x and y have changed places": 2})
    expect("the factor", k, 5, {"its logarithm": np.log(5)})


def parabola(budget, best, lowest):
    return [Trial(budget, size, budget / size, lowest + 0.1 * np.log(size / best) ** 2) for size in (3, 10, 40, 200)]


def test_the_law():
    trials = parabola(100.0, 100, 2.0) + parabola(1.0, 10, 3.0)
    found = optima(trials)
    assert list(found) == [1.0, 100.0], f"one minimum for each budget, in ascending order: got {list(found)}"
    expect("the best size at 1", found[1.0][0], 10)
    expect("its tokens", found[1.0][1], 0.1, {"those of the size that was nearest": 1 / 10 + 1, "a mean": np.mean(
        [1 / size for size in (3, 10, 40, 200)])})
    law = fit(trials)
    expect("size", law.size, (10, 0.5))
    expect("loss at 100", law.at(100.0)[2], 2.0)
    with pytest.raises(ValueError):
        raise_unless_none(lambda *_: fit(parabola(1.0, 10, 3.0)), 0, 0, "one budget makes no line")


def test_drawn_with_replacement():
    trials = [Trial(1.0, n, n, n) for n in range(5)] + [Trial(2.0, n, n, n) for n in range(7)]
    generator = np.random.default_rng(0)
    draws = [resampled(trials, generator) for _ in range(50)]
    assert {sum(one.flops == 1.0 for one in draw) for draw in draws} == {5}, "as many for each budget as it has"
    assert {len(draw) for draw in draws} == {12}, "as many as there are"
    assert min(len(set(draw)) for draw in draws) < 12, "with replacement some come twice, and some not at all"
    three = [Trial(1.0, n, n, n) for n in range(3)]
    with likely("a draw with fewer than three sizes is drawn again"):
        assert all(len({one.size for one in resampled(three, generator)}) == 3 for _ in range(20)), (
            "a draw with fewer than three sizes is drawn again")
