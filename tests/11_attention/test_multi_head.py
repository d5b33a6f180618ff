"""MultiHeadAttention: the layer, its ways through the code, and PyTorch's."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, no_grad
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.attention import (
    MultiHeadAttention,
    attention_weights,
    causal_mask,
    merge_heads,
    scaled_dot_product_attention,
    self_attention,
    split_heads,
)
from tinytorch.nn.embedding import Rotary


def random(*shape, seed=0, dtype=np.float64, requires_grad=True):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad, dtype)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mask, cross", [("none", False), ("causal", False), ("padding", False),
                                         ("none", True), ("padding", True)])
def test_equals_pytorch(torch, bias, mask, cross):
    ours = MultiHeadAttention(12, 3, bias=bias).double()
    theirs = torch.nn.MultiheadAttention(12, 3, bias=bias, batch_first=True, dtype=torch.float64)
    state = {name.replace("in_proj.", "in_proj_"): torch.tensor(x) for name, x in ours.state_dict().items()}
    theirs.load_state_dict(state)

    x, memory = random(2, 5, 12), random(2, 7, 12, seed=1)
    key = memory if cross else x
    lengths = np.arange(key.shape[1]) < np.array([[4], [key.shape[1]]])  # (B, S): what is no padding
    options = {"causal": {"is_causal": True}, "padding": {"attn_mask": lengths[:, None, None, :]}}.get(mask, {})
    out = ours(x, key, **options) if cross else ours(x, **options)
    cotangent = np.random.default_rng(3).standard_normal(out.shape)
    out.backward(cotangent)

    options = {"causal": {"attn_mask": torch.tensor(~causal_mask(5).data)},
               "padding": {"key_padding_mask": torch.tensor(~lengths)}}.get(mask, {})  # PyTorch's layer: True = hidden
    tx = torch.tensor(x.data, requires_grad=True)
    tkey = torch.tensor(memory.data, requires_grad=True) if cross else tx
    expected, weights = theirs(tx, tkey, tkey, average_attn_weights=False, **options)
    expected.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(x.grad.data, tx.grad.numpy(), atol=1e-12)
    if cross:
        np.testing.assert_allclose(memory.grad.data, tkey.grad.numpy(), atol=1e-12)
    for name, parameter in theirs.named_parameters():
        name = name.replace("in_proj_", "in_proj.")
        np.testing.assert_allclose(dict(ours.named_parameters())[name].grad.data, parameter.grad.numpy(), atol=1e-12)
    if mask == "none":
        np.testing.assert_allclose(ours.weights(x, key).data, weights.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": np.eye(5, dtype=bool)}])
@pytest.mark.parametrize("rotary", [None, Rotary(4, max_len=16)])
def test_the_packed_and_the_general_way_agree(options, rotary):
    attention = MultiHeadAttention(12, 3, rotary=rotary).double()
    x = random(2, 5, 12)
    packed, general = attention(x, **options), attention(x, x * 1.0, **options)
    np.testing.assert_allclose(packed.data, general.data, atol=1e-14)
    gradients = []
    for out in (packed, general):
        attention.zero_grad()
        x.grad = None
        out.backward(np.random.default_rng(1).standard_normal(out.shape))
        gradients.append([x.grad.data] + [p.grad.data for p in attention.parameters()])
    for a, b in zip(*gradients):
        np.testing.assert_allclose(a, b, atol=1e-13)
        assert np.abs(a).max() > 1e-3


def test_same_query_key_and_value_are_self_attention():
    attention, x = MultiHeadAttention(12, 3).double(), random(2, 5, 12)
    np.testing.assert_array_equal(attention(x, x, x).data, attention(x).data)
    np.testing.assert_array_equal(attention(x, x).data, attention(x).data)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": np.eye(5, dtype=bool)}])
@pytest.mark.parametrize("num_heads", [1, 2, 3])
def test_self_attention_is_attention_of_each_head(num_heads, options):
    packed, joined = random(2, 5, 36), random(2, 5, 36)
    out, size, found = self_attention(packed, num_heads, **options), 12 // num_heads, []
    for h in range(num_heads):
        heads = [joined[..., start + h * size:start + (h + 1) * size] for start in (0, 12, 24)]
        found.append(scaled_dot_product_attention(*heads, **options))
    expected = tinytorch.cat(found, -1)
    np.testing.assert_allclose(out.data, expected.data, atol=1e-13)
    cotangent = np.random.default_rng(1).standard_normal(out.shape)
    out.backward(cotangent)
    expected.backward(cotangent)
    np.testing.assert_allclose(packed.grad.data, joined.grad.data, atol=1e-13)


class GrowingCache:
    length, keys, values = 0, None, None

    def append(self, key, value):
        assert type(key) is type(value) is np.ndarray
        self.keys = key if self.keys is None else np.concatenate([self.keys, key], axis=-2)
        self.values = value if self.values is None else np.concatenate([self.values, value], axis=-2)
        self.length = self.keys.shape[-2]
        return self.keys, self.values


@pytest.mark.parametrize("rotary", [None, Rotary(4, max_len=16)])
@pytest.mark.parametrize("pieces", [[9], [4, 1, 4], [1] * 9, [2, 7]])
def test_with_a_cache_it_says_the_same_piece_by_piece(rotary, pieces):
    attention, x, cache = MultiHeadAttention(12, 3, rotary=rotary).double(), random(2, 9, 12), GrowingCache()
    with no_grad():
        parts = [attention(x[:, end - size:end], cache=cache).data for size, end in zip(pieces, np.cumsum(pieces))]
    assert cache.length == 9 and cache.keys.shape == (2, 3, 9, 4)
    np.testing.assert_allclose(np.concatenate(parts, axis=1), attention(x, is_causal=True).data, atol=1e-12)


def test_a_cache_is_for_causal_self_attention_without_a_graph():
    attention, x, cache = MultiHeadAttention(12, 3), random(2, 4, 12, dtype=np.float32), GrowingCache()
    with pytest.raises(RuntimeError, match="no_grad"):
        attention(x, cache=cache)
    for wrong in (dict(key=x * 1.0), dict(value=x * 1.0), dict(attn_mask=np.ones((4, 4), bool))):
        with pytest.raises(RuntimeError, match="cache"), no_grad():
            attention(x, cache=cache, **wrong)
    assert cache.length == 0


def test_gradients_are_finite_differences():
    attention = MultiHeadAttention(4, 2).double()
    x, memory = random(2, 3, 4), random(2, 5, 4, seed=1)
    gradcheck(lambda x, *_: attention(x, is_causal=True), x, *attention.parameters())
    gradcheck(lambda x, memory, *_: attention(x, memory), x, memory, *attention.parameters())


def test_rotary_scores_depend_on_distance_only():
    attention = MultiHeadAttention(12, 3, rotary=Rotary(4, max_len=16)).double()
    x = Tensor(np.tile(np.random.default_rng(0).standard_normal((1, 1, 12)), (1, 8, 1)))  # one token, eight times
    weights = attention.weights(x).data[0]  # (H, T, T)
    ratios = np.log(weights[:, :, 1:] / weights[:, :, :-1])  # of neighbouring keys: the sum in the softmax cancels
    np.testing.assert_allclose(ratios[:, 1:, 1:], ratios[:, :-1, :-1], atol=1e-10)
    assert np.abs(ratios).max() > 1e-3
    gradcheck(lambda w: attention(random(1, 4, 12), is_causal=True), attention.in_proj.weight)
    assert list(attention.state_dict()) == ["in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias"]


def test_heads_are_slices_of_the_features():
    x = random(2, 4, 6)
    heads = split_heads(x, 2)
    assert heads.shape == (2, 2, 4, 3)
    np.testing.assert_array_equal(heads.data[1, 0, 3], x.data[1, 3, :3])
    np.testing.assert_array_equal(heads.data[1, 1, 3], x.data[1, 3, 3:])
    np.testing.assert_array_equal(merge_heads(heads).data, x.data)
    assert split_heads(x[0], 3).shape == (3, 4, 2) and merge_heads(split_heads(x[0], 3)).shape == (4, 6)


def test_weights_for_a_picture():
    attention, x = MultiHeadAttention(12, 3).double(), random(2, 5, 12)
    weights = attention.weights(x, is_causal=True)
    assert weights.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(weights.data.sum(-1), 1)
    assert np.all(np.triu(weights.data, 1) == 0)
    query, key, value = attention.project(x, x, x)
    np.testing.assert_array_equal(weights.data, attention_weights(query, key, is_causal=True).data)
    np.testing.assert_allclose(attention.out_proj(merge_heads(weights @ value)).data,
                               attention(x, is_causal=True).data, atol=1e-14)


def test_one_sequence_without_a_batch():
    attention, x = MultiHeadAttention(12, 3).double(), random(2, 5, 12)
    np.testing.assert_allclose(attention(x[1], is_causal=True).data, attention(x, is_causal=True).data[1], atol=1e-14)
    np.testing.assert_allclose(attention(x[1], x[0]).data, attention(x, x[0:1]).data[1], atol=1e-14)


def test_dropout_only_while_training():
    attention, x = MultiHeadAttention(12, 3, dropout=0.5), random(2, 5, 12, dtype=np.float32)
    tinytorch.manual_seed(3)
    first = attention(x).data
    assert not np.array_equal(first, attention(x).data)
    tinytorch.manual_seed(3)
    np.testing.assert_array_equal(first, attention(x).data)
    attention.eval()
    np.testing.assert_array_equal(attention(x).data, attention(x).data)


@pytest.mark.parametrize("general", [False, True])
def test_float32_stays_float32(general):
    attention, x = MultiHeadAttention(12, 3, dropout=0.1), random(2, 5, 12, dtype=np.float32)
    out = attention(x, x * 1.0) if general else attention(x, is_causal=True)
    out.sum().backward()
    assert out.dtype == np.float32
    assert all(p.grad.dtype == np.float32 for p in [x, *attention.parameters()])


def test_it_shows_its_sizes():
    attention = MultiHeadAttention(12, 3, dropout=0.1)
    assert attention.extra_repr() == "12, num_heads=3, dropout=0.1"
    shown = [line.strip() for line in repr(attention).splitlines()]
    assert shown[0].startswith("MultiHeadAttention(") and "12, num_heads=3, dropout=0.1" in "".join(shown[:2])
    assert "(in_proj): Linear(in_features=12, out_features=36, bias=True)" in shown


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match="10.*3"):
        MultiHeadAttention(10, 3)
    with pytest.raises(ValueError, match="0"):
        MultiHeadAttention(10, 0)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
@pytest.mark.parametrize("rotary", [None, Rotary(4, max_len=16)], ids=["", "rotary"])
def test_grouped_heads_are_heads_whose_keys_were_repeated(groups, rotary):
    shared = MultiHeadAttention(24, 6, rotary=rotary, num_kv_heads=groups).double()
    plain, x, memory = MultiHeadAttention(24, 6, rotary=rotary).double(), random(2, 5, 24), random(2, 7, 24, seed=1)
    assert shared.in_proj.weight.shape == (24 + 2 * 4 * groups, 24)
    repeat = np.concatenate([np.arange(24)] + [
        start + (np.arange(6) * groups // 6)[:, None] * 4 + np.arange(4)
        for start in (24, 24 + 4 * groups)], axis=None)  # the rows of in_proj, for plain attention
    for ours, theirs in ((plain.in_proj.weight, shared.in_proj.weight), (plain.in_proj.bias, shared.in_proj.bias)):
        ours.data[...] = theirs.data[repeat]
    plain.out_proj.load_state_dict(shared.out_proj.state_dict())
    for inputs, options in (((x,), {"is_causal": True}), ((x, memory), {}), ((x,), {"attn_mask": np.eye(5) > 0})):
        gradients = []
        for layer in (shared, plain):
            layer.zero_grad()
            x.grad = None
            out = layer(*inputs, **options)
            out.backward(np.random.default_rng(1).standard_normal(out.shape))
            gradients.append((out.data, x.grad.data, layer.in_proj.weight.grad.data, layer.in_proj.bias.grad.data))
        weight, bias = (np.zeros_like(part) for part in gradients[0][2:])
        np.add.at(weight, repeat, gradients[1][2])  # each copy has its share in the gradient of the one head
        np.add.at(bias, repeat, gradients[1][3])
        for found, expected in zip(gradients[0], (*gradients[1][:2], weight, bias)):
            np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(shared.weights(x, memory).data, plain.weights(x, memory).data, atol=1e-14)


@pytest.mark.parametrize("pieces", [[9], [4, 1, 4], [1] * 9])
def test_grouped_heads_with_a_cache(pieces):
    attention = MultiHeadAttention(24, 6, rotary=Rotary(4, max_len=16), num_kv_heads=2, qkv_bias=False).double()
    x, cache = random(2, 9, 24), GrowingCache()
    with no_grad():
        parts = [attention(x[:, end - size:end], cache=cache).data for size, end in zip(pieces, np.cumsum(pieces))]
    assert cache.keys.shape == (2, 2, 9, 4), "a third of the heads of queries: that is what it is for"
    np.testing.assert_allclose(np.concatenate(parts, axis=1), attention(x, is_causal=True).data, atol=1e-12)
    assert attention.in_proj.bias is None and attention.out_proj.bias is not None


@pytest.mark.parametrize("groups", [0, 4, 5, 7, 12, -1])
def test_groups_must_divide_the_heads(groups):
    with pytest.raises(ValueError, match=f"6.*{groups}"):
        MultiHeadAttention(24, 6, num_kv_heads=groups)


def test_errors_from_the_layer():
    attention, x = MultiHeadAttention(12, 3), random(2, 5, 12, dtype=np.float32)
    with pytest.raises(TypeError, match="int64"):
        attention(x, attn_mask=np.ones((5, 5), np.int64))
    with pytest.raises(ValueError, match="attn_mask.*is_causal"):
        attention(x, attn_mask=causal_mask(5), is_causal=True)
    with pytest.raises(ValueError, match="12"):
        attention(random(2, 5, 10, dtype=np.float32))


def test_without_a_bias_there_is_none_in_either_layer():
    layer = MultiHeadAttention(6, 2, bias=False)
    assert [name for name, _ in layer.named_parameters()] == ["in_proj.weight", "out_proj.weight"]
