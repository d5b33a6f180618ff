"""MultiHeadAttention: the layer, its ways through the code, and PyTorch's."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.attention import MultiHeadAttention, attention_weights, causal_mask
from tinytorch.nn.embedding import Rotary


def random(*shape, seed=0, dtype=np.float64, requires_grad=True):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad, dtype)


def operations(tensor):
    "the names of all operations behind `tensor`"
    found, stack = set(), [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and hasattr(node, "parents"):
            found.add(type(node).__name__)
            stack.extend(node.parents or ())
    return found


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
    np.testing.assert_allclose(x.grad, tx.grad.numpy(), atol=1e-12)
    if cross:
        np.testing.assert_allclose(memory.grad, tkey.grad.numpy(), atol=1e-12)
    for name, parameter in theirs.named_parameters():
        name = name.replace("in_proj_", "in_proj.")
        np.testing.assert_allclose(dict(ours.named_parameters())[name].grad, parameter.grad.numpy(), atol=1e-12)
    if mask == "none":
        np.testing.assert_allclose(ours.weights(x, key).data, weights.detach().numpy(), atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"attn_mask": np.eye(5, dtype=bool)}])
def test_the_packed_and_the_general_way_agree(options):
    attention = MultiHeadAttention(12, 3).double()
    x = random(2, 5, 12)
    packed, general = attention(x, **options), attention(x, x * 1.0, **options)
    assert "SelfAttention" in operations(packed) and "SelfAttention" not in operations(general)
    np.testing.assert_allclose(packed.data, general.data, atol=1e-14)
    gradients = []
    for out in (packed, general):
        attention.zero_grad()
        x.grad = None
        out.backward(np.random.default_rng(1).standard_normal(out.shape))
        gradients.append([x.grad] + [p.grad for p in attention.parameters()])
    for a, b in zip(*gradients):
        np.testing.assert_allclose(a, b, atol=1e-13)
        assert np.abs(a).max() > 1e-3


def test_same_query_key_and_value_take_the_packed_way():
    attention, x = MultiHeadAttention(12, 3), random(2, 5, 12, dtype=np.float32)
    assert "SelfAttention" in operations(attention(x, x, x))


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
    attention, x = MultiHeadAttention(6, 2), random(2, 4, 6)
    heads = attention.split(x)
    assert heads.shape == (2, 2, 4, 3)
    np.testing.assert_array_equal(heads.data[1, 0, 3], x.data[1, 3, :3])
    np.testing.assert_array_equal(heads.data[1, 1, 3], x.data[1, 3, 3:])
    np.testing.assert_array_equal(attention.merge(heads).data, x.data)


def test_weights_for_a_picture():
    attention, x = MultiHeadAttention(12, 3).double(), random(2, 5, 12)
    weights = attention.weights(x, is_causal=True)
    assert weights.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(weights.data.sum(-1), 1)
    assert np.all(np.triu(weights.data, 1) == 0)
    query, key, value = attention.project(x, x, x)
    np.testing.assert_array_equal(weights.data, attention_weights(query, key, is_causal=True).data)
    np.testing.assert_allclose(attention.out_proj(attention.merge(weights @ value)).data,
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
    shown = repr(MultiHeadAttention(12, 3, dropout=0.1)).splitlines()
    assert shown[0] == "MultiHeadAttention(12, num_heads=3, dropout=0.1"
    assert shown[1].strip() == "(in_proj): Linear(in_features=12, out_features=36, bias=True)"


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match="embed_dim 10 is not divisible by num_heads 3.*divisors"):
        MultiHeadAttention(10, 3)
    with pytest.raises(ValueError, match="num_heads 0"):
        MultiHeadAttention(10, 0)


def test_errors_from_the_layer():
    attention, x = MultiHeadAttention(12, 3), random(2, 5, 12, dtype=np.float32)
    with pytest.raises(TypeError, match="True = may attend"):
        attention(x, attn_mask=np.ones((5, 5), int))
    with pytest.raises(ValueError, match="both given"):
        attention(x, attn_mask=causal_mask(5), is_causal=True)
    with pytest.raises(ValueError, match="expects 12"):
        attention(random(2, 5, 10, dtype=np.float32))
