"""generate: prompts, seeds, stopping, cropping, and a clear word on what cannot work."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, is_grad_enabled
from tinytorch.generation import generate
from tinytorch.nn import GPT, GPTConfig, Module

PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture
def model():
    model = GPT(GPTConfig(vocab_size=19, context=12, d_model=24, num_layers=2, num_heads=4))
    for parameter in model.parameters():
        parameter.data *= 4
    return model


class Counting(Module):
    "the next token is the last one plus one; no GPT"
    vocab_size, context = 7, 4

    def __init__(self):
        self.seen = []

    def forward(self, ids):
        self.seen.append(ids.copy())
        return Tensor(10.0 * np.eye(7)[(ids + 1) % 7])


# ---- what comes back


def test_the_prompt_and_what_follows():
    ids = generate(Counting(), [4, 5], 6, temperature=0)
    assert ids.tolist() == [4, 5, 6, 0, 1, 2, 3, 4] and ids.dtype == np.int64


@pytest.mark.parametrize("prompt", [PROMPT, tuple(PROMPT), np.array(PROMPT, np.uint16), Tensor(PROMPT)])
def test_kinds_of_prompts(model, prompt):
    expected = generate(model, PROMPT, 8, generator=1)
    np.testing.assert_array_equal(generate(model, prompt, 8, generator=1), expected)
    assert expected.shape == (13,) and expected[:5].tolist() == PROMPT


def test_no_new_tokens(model):
    assert generate(model, PROMPT, 0).tolist() == PROMPT


def test_a_batch_is_its_rows(model):
    prompts = np.array([PROMPT, PROMPT[::-1], [7, 7, 7, 7, 7]])
    together = generate(model, prompts, 20, temperature=0)
    assert together.shape == (3, 25)
    for prompt, row in zip(prompts, together):
        np.testing.assert_array_equal(generate(model, prompt, 20, temperature=0), row)


def test_equal_prompts_are_continued_differently(model):
    rows = generate(model, [PROMPT] * 4, 10, temperature=2.0, generator=0)
    assert len({tuple(row) for row in rows}) == 4


# ---- with and without a cache


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("options", [dict(temperature=0), dict(temperature=0.8, top_k=5, generator=3),
                                     dict(top_p=0.9, repetition_penalty=1.2, generator=4)])
def test_the_cache_changes_nothing(positions, options):
    config = GPTConfig(vocab_size=19, context=12, d_model=24, num_layers=2, num_heads=4, positions=positions)
    model = GPT(config).double()
    prompts = np.random.default_rng(0).integers(0, 19, (2, 5))
    seeds = {"generator": np.random.default_rng(options["generator"]) if "generator" in options else None}
    cached = generate(model, prompts, 30, **options)
    plain = generate(model, prompts, 30, **options | seeds, use_cache=False)
    np.testing.assert_array_equal(cached, plain)


def test_a_long_prompt_is_cropped(model):
    long = np.random.default_rng(0).integers(0, 19, 40)
    for use_cache in (True, False):
        whole = generate(model, long, 5, temperature=0, use_cache=use_cache)
        cropped = generate(model, long[-12:], 5, temperature=0, use_cache=use_cache)
        np.testing.assert_array_equal(whole[40:], cropped[12:])
        np.testing.assert_array_equal(whole[:40], long)


def test_a_model_that_is_no_gpt_sees_its_context():
    model = Counting()
    generate(model, [0, 1], 4, temperature=0)
    assert [ids.tolist() for ids in model.seen] == [[[0, 1]], [[0, 1, 2]], [[0, 1, 2, 3]], [[1, 2, 3, 4]]]


def lengths_read(model, **options):
    "how many tokens the first block is given at each step"
    read, block = [], model.transformer.blocks[0]
    forward = block.forward
    block.forward = lambda x, *args, **kwargs: read.append(x.shape[1]) or forward(x, *args, **kwargs)
    ids = generate(model, PROMPT, 3, temperature=0, **options)
    return read, ids.tolist()


def test_who_gets_a_cache(model):
    class Louder(GPT):
        def forward(self, ids, cache=None, last_only=False):
            return super().forward(ids, cache, last_only) * 2

    class Other(GPT):
        def forward(self, ids):
            return super().forward(ids) * 2

    written = lengths_read(model)[1]
    for kind, use_cache, lengths in ((GPT, True, [5, 1, 1]), (GPT, False, [5, 6, 7]), (Louder, True, [5, 1, 1]),
                                     (Other, True, [5, 6, 7])):
        other = kind(model.config)
        other.load_state_dict(model.state_dict())
        assert lengths_read(other, use_cache=use_cache) == (lengths, written), kind.__name__


def test_a_model_that_has_learned_on_writes_what_it_learned(model):
    first = generate(model, PROMPT, 6, temperature=0)
    for parameter in model.parameters():
        parameter.data *= -0.5
    after = generate(model, PROMPT, 6, temperature=0)
    np.testing.assert_array_equal(after, generate(model, PROMPT, 6, temperature=0, use_cache=False))
    assert not np.array_equal(after, first)


# ---- chance


def test_seeds(model):
    first = generate(model, PROMPT, 30, temperature=1.5, generator=5)
    np.testing.assert_array_equal(generate(model, PROMPT, 30, temperature=1.5, generator=5), first)
    again = generate(model, PROMPT, 30, temperature=1.5, generator=np.random.default_rng(5))
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(generate(model, PROMPT, 30, temperature=1.5, generator=6), first)
    tinytorch.manual_seed(1)
    ours = generate(model, PROMPT, 30, temperature=1.5)
    tinytorch.manual_seed(1)
    np.testing.assert_array_equal(generate(model, PROMPT, 30, temperature=1.5), ours)


def test_a_first_token_has_the_models_probabilities(model):
    from tinytorch.generation import probabilities
    drawn = generate(model, [PROMPT] * 4000, 1, temperature=1.3, generator=0)[:, -1]
    expected = probabilities(model.eval()(np.array([PROMPT])).data[:, -1], 1.3)[0]
    frequencies = np.bincount(drawn, minlength=19) / 4000
    assert np.abs(frequencies - expected).max() < 5 * np.sqrt(0.25 / 4000)


# ---- stopping, and looking on


def test_stop_tokens_end_a_text():
    assert generate(Counting(), [1], 20, temperature=0, stop_tokens=[4]).tolist() == [1, 2, 3, 4]
    assert generate(Counting(), [1], 20, temperature=0, stop_tokens=4).tolist() == [1, 2, 3, 4]
    assert generate(Counting(), [1], 20, temperature=0, stop_tokens={3, 4}).tolist() == [1, 2, 3]
    assert generate(Counting(), [4], 3, temperature=0, stop_tokens=[4]).tolist() == [4, 5, 6, 0]  # not in the prompt


def test_texts_of_a_batch_stop_one_by_one():
    rows = generate(Counting(), [[1], [3], [5]], 20, temperature=0, stop_tokens=[4, 0])
    assert rows.tolist() == [[1, 2, 3, 4], [3, 4, 4, 4], [5, 6, 0, 0]]


def test_suppressed_tokens_are_never_drawn(model):
    greedy = generate(model, PROMPT, 20, temperature=0)[len(PROMPT):]
    for options in (dict(temperature=0), dict(temperature=3.0), dict(top_k=2), dict(top_p=0.5), dict(use_cache=False)):
        written = generate(model, PROMPT, 40, suppress_tokens=[*greedy[:5], *range(9)], generator=0, **options)
        assert not {*greedy[:5].tolist(), *range(9)} & set(written[len(PROMPT):].tolist())
    assert (generate(model, PROMPT, 5, suppress_tokens=range(18))[len(PROMPT):] == 18).all()
    with pytest.raises(ValueError, match="suppress_tokens.*19"):
        generate(model, PROMPT, 5, suppress_tokens=range(19))


def test_on_token_sees_each_column():
    columns = []
    rows = generate(Counting(), [[1], [3]], 3, temperature=0, on_token=columns.append)
    np.testing.assert_array_equal(np.stack(columns, axis=1), rows[:, 1:])


# ---- the model stays as it was


@pytest.mark.parametrize("use_cache", [True, False])
def test_eval_mode_inside_and_everything_back_after(use_cache):
    model = GPT(GPTConfig(vocab_size=19, context=12, d_model=24, num_layers=2, num_heads=4, dropout=0.5))
    model.transformer.blocks[1].eval()
    modes, before = [module.training for module in model.modules()], model.state_dict()
    first = generate(model, PROMPT, 10, temperature=0, use_cache=use_cache)
    np.testing.assert_array_equal(generate(model, PROMPT, 10, temperature=0, use_cache=use_cache), first)

    def fail(_):
        assert not is_grad_enabled() and not model.training
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        generate(model, PROMPT, 10, use_cache=use_cache, on_token=fail)
    assert [module.training for module in model.modules()] == modes and is_grad_enabled()
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


# ---- errors


@pytest.mark.parametrize("options, says", [
    (dict(temperature=-0.1), "temperature.*-0.1"), (dict(temperature=float("nan")), "temperature.*nan"),
    (dict(temperature=float("inf")), "temperature.*inf"),
    (dict(top_p=0), "top_p.*0"), (dict(top_p=1.1), "top_p.*1.1"),
    (dict(top_p=-0.5), "top_p.*-0.5"), (dict(top_k=0), "top_k.*0"),
    (dict(top_k=-3), "top_k.*-3"),
    (dict(repetition_penalty=0), "repetition_penalty.*0"), (dict(max_new_tokens=-1), "max_new_tokens.*-1")])
def test_options_out_of_range(model, options, says):
    with pytest.raises(ValueError, match=says):
        generate(model, PROMPT, **dict(max_new_tokens=3) | options)


@pytest.mark.parametrize("prompt, error, says", [
    ([], ValueError, "prompt.*(empty|0)"), ([[], []], ValueError, "prompt.*(empty|0)"),
    ([[1, 2], [3]], ValueError, "length|[12].*[12]"),
    ([1, 19], IndexError, "19"), ([-1], IndexError, "-1"),
    ([1.0, 2.0], TypeError, "float64"),
    ("text", TypeError, "str|text|encode"), (3, TypeError, r"\(\)"),
    ([[[1]]], TypeError, r"\(1, 1, 1\)")])
def test_prompts_that_are_none(model, prompt, error, says):
    with pytest.raises(error, match=says):
        generate(model, prompt, 3)


def test_a_diverged_model(model):
    model.head.weight.data[...] = np.nan
    with pytest.raises(FloatingPointError, match="nan"):
        generate(model, PROMPT, 3)
