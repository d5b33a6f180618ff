"""Counted n-grams are what the formula of Witten and Bell says, computed with dicts; and shares sum to 1."""
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "milestones" / "05_2017_transformer"))
from ngrams import NGrams, largest_order  # noqa: E402

TEXT = "the cat sat on the mat; the rat that the cat sat on ate the oat"
LETTERS = sorted(set(TEXT) | {"z"})  # one that never occurs
IDS = [LETTERS.index(c) for c in TEXT]


def by_dict(ids, order, vocab_size, context, token):
    "P(token | context) straight from the formula."
    if order == 0:
        return 1 / vocab_size
    shorter = by_dict(ids, order - 1, vocab_size, context[1:], token)
    behind = defaultdict(Counter)
    for start in range(len(ids) - order + 1):
        behind[tuple(ids[start:start + order - 1])][ids[start + order - 1]] += 1
    seen = behind.get(tuple(context))
    if seen is None:
        return shorter
    return (seen[token] + len(seen) * shorter) / (seen.total() + len(seen))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_it_is_the_formula(order):
    counted = NGrams(IDS, order, len(LETTERS))
    other = [LETTERS.index(c) for c in "that z cat ate the zoo"  if c in LETTERS]
    got = counted.probabilities(other)
    for at, token in enumerate(other):
        context = other[max(0, at - order + 1):at]
        expected = by_dict(IDS, len(context) + 1, len(LETTERS), context, token)
        assert got[at] == pytest.approx(expected, rel=1e-12), (at, LETTERS[token])
        assert counted.next_probabilities(other[:at])[token] == pytest.approx(expected, rel=1e-12)
    assert counted.loss(other) == pytest.approx(-np.log(got).mean())
    assert len(set(got.round(6))) > 5


@pytest.mark.parametrize("order", [1, 2, 4, 6])
def test_shares_sum_to_1_behind_anything(order):
    counted = NGrams(IDS, order, len(LETTERS))
    generator = np.random.default_rng(0)
    for length in (0, 1, 2, 5, 9):
        for _ in range(10):
            shares = counted.next_probabilities(generator.integers(0, len(LETTERS), length))
            assert shares.shape == (len(LETTERS),) and shares.sum() == pytest.approx(1) and shares.min() > 0


def test_lower_orders_are_there_too():
    counted = NGrams(IDS, 4, len(LETTERS))
    for order in (1, 2, 3):
        alone = NGrams(IDS, order, len(LETTERS))
        np.testing.assert_array_equal(counted.probabilities(IDS[:30], order), alone.probabilities(IDS[:30]))


def test_longer_contexts_help_where_the_text_repeats_and_short_texts_are_taken():
    counted = NGrams(IDS, 4, len(LETTERS))
    losses = [counted.loss(IDS, order) for order in (1, 2, 3, 4)]
    assert losses == sorted(losses, reverse=True) and losses[3] < 0.7 * losses[0]
    assert counted.probabilities(IDS[:2]).shape == (2,)


def test_it_writes_what_it_has_counted():
    counted = NGrams([0, 1, 2] * 200, 2, 4)
    written = counted.write([0], 300, np.random.default_rng(0))
    assert len(written) == 301
    assert np.mean([(a + 1) % 3 == b for a, b in zip(written, written[1:])]) > 0.95
    assert written == counted.write([0], 300, np.random.default_rng(0))


@pytest.mark.parametrize("vocab_size", [1, 2, 3, 80, 6207, 6208, 6209, 2**21, 2**31, 2**32 - 1])
def test_the_largest_order_is_the_last_that_can_be_counted(vocab_size):
    order = largest_order(vocab_size)
    assert max(vocab_size, 2) ** order < 2**63 <= max(vocab_size, 2) ** (order + 1)
    NGrams(range(70) if vocab_size > 70 else [0] * 70, order, vocab_size)
    with pytest.raises(ValueError, match=f"from 1 to {order}$"):
        NGrams([0] * 70, order + 1, vocab_size)


@pytest.mark.parametrize("ids, order, vocab_size, message", [
    ([], 2, 5, "got 0"), ([0], 2, 5, "at least 2 ids"), ([0, 5], 1, 5, "from 0 to 5"), ([0, -1], 1, 5, "from -1 to 0"),
    ([0, 1], 0, 5, "from 1 to"), ([0, 1], 20, 97, "from 1 to 9")])
def test_what_cannot_be_counted(ids, order, vocab_size, message):
    with pytest.raises(ValueError, match=message):
        NGrams(ids, order, vocab_size)
