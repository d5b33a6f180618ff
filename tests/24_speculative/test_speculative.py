"""The text is the target's, whatever the draft is; and broken rules are told from the right one by counting."""
import numpy as np
import pytest

import tinytorch
from tinytorch import nn
from tinytorch.generation import draw, probabilities
from tinytorch.speculative import Reader, accept, speculate, speculative_generate
from tinytorch.training import evaluating


def gpt(seed=0, **options):
    tinytorch.manual_seed(seed)
    config = dict(vocab_size=6, context=24, d_model=16, num_layers=2, num_heads=2)
    model = nn.GPT(nn.GPTConfig(**config | options))
    for parameter in model.parameters():
        parameter.data *= 8  # probabilities that differ
    return model.eval()


def chi_square(counts, shares):
    expected = counts.sum() * shares
    return float(((counts - expected) ** 2 / expected).sum())


LIMIT = {5: 20.5, 7: 24.3, 35: 66.6}  # degrees of freedom: what 999 of 1,000 experiments stay below


def first_tokens(step, p, q, count, seed=0):
    generator, counts = np.random.default_rng(seed), np.zeros(len(p))
    guesses = generator.choice(len(q), size=count, p=q)
    for guess in guesses:
        counts[step(int(guess), p, q, generator)] += 1
    return counts


def right(guess, p, q, generator):
    return accept([guess], q[None], np.stack([p, p]), generator)[0]


def from_p(guess, p, q, generator):
    kept = generator.random() * q[guess] < p[guess]
    return guess if kept else int(draw(p[None], generator)[0])


def likelier(guess, p, q, generator):
    return guess if p[guess] >= q[guess] else int(draw(p[None], generator)[0])


def test_a_hundred_thousand_draws_are_the_targets():
    p, q = np.random.default_rng(3).dirichlet(np.ones(8), 2)
    assert chi_square(first_tokens(right, p, q, 100_000), p) < LIMIT[7]


@pytest.mark.parametrize("rule", [from_p, likelier, lambda guess, p, q, generator: guess])
def test_broken_rules_are_found_out(rule):
    p, q = np.random.default_rng(3).dirichlet(np.ones(8), 2)
    assert chi_square(first_tokens(rule, p, q, 10_000), p) > 10 * LIMIT[7]


def test_pairs_of_tokens_are_the_targets():
    "of two models: the first two tokens together, against the product of the target's probabilities"
    target_model, draft_model = gpt(), gpt(1, d_model=8, num_layers=1)
    with evaluating(target_model):
        first = probabilities(target_model(np.array([[3]])).data[0])[-1]
        both = np.stack([first[a] * probabilities(target_model(np.array([[3, a]])).data[0])[-1] for a in range(6)])
    counts, generator = np.zeros((6, 6)), np.random.default_rng(0)
    for _ in range(3000):
        a, b = speculative_generate(target_model, draft_model, [3], 2, lookahead=3, generator=generator).ids[1:]
        counts[a, b] += 1
    assert chi_square(counts.ravel(), both.ravel()) < LIMIT[35]


def test_the_cache_never_holds_what_was_refused():
    target_model, draft_model, generator = gpt(), gpt(1, d_model=8), np.random.default_rng(0)
    with evaluating(target_model), evaluating(draft_model):
        target, draft, text = Reader(target_model), Reader(draft_model), [1]
        for _ in range(5):
            text += speculate(target, draft, text, 3, generator)
            for reader in (target, draft):
                alone = probabilities(reader.model(np.array([text])).data[0])[-1]
                np.testing.assert_allclose(reader.read(text)[-1], alone, atol=1e-5)


def test_a_draft_that_is_the_target_is_always_right():
    model = gpt()
    got = speculative_generate(model, model, [1, 2], 20, lookahead=4, generator=0)
    assert got.kept == got.guessed and got.steps == 4 and len(got.ids) == 22


def test_an_ignored_draft_is_seldom_right():
    "a draft that knows nothing: as many tokens, but few of its guesses"
    model, uniform = gpt(), gpt(1)
    uniform.head.weight.data[...] = 0
    itself = speculative_generate(model, model, [1], 20, generator=0)
    nothing = [speculative_generate(model, uniform, [1], 20, generator=seed) for seed in range(5)]
    assert all(len(got.ids) == 21 for got in nothing)
    assert sum(got.kept for got in nothing) / sum(got.guessed for got in nothing) < 0.7 * itself.kept / itself.guessed


@pytest.mark.parametrize("count", [0, 1, 2, 7])
@pytest.mark.parametrize("lookahead", [1, 5])
def test_exactly_so_many_tokens(count, lookahead):
    got = speculative_generate(gpt(), gpt(1), [1, 2, 3], count, lookahead, generator=0)
    assert len(got.ids) == 3 + count and got.ids[:3].tolist() == [1, 2, 3] and got.ids.max() < 6


def test_the_same_seed_writes_the_same_text():
    once, again = (speculative_generate(gpt(), gpt(1), [1], 10, generator=7) for _ in range(2))
    assert np.array_equal(once.ids, again.ids)


def test_a_low_temperature_is_nearly_greedy():
    model = gpt()
    got = speculative_generate(model, gpt(1), [1], 12, temperature=1e-4, generator=0)
    with evaluating(model):
        logits = model(got.ids[None, :-1]).data[0]
    assert got.ids[1:].tolist() == logits.argmax(axis=-1).tolist()


@pytest.mark.parametrize("prompt, options, says", [
    ([], {}, "0 ids"), ([1], {"lookahead": 0}, "lookahead 0"), ([1], {"temperature": 0.0}, "temperature"),
    ([1] * 20, {}, "24")])
def test_what_cannot_be(prompt, options, says):
    with pytest.raises(ValueError, match=says):
        speculative_generate(gpt(), gpt(1), prompt, 8, **options)


def test_vocabularies_must_be_the_same():
    with pytest.raises(ValueError, match="6.*7"):
        speculative_generate(gpt(), gpt(vocab_size=7), [1], 8)
