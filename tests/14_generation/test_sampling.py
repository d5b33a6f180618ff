"""From logits to a token: each step alone, against its definition and, where there is one, PyTorch's."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tinytorch.generation import (
    choose,
    distinct_n,
    draw,
    keep_top_k,
    keep_top_p,
    penalize_repeats,
    probabilities,
    repeated_ngram_rate,
)

LOGITS = np.random.default_rng(0).standard_normal((5, 11)).astype(np.float32) * 3
some_logits = arrays(np.float32, (3, 7), elements=st.floats(-50, 50, width=32))


# ---- probabilities


@pytest.mark.parametrize("temperature", [0.1, 1.0, 3.0])
def test_probabilities_as_pytorch(torch, temperature):
    expected = torch.softmax(torch.tensor(LOGITS, dtype=torch.float64) / temperature, -1).numpy()
    np.testing.assert_allclose(probabilities(LOGITS, temperature), expected, atol=1e-12)


@pytest.mark.parametrize("temperature", [1e-300, 1e-5, 1e5])
def test_extreme_temperatures(temperature):
    shares = probabilities(LOGITS * 1000, temperature)
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(-1), 1)
    if temperature < 1:
        np.testing.assert_array_equal(shares.argmax(-1), LOGITS.argmax(-1))
        np.testing.assert_allclose(shares.max(-1), 1)


def test_what_is_cut_has_probability_zero():
    shares = probabilities(np.array([[0.0, -np.inf, 1.0]]))
    assert shares[0, 1] == 0 and np.isfinite(shares).all()


# ---- cutting


@settings(max_examples=200)
@given(some_logits, st.integers(1, 9))
def test_top_k_keeps_the_k_largest_and_ties(logits, k):
    kept = np.isfinite(keep_top_k(logits, k))
    for row, chosen in zip(logits, kept):
        smallest = np.sort(row)[::-1][min(k, len(row)) - 1]
        np.testing.assert_array_equal(chosen, row >= smallest)
    np.testing.assert_array_equal(keep_top_k(logits, k)[kept], logits[kept])


@settings(max_examples=200)
@given(some_logits, st.floats(0.01, 1.0), st.sampled_from([0.5, 1.0, 2.0]))
def test_top_p_keeps_the_fewest_that_reach_p(logits, p, temperature):
    kept, shares = np.isfinite(keep_top_p(logits, p, temperature)), probabilities(logits, temperature)
    for chosen, share in zip(kept, shares):
        assert chosen.any() and share[chosen].sum() >= p - 1e-9
        assert share[chosen].min() >= share[~chosen].max(initial=0)
        assert share[chosen].sum() - share[chosen].min() < p + 1e-9  # one less would not do


def test_top_p_of_one_keeps_all_and_a_tiny_one_the_likeliest():
    np.testing.assert_array_equal(keep_top_p(LOGITS, 1.0), LOGITS)
    kept = np.isfinite(keep_top_p(LOGITS, 1e-9))
    np.testing.assert_array_equal(kept, LOGITS == LOGITS.max(-1, keepdims=True))


def test_equal_logits_are_cut_to_the_number_needed():
    assert np.isfinite(keep_top_p(np.zeros((1, 10)), 0.3)).sum() == 3


def test_the_steps_leave_their_input_as_it_was():
    before = LOGITS.copy()
    keep_top_k(LOGITS, 3), keep_top_p(LOGITS, 0.5), penalize_repeats(LOGITS, np.zeros((5, 2), int), 2.0)
    choose(LOGITS, np.zeros((5, 2), int), np.random.default_rng(0), 0.7, 3, 0.5, 1.3)
    np.testing.assert_array_equal(LOGITS, before)


# ---- repetition


def test_the_penalty_touches_seen_tokens_only():
    logits = np.array([[3.0, -3.0, 1.0, 0.0]])
    np.testing.assert_array_equal(penalize_repeats(logits, np.array([[0, 1, 1, 3]]), 1.5), [[2.0, -4.5, 1.0, 0.0]])
    np.testing.assert_array_equal(penalize_repeats(logits, np.array([[2]]), 1.0), logits)


def test_rows_are_penalized_for_their_own_tokens():
    after = penalize_repeats(np.ones((2, 3)), np.array([[0, 0], [2, 1]]), 2.0)
    np.testing.assert_array_equal(after, [[0.5, 1, 1], [1, 0.5, 0.5]])


# ---- drawing


def test_draws_have_the_frequencies_of_the_probabilities():
    shares = probabilities(LOGITS[:1])
    drawn = draw(np.tile(shares, (100_000, 1)), np.random.default_rng(1))
    frequencies = np.bincount(drawn, minlength=11) / 100_000
    assert np.abs(frequencies - shares[0]).max() < 5 * np.sqrt(0.25 / 100_000)


@settings(max_examples=200)
@given(arrays(np.float64, (4, 6), elements=st.floats(0, 1)), st.integers(0, 100))
def test_what_has_no_probability_is_never_drawn(shares, seed):
    shares[:, 3] += 0.1
    drawn = draw(shares / shares.sum(-1, keepdims=True), np.random.default_rng(seed))
    assert (shares[np.arange(4), drawn] > 0).all()


@pytest.mark.parametrize("u, expected", [(0.0, 1), (0.4999, 1), (0.5, 3), (1 - 2**-53, 3)])
def test_the_ends_of_the_line(u, expected):
    class Fixed:
        def random(self, shape):
            return np.full(shape, u)
    assert draw(np.array([[0.0, 0.5, 0.0, 0.5, 0.0]]), Fixed())[0] == expected


# ---- together


def test_greedy_is_argmax_whatever_the_generator():
    for seed in range(3):
        chosen = choose(LOGITS, np.zeros((5, 1), int), np.random.default_rng(seed), temperature=0)
        np.testing.assert_array_equal(chosen, LOGITS.argmax(-1))


def test_only_kept_tokens_are_chosen():
    ids, generator = np.zeros((5, 1), int), np.random.default_rng(0)
    allowed = np.isfinite(keep_top_k(LOGITS, 2))
    assert all(allowed[np.arange(5), choose(LOGITS, ids, generator, 2.0, top_k=2)].all() for _ in range(50))
    allowed = np.isfinite(keep_top_p(LOGITS, 0.6, 2.0))
    assert all(allowed[np.arange(5), choose(LOGITS, ids, generator, 2.0, top_p=0.6)].all() for _ in range(50))


def test_a_penalty_changes_the_greedy_choice():
    logits = np.array([[2.0, 1.9, -1.0]])
    assert choose(logits, np.array([[0]]), None, temperature=0)[0] == 0
    assert choose(logits, np.array([[0]]), None, temperature=0, repetition_penalty=1.2)[0] == 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_diverged_model_is_named(bad):
    logits = LOGITS.copy()
    logits[2, 3] = bad
    with pytest.raises(FloatingPointError, match=str(bad)):
        choose(logits, np.zeros((5, 1), int), np.random.default_rng(0))


# ---- how much a text repeats itself


@pytest.mark.parametrize("tokens, n, distinct", [
    ("time time time time".split(), 1, 1 / 4), ("to be or not to be".split(), 2, 4 / 5), ([1, 2, 3], 3, 1.0),
    ([1, 2, 3], 4, 1.0), ([], 1, 1.0), ("abcabcabc", 3, 3 / 7), (np.full(5, 5), 4, 1 / 2), ((1, 1), 1, 1 / 2)])
def test_distinct_and_repeated(tokens, n, distinct):
    assert distinct_n(tokens, n) == pytest.approx(distinct)
    assert repeated_ngram_rate(tokens, n) == pytest.approx(1 - distinct)


def test_ngrams_of_nothing():
    with pytest.raises(ValueError, match="0"):
        distinct_n([1, 2], 0)


def test_top_p_counts_the_shares_at_the_temperature():
    logits = np.tile(np.log([0.1, 0.4, 0.2, 0.3]), (200, 1))  # at temperature 0.5 the second has 0.53
    drawn = choose(logits, np.zeros((200, 1), int), np.random.default_rng(0), temperature=0.5, top_p=0.5)
    assert set(drawn.tolist()) == {1}
