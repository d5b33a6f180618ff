"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

import tinytorch
from tinytorch import nn
from tinytorch.speculative import Reader, accept, leftover, speculate
from tinytorch.training import evaluating


class Numbers:
    "A generator whose random numbers are given."
    def __init__(self, *numbers):
        self.numbers = list(numbers)

    def random(self, shape=None):
        number = self.numbers.pop(0)
        return number if shape is None else np.full(shape, number)


def test_what_is_left_over():
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.2, 0.3, 0.1, 0.4])
    expect("leftover", leftover(p, q), [0.75, 0, 0.25, 0],
           {"not divided by the sum": [0.3, 0, 0.1, 0], "what the draft has too much": [0, 0, 0, 1.0],
            "negative probabilities: cut them off at 0": (p - q) / 0.4})
    with likely("where nothing is left, return p"):
        nothing = leftover(p, p)
    expect("leftover of equal ones", nothing, p, {"where nothing is left, return p": np.full(4, np.nan)})


P, Q = np.array([[0.1, 0.9], [0.5, 0.5]]), np.array([[0.5, 0.5]])


def test_one_guess():
    assert accept([0], Q, P, Numbers(0.19, 0.2)) == [0, 0], "kept, for 0.19 is below 0.1 / 0.5; then one for free"
    got = accept([0], Q, P, Numbers(0.21, 0.0))
    assert got == [1], ("0.21 is not below p / q = 0.1 / 0.5: refused, and drawn from what is left over, [0, 1]" +
                        (": it was drawn from p itself" if got == [0] else f", got {got}"))
    got = accept([1], Q, P, Numbers(0.99, 0.2))
    assert got[0] == 1 and len(got) == 2, f"p / q is above 1: always kept, got {got}"
    got = accept([0], np.array([[0.5, 0.5]]), np.array([[0.0, 1.0], [0.5, 0.5]]), Numbers(0.0, 0.5))
    assert got == [1], f"what the target never says must not be kept, not even for u = 0: got {got}"


def test_several_guesses():
    p, q = np.eye(4)[[1, 2, 3]], np.full((2, 4), 0.25)
    some = np.random.default_rng(0)
    assert accept([1, 2], q, p, some) == [1, 2, 3], "both are kept, and the last row gives one more for free"
    got = accept([0, 2], q, p, some)
    assert got == [1], f"what was guessed behind a refused guess must go: got {got}"
    assert accept([1, 0], q, p, some) == [1, 2], "the second is refused: the first, and one drawn in its place"
    assert accept([], np.zeros((0, 4)), p[2:], some) == [3], "without a guess it is an ordinary draw"


def test_a_step_keeps_the_right_part_of_the_text():
    tinytorch.manual_seed(0)
    model = nn.GPT(nn.GPTConfig(vocab_size=5, context=16, d_model=8))
    with evaluating(model):
        target, draft, ids = Reader(model), Reader(model), [1, 2, 3]
        tokens = speculate(target, draft, ids, 3, np.random.default_rng(0))
        assert len(tokens) == 4, f"a draft that is the target is always right: 3 guesses and one more, got {tokens}"
        assert ids == [1, 2, 3], "the list that was given must stay as it was"
        held = target.cache.length
        assert held <= 6, f"the cache may hold the text but not the token that was drawn last: at most 6, got {held}"
        other = nn.GPT(nn.GPTConfig(vocab_size=5, context=16, d_model=8))
        other.head.weight.data[...] = 0
        draft.model = other.eval()
        for seed in range(20):
            for reader in (target, draft):
                reader.keep(0)
            tokens = speculate(target, draft, ids, 3, np.random.default_rng(seed))
            most = len(ids) + len(tokens) - 1
            assert max(target.cache.length, draft.cache.length) <= most, "refused guesses must leave both caches"
