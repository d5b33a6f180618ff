"""The cache: the logits of the whole text at every step, for every kind of GPT; room made once."""
import tracemalloc

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, no_grad
from tinytorch.generation import Decoder, KVCache, LayerCache
from tinytorch.nn import GPT, Linear
from tinytorch.nn.attention import CachedAttention, MultiHeadAttention, SelfAttention
from tinytorch.nn.transformer import TransformerBlock

CONTEXT = 12
IDS = np.random.default_rng(0).integers(0, 19, (3, CONTEXT))
OPTIONS = [
    dict(), dict(pre_norm=False), dict(norm="rms_norm", activation="relu_squared", bias=False),
    dict(norm="rms_norm", activation="swiglu", pre_norm=False, tied_head=False), dict(activation="relu", dropout=0.2)]


def gpt(positions="learned", **options):
    model = GPT(19, CONTEXT, d_model=24, num_layers=3, num_heads=4, positions=positions, **options).eval()
    for parameter in model.parameters():  # far from the start, where all logits are nearly the same
        parameter.data *= 4
    return model


every_gpt = pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])


# ---- the same logits


@every_gpt
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_logits_are_those_without_a_cache_at_every_step(positions, options):
    model = gpt(positions, **options)
    with no_grad():
        cache, decoder = KVCache(model, batch_size=3), Decoder(model, batch_size=3)
        for t in range(1, CONTEXT + 1):
            whole = model(IDS[:, :t]).data[:, -1]
            np.testing.assert_allclose(model(IDS[:, t - 1:t], cache=cache).data[:, -1], whole, atol=1e-5)
            np.testing.assert_allclose(decoder(IDS[:, :t]), whole, atol=1e-5)
            assert cache.length == decoder.cache.length == t
    assert np.ptp(whole) > 0.1  # logits that differ, so that the comparison means something


@every_gpt
@pytest.mark.parametrize("pieces", [[12], [5, 7], [1, 4, 1, 6], [11, 1]])
def test_any_pieces_at_once(positions, pieces):
    model, ends = gpt(positions).double(), np.cumsum(pieces)
    with no_grad():
        cache = KVCache(model, batch_size=3)
        parts = [model(IDS[:, end - size:end], cache=cache).data for size, end in zip(pieces, ends)]
        np.testing.assert_allclose(np.concatenate(parts, axis=1), model(IDS).data, atol=1e-12)


@every_gpt
def test_past_the_context_the_last_tokens_count(positions):
    model = gpt(positions)
    text = np.concatenate([IDS, IDS[:, ::-1]], axis=1)
    with no_grad():
        decoder = Decoder(model, batch_size=3)
        for t in range(8, 2 * CONTEXT):
            whole = model(text[:, max(t - CONTEXT, 0):t]).data[:, -1]
            np.testing.assert_allclose(decoder(text[:, :t]), whole, atol=1e-5)


def test_a_second_text_after_reset():
    model = gpt()
    with no_grad():
        cache = KVCache(model, batch_size=1)
        model(IDS[:1], cache=cache)
        cache.reset()
        assert cache.length == 0
        np.testing.assert_allclose(model(IDS[1:2], cache=cache).data, model(IDS[1:2]).data, atol=1e-5)


def test_dropout_is_off_in_the_decoder_and_float64_stays():
    model = gpt(dropout=0.5).double()
    with no_grad():
        assert Decoder(model)(IDS[:1]).dtype == np.float64
        np.testing.assert_allclose(Decoder(model)(IDS[:1]), model(IDS[:1]).data[:, -1], atol=1e-12)


@pytest.mark.parametrize("norm", ["layer_norm", "rms_norm"])
def test_modules_that_the_decoder_does_not_know_are_called(norm):
    class Louder(Linear):
        def forward(self, x):
            return super().forward(x) * 3

    class Twice(TransformerBlock):
        def forward(self, x, attn_mask=None, is_causal=False, cache=None):
            return super().forward(x, attn_mask, is_causal, cache) * 2

    model = gpt(norm=norm)
    model.blocks[0].mlp.fc1 = Louder(24, 96)
    model.blocks[1].attention.in_proj = Louder(24, 72)
    setattr(model.blocks, "2", Twice(24, 4))
    model.head = Louder(24, 19)
    with no_grad():
        decoder = Decoder(model, batch_size=3)
        for t in (4, 5, 9):
            np.testing.assert_allclose(decoder(IDS[:, :t]), model(IDS[:, :t]).data[:, -1], atol=1e-5, rtol=1e-5)


# ---- attention by itself


@pytest.mark.parametrize("rotary", [None, 8])
def test_cached_attention_is_causal_attention(rotary):
    rotary = rotary and tinytorch.nn.Rotary(rotary, 16)
    attention = MultiHeadAttention(24, 3, rotary=rotary).double()
    x = Tensor(np.random.default_rng(0).standard_normal((2, 9, 24)))
    layer = LayerCache(2, 3, 16, 8, np.float64)
    with no_grad():
        parts = [attention(x[:, a:b], cache=layer).data for a, b in ((0, 4), (4, 5), (5, 9))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), attention(x, is_causal=True).data, atol=1e-12)


def test_a_later_token_cannot_reach_back():
    packed = np.random.default_rng(0).standard_normal((1, 6, 24)).astype(np.float32)
    packed[:, -1] *= 1e4
    out = CachedAttention(2, LayerCache(1, 2, 8, 4)).forward(packed)
    np.testing.assert_allclose(out[:, :-1], SelfAttention(2, is_causal=True).forward(packed)[:, :-1], rtol=1e-5)
    assert np.isfinite(out).all()


def test_no_gradient_flows_through_a_cache():
    model = gpt()
    logits = model(IDS, cache=KVCache(model, batch_size=3))
    with pytest.raises(RuntimeError, match="no gradient through it; run this under no_grad"):
        logits.sum().backward()


def test_a_cache_takes_neither_masks_nor_other_keys():
    attention, layer = MultiHeadAttention(24, 3), LayerCache(2, 3, 16, 8)
    x = tinytorch.randn(2, 4, 24)
    for wrong in (dict(key=tinytorch.randn(2, 4, 24)), dict(attn_mask=np.ones((4, 4), bool))):
        with pytest.raises(ValueError, match="with a cache, expected causal self-attention of the newest tokens"):
            attention(x, cache=layer, **wrong)
    assert layer.length == 0


# ---- room


def test_append_copies_only_the_newest():
    layer = LayerCache(2, 3, 5, 4)
    key, value = np.random.default_rng(0).standard_normal((2, 2, 3, 5, 4)).astype(np.float32)
    layer.append(key[:, :, :2], value[:, :, :2])
    keys, values = layer.append(key[:, :, 2:], value[:, :, 2:])
    assert np.shares_memory(keys, layer.keys) and np.shares_memory(values, layer.values) and layer.length == 5
    np.testing.assert_array_equal(keys, key)
    np.testing.assert_array_equal(values, value)
    with pytest.raises(ValueError, match=r"\(2, 3, 1, 4\) behind 5 tokens, expected at most \(2, 3, 5, 4\)"):
        layer.append(key[:, :, :1], value[:, :, :1])
    layer.length = 0
    with pytest.raises(ValueError, match="behind 0 tokens"):
        layer.append(key[:1], value[:1])  # another batch size would be broadcast
    assert layer.length == 0


def test_too_many_tokens_for_the_cache():
    model = gpt()
    with no_grad():
        cache = KVCache(model, batch_size=3)
        model(IDS, cache=cache)
        with pytest.raises(ValueError, match="13 tokens"):
            model(IDS[:, :1], cache=cache)


def test_a_step_allocates_little():
    model = GPT(19, 256, d_model=32, num_layers=2, num_heads=4).eval()
    decoder = Decoder(model)
    room = sum(layer.keys.nbytes + layer.values.nbytes for layer in decoder.cache.layers)
    assert room == 2 * 2 * 256 * 32 * 4  # keys and values, blocks, tokens, features, bytes
    text = np.zeros((1, 256), int)
    with no_grad():
        decoder(text[:, :200])
        tracemalloc.start()
        for t in range(201, 257):
            decoder(text[:, :t])
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 40_000 < room and kept < 10_000
