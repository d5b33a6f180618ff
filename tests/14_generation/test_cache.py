"""The cache: the logits of the whole text at every step, for every kind of GPT; room made once."""
import tracemalloc

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, no_grad
from tinytorch.generation import KVCache, LayerCache, generate, next_logits
from tinytorch.nn import GPT, GPTConfig, Linear
from tinytorch.nn.attention import MultiHeadAttention
from tinytorch.nn.losses import cross_entropy
from tinytorch.nn.transformer import TransformerBlock
from tinytorch.optim import AdamW

CONTEXT = 12
IDS = np.random.default_rng(0).integers(0, 19, (3, CONTEXT))
OPTIONS = [
    dict(), dict(pre_norm=False), dict(norm="rms_norm", activation="relu_squared", bias=False),
    dict(norm="rms_norm", activation="swiglu", pre_norm=False, tied_head=False), dict(activation="relu", dropout=0.2)]
SIZE = dict(vocab_size=19, context=CONTEXT, d_model=24, num_layers=3, num_heads=4)


def louder(model):
    "Far from the start, where all logits are nearly the same."
    for parameter in model.parameters():
        parameter.data *= 4
    return model.eval()


def gpt(positions="learned", **options):
    return louder(GPT(GPTConfig(**SIZE, positions=positions, **options)))


every_gpt = pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])


# ---- the same logits


@every_gpt
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_logits_are_those_without_a_cache_at_every_step(positions, options):
    model = gpt(positions, **options)
    with no_grad():
        cache, own = KVCache(model), KVCache(model)
        for t in range(1, CONTEXT + 1):
            whole = model(IDS[:, :t]).data[:, -1]
            np.testing.assert_allclose(model(IDS[:, t - 1:t], cache=cache).data[:, -1], whole, atol=1e-5)
            np.testing.assert_allclose(next_logits(model, IDS[:, :t], own), whole, atol=1e-5)
            np.testing.assert_allclose(next_logits(model, IDS[:, :t]), whole, atol=1e-5)
            assert cache.length == own.length == t
    assert np.ptp(whole) > 0.1  # logits that differ, so that the comparison means something


@every_gpt
@pytest.mark.parametrize("pieces", [[12], [5, 7], [1, 4, 1, 6], [11, 1]])
def test_any_pieces_at_once(positions, pieces):
    model, ends = gpt(positions).double(), np.cumsum(pieces)
    with no_grad():
        cache = KVCache(model)
        parts = [model(IDS[:, end - size:end], cache=cache).data for size, end in zip(pieces, ends)]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), model(IDS).data, atol=1e-12)


@every_gpt
def test_past_the_context_the_last_tokens_count(positions):
    model = gpt(positions)
    text = np.concatenate([IDS, IDS[:, ::-1]], axis=1)
    with no_grad():
        cache = KVCache(model)
        for t in range(8, 2 * CONTEXT):
            whole = model(text[:, max(t - CONTEXT, 0):t]).data[:, -1]
            np.testing.assert_allclose(next_logits(model, text[:, :t], cache), whole, atol=1e-5)
            np.testing.assert_allclose(next_logits(model, text[:, :t]), whole, atol=1e-5)


def test_a_second_text_after_reset():
    model = gpt()
    with no_grad():
        cache = KVCache(model)
        model(IDS[:1], cache=cache)
        cache.reset()
        assert cache.length == 0
        np.testing.assert_allclose(model(IDS[1:2], cache=cache).data, model(IDS[1:2]).data, atol=1e-5)


def test_only_what_is_new_is_read():
    model, read = gpt(), []
    forward = model.forward

    def recorded(ids, **options):
        read.append(ids.shape[1])
        return forward(ids, **options)

    model.forward = recorded
    with no_grad():
        cache = KVCache(model)
        for t in (3, 4, 7, 12, 13, 14):
            assert next_logits(model, np.tile(IDS, 2)[:, :t], cache).shape == (3, 19)
    assert read == [3, 1, 3, 5, 12, 12]


def test_float64_stays():
    model = gpt(dropout=0.5).double()
    with no_grad():
        assert next_logits(model, IDS[:1], KVCache(model)).dtype == np.float64
        np.testing.assert_allclose(next_logits(model, IDS[:1], KVCache(model)), model(IDS[:1]).data[:, -1], atol=1e-12)


# ---- one formula: what trains is what writes


class Reversed(TransformerBlock):
    "Another order, another sum: first the MLP, then attention, half of each."
    def forward(self, x, attn_mask=None, is_causal=False, cache=None):
        x = x + 0.5 * self.mlp(self.norm1(x))
        return x + 0.5 * self.attention(self.norm2(x), attn_mask=attn_mask, is_causal=is_causal, cache=cache)


def trained(model, steps=12):
    optimizer = AdamW(model.parameters(), lr=1e-2)
    for _ in range(steps):
        loss = cross_entropy(model(IDS[:, :-1]).flatten(0, 1), IDS[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def assert_the_cache_changes_nothing(model):
    with no_grad():
        cache = KVCache(model)
        for t in range(1, 2 * CONTEXT):
            text = np.tile(IDS, 2)[:, :t]
            np.testing.assert_allclose(next_logits(model, text, cache), next_logits(model, text), atol=1e-4)


@every_gpt
@pytest.mark.parametrize("edited", ["in the class", "another class"])
def test_an_edited_block_trains_and_writes_by_the_same_formula(monkeypatch, positions, edited):
    config = GPTConfig(**SIZE, positions=positions)
    tinytorch.manual_seed(0)
    plain = trained(GPT(config))
    tinytorch.manual_seed(0)
    if edited == "in the class":
        monkeypatch.setattr(TransformerBlock, "forward", Reversed.forward)
    model = GPT(config)
    if edited == "another class":
        for block in model.transformer.blocks:
            block.__class__ = Reversed
    trained(model)
    assert_the_cache_changes_nothing(model)
    with no_grad():
        cached = next_logits(model, IDS, KVCache(model))
        with monkeypatch.context() as old:
            old.setattr(TransformerBlock, "forward", ORIGINAL)
            for block in model.transformer.blocks:
                block.__class__ = TransformerBlock
            assert np.abs(cached - next_logits(model, IDS)).max() > 1e-2, "the edit made no difference"
    assert generate(plain, IDS[0, :4], 3).shape == (7,)


ORIGINAL = TransformerBlock.forward


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_modules_of_other_classes_are_called(norm):
    class Louder(Linear):
        def forward(self, x):
            return super().forward(x) * 3

    class Twice(TransformerBlock):
        def forward(self, x, attn_mask=None, is_causal=False, cache=None):
            return super().forward(x, attn_mask, is_causal, cache) * 2

    model = gpt(norm=norm)
    model.transformer.blocks[0].mlp.fc1 = Louder(24, 96)
    model.transformer.blocks[1].attention.in_proj = Louder(24, 72)
    setattr(model.transformer.blocks, "2", Twice(model.config))
    model.head = Louder(24, 19)
    assert_the_cache_changes_nothing(model.double().eval())  # so loud a model makes float32's rounding large


# ---- attention by itself


@pytest.mark.parametrize("rotary", [None, 8])
def test_attention_with_a_cache_is_causal_attention(rotary):
    rotary = rotary and tinytorch.nn.Rotary(rotary, 16)
    attention = MultiHeadAttention(24, 3, rotary=rotary).double()
    x = Tensor(np.random.default_rng(0).standard_normal((2, 9, 24)))
    layer = LayerCache(16)
    with no_grad():
        parts = [attention(x[:, a:b], cache=layer).data for a, b in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), attention(x, is_causal=True).data, atol=1e-12)


def test_a_later_token_cannot_reach_back():
    attention = MultiHeadAttention(24, 3)
    x = np.random.default_rng(0).standard_normal((1, 6, 24)).astype(np.float32)
    x[:, -1] *= 1e4
    with no_grad():
        out = attention(Tensor(x), cache=LayerCache(8)).data
        np.testing.assert_allclose(out[:, :-1], attention(Tensor(x[:, :-1]), is_causal=True).data, rtol=1e-4, atol=1e-6)
    assert np.isfinite(out).all()


def test_no_gradient_flows_through_a_cache():
    model = gpt()
    with pytest.raises(RuntimeError, match="no_grad"):
        model(IDS, cache=KVCache(model))


# ---- room


def test_append_copies_only_the_newest():
    layer = LayerCache(5)
    key, value = np.random.default_rng(0).standard_normal((2, 2, 3, 5, 4)).astype(np.float32)
    first, _ = layer.append(key[:, :, :2], value[:, :, :2])
    keys, values = layer.append(key[:, :, 2:], value[:, :, 2:])
    assert np.shares_memory(keys, first) and layer.length == 5, "views of the room that was made at first"
    np.testing.assert_array_equal(keys, key)
    np.testing.assert_array_equal(values, value)
    assert keys.dtype == np.float32
    with pytest.raises(ValueError, match=r"\(2, 3, 1, 4\).*5"):
        layer.append(key[:, :, :1], value[:, :, :1])
    layer.length = 2
    with pytest.raises(ValueError, match=r"\(1, 3, 1, 4\)"):
        layer.append(key[:1, :, :1], value[:1, :, :1])  # another batch size would be broadcast
    assert layer.length == 2
    layer.length = 0
    assert layer.append(key[:1], value[:1])[0].shape == (1, 3, 5, 4), "an empty one takes any batch"


def test_too_many_tokens_for_the_cache():
    model = gpt()
    with no_grad():
        cache = KVCache(model)
        model(IDS, cache=cache)
        with pytest.raises(ValueError, match="12"):
            model(IDS[:, :1], cache=cache)


def test_a_step_allocates_little():
    model = GPT(GPTConfig(vocab_size=19, context=256, d_model=32, num_layers=2, num_heads=4)).eval()
    room = 2 * 2 * 256 * 32 * 4  # keys and values, blocks, tokens, features, bytes
    text, cache = np.zeros((1, 256), int), KVCache(model)
    with no_grad():
        next_logits(model, text[:, :200], cache)
        tracemalloc.start()
        for t in range(201, 257):
            next_logits(model, text[:, :t], cache)
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 50_000 < room and kept < 10_000  # copies of one layer's would be 65,536
