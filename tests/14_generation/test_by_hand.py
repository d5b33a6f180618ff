"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.generation import (
    LayerCache,
    distinct_n,
    draw,
    generate,
    keep_top_k,
    keep_top_p,
    next_logits,
    penalize_repeats,
    probabilities,
    repeated_ngram_rate,
)
from tinytorch.nn import Module

LOGITS = np.log([[1.0, 2.0, 5.0]])


def test_temperature():
    expect(
        "probabilities at temperature 0.5",
        probabilities(LOGITS, 0.5),
        np.array([[1, 4, 25]]) / 30,
        {
            "divide by the temperature, do not multiply": np.sqrt([[1, 2, 5]]) / np.sqrt([1, 2, 5]).sum(),
            "the temperature is ignored": np.array([[1, 2, 5]]) / 8,
        },
    )
    with np.errstate(all="ignore"):
        got = probabilities(np.array([[1000.0, 1000.0]]), 0.1)
    expect(
        "probabilities of large logits",
        got,
        [[0.5, 0.5]],
        {"exp overflows: subtract the largest logit before dividing": [[np.nan, np.nan]]},
    )


class Dice:
    "Draws these numbers."

    def __init__(self, *numbers):
        self.numbers = numbers

    def random(self, shape):
        return np.array(self.numbers).reshape(shape)


def test_drawing():
    drawn = draw(np.tile([0.5, 0.25, 0.25], (4, 1)), Dice(0.0, 0.4, 0.6, 0.9))
    expect(
        "draw 0.0, 0.4, 0.6, 0.9",
        drawn,
        [0, 0, 1, 2],
        {"count the running sums that are not above u": [3, 3, 2, 1], "one piece too far": [1, 1, 2, 3]},
    )


def test_the_tail_is_cut():
    with likely("the k-th largest is a column (B, 1), so that it compares with each logit of its row"):
        kept = np.isfinite(keep_top_k(LOGITS, 2))
    expect(
        "keep_top_k, 2 of 3",
        kept,
        [[False, True, True]],
        {
            "one too few: the k-th largest is kept as well": [[False, False, True]],
            "the smallest were kept": [[True, True, False]],
        },
    )
    expect(
        "keep_top_p 0.7 of 1/8, 2/8, 5/8",
        np.isfinite(keep_top_p(LOGITS, 0.7)),
        [[False, True, True]],
        {"the token that crosses p is kept as well: look at what stands before it": [[False, False, True]]},
    )


def test_a_price_for_repeating():
    logits = np.array([[4.0, -4.0, 1.0]])
    expect(
        "penalize_repeats by 2 of tokens 0 and 1",
        penalize_repeats(logits, np.array([[0, 1]]), 2.0),
        [[2, -8, 1]],
        {
            "negative logits grow when they are divided: multiply them": [[2, -2, 1]],
            "tokens that have not been said pay as well": [[2, -8, 0.5]],
            "positive ones are divided": [[8, -8, 1]],
        },
    )
    assert logits[0, 0] == 4, "the logits that came in were changed"


def test_the_cache_grows_to_the_right():
    cache = LayerCache(context=4)
    for numbers in ([1.0, 2.0], [3.0]):
        key = np.array(numbers).reshape(1, 1, -1, 1)
        with likely("append returns two views (B, H, length, head_dim)"):
            keys, values = cache.append(key, -key)
    expect(
        "keys after 1, 2 and 3",
        keys.ravel(),
        [1, 2, 3],
        {
            "the newest go behind those that are there, not to the front": [3, 2, keys.ravel()[-1]],
            "only the newest were returned": [3],
        },
    )
    expect("values after 1, 2 and 3", values.ravel(), [-1, -2, -3], {"the values are the keys": [1, 2, 3]})
    assert cache.length == 3, f"it holds 3 tokens, length says {cache.length}: move it"


class Counting(Module):
    "The next token is the last one plus one; notes what it reads."

    vocab_size, context = 7, 4

    def __init__(self):
        self.read = []

    def forward(self, ids, cache=None, last_only=False):
        self.read.append(ids.tolist())
        if cache is not None:
            assert cache.length + ids.shape[1] <= self.context, (
                f"{ids.shape[1]} tokens behind {cache.length}: reset the cache once the text is longer than the context"
            )
            cache.length += ids.shape[1]
        return Tensor(10.0 * np.eye(7)[(ids[:, -1:] if last_only else ids) + 1])


class Room:
    length = 0

    def reset(self):
        self.length = 0


def test_what_is_read_with_a_cache():
    model, cache, text = Counting(), Room(), np.array([[0, 1, 2, 3, 4, 5]])
    for t in (2, 3, 5, 6):
        with likely("read only what the cache does not hold; reset it once the text is longer than the context"):
            expect("next_logits", next_logits(model, text[:, :t], cache).argmax(-1), [t])
    expected = [[[0, 1]], [[2]], [[1, 2, 3, 4]], [[2, 3, 4, 5]]]
    assert model.read == expected, f"read only what is new, past the context all: expected {expected}, got {model.read}"
    model.read.clear()
    next_logits(model, text)
    assert model.read == [[[2, 3, 4, 5]]], f"without a cache the last `context` tokens are read, got {model.read}"


class Around(Module):
    "The next token is the last one plus one, and 0 behind 6."

    vocab_size, context = 7, 4

    def forward(self, ids):
        return Tensor(10.0 * np.eye(7)[(ids + 1) % 7])


def test_texts_stop_one_by_one():
    expect(
        "generate from 1, 3 and 5, which stop at 4 and 0",
        generate(Around(), [[1], [3], [5]], 20, temperature=0, stop_tokens=[4, 0]),
        [[1, 2, 3, 4], [3, 4, 4, 4], [5, 6, 0, 0]],
        {
            "a text that has stopped repeats its last token": [[1, 2, 3, 4], [3, 4, 5, 6], [5, 6, 0, 1]],
        },
    )
    expect("generate 3 from 4 and 5", generate(Around(), [4, 5], 3, temperature=0), [4, 5, 6, 0, 1])


def test_distinct_pairs():
    expect(
        "distinct_n of ababa, n=2",
        [distinct_n("ababa", 2)],
        [0.5],
        {
            "runs of n neighbours, not single tokens": [0.4],
            "divide by the number of n-grams": [0.4],
            "that is the share of repeated ones": [0.0],
        },
    )
    assert distinct_n([1], 2) == 1.0, "where there is no n-gram, nothing is repeated: 1.0"
    expect("repeated_ngram_rate of ababab", [repeated_ngram_rate("ababab", 2)], [0.6], {"that is distinct_n": [0.4]})
