"""Attention as a formula: values, gradients, masks, and what must not happen."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor
from tinytorch.gradcheck import check_function, gradcheck
from tinytorch.nn.attention import (
    Attention,
    attention_weights,
    causal_mask,
    scaled_dot_product_attention,
)

SHAPES = [  # query, key, value: no, one and several leading dims; other lengths; another size of values; broadcasting
    ((3, 4), (5, 4), (5, 2)),
    ((2, 3, 4), (2, 5, 4), (2, 5, 6)),
    ((2, 3, 1, 4), (2, 3, 7, 4), (2, 3, 7, 4)),
    ((2, 3, 5, 4), (3, 6, 4), (1, 1, 6, 2)),
    ((2, 4, 1), (2, 1, 1), (2, 1, 3)),
]
LONG = [  # several blocks, in a faster form: as many keys, one more, fewer than queries, more; broadcast heads
    ((2, 64, 4), (2, 64, 4), (2, 64, 3)),
    ((2, 65, 4), (2, 65, 4), (2, 65, 3)),
    ((200, 4), (70, 4), (70, 2)),
    ((200, 4), (30, 4), (30, 2)),
    ((2, 70, 4), (2, 200, 4), (2, 200, 4)),
    ((2, 3, 130, 4), (3, 130, 4), (1, 1, 130, 2)),
]


def arrays(shapes, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def leaves(shapes, seed=0, dtype=np.float64):
    return [Tensor(x, requires_grad=True) for x in arrays(shapes, seed, dtype)]


def by_loops(query, key, value, allowed=None):
    "attention of one sequence, one number at a time"
    out = np.zeros((len(query), value.shape[1]))
    for i, q in enumerate(query):
        seen = [j for j in range(len(key)) if allowed is None or allowed[i, j]]
        shares = np.exp([q @ key[j] / np.sqrt(len(q)) for j in seen])
        for j, share in zip(seen, shares / shares.sum()):
            out[i] += share * value[j]
    return out


# ---- values


def test_the_formula_one_number_at_a_time():
    query, key, value = arrays([(3, 4), (5, 4), (5, 2)])
    allowed = np.tril(np.ones((3, 5), bool))
    out = scaled_dot_product_attention(*map(Tensor, (query, key, value)))
    causal = scaled_dot_product_attention(*map(Tensor, (query, key, value)), is_causal=True)
    np.testing.assert_allclose(out.data, by_loops(query, key, value), rtol=1e-12)
    np.testing.assert_allclose(causal.data, by_loops(query, key, value, allowed), rtol=1e-12)


def textbook(query, key, value, attn_mask=None, is_causal=False, scale=None):
    "made of operations of Tensor"
    scores = query @ key.transpose(-1, -2) * (query.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        scores = scores + np.triu(np.full(scores.shape[-2:], -np.inf), 1)
    return (scores if attn_mask is None else scores + attn_mask).softmax(dim=-1) @ value


@pytest.mark.parametrize("shapes", SHAPES + LONG)
@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": 0.3}])
def test_one_operation_equals_its_parts(shapes, options):
    inputs, same = leaves(shapes), leaves(shapes)
    out, expected = scaled_dot_product_attention(*inputs, **options), textbook(*same, **options)
    np.testing.assert_allclose(out.data, expected.data, atol=1e-12)
    cotangent = np.random.default_rng(1).standard_normal(out.shape)
    out.backward(cotangent)
    expected.backward(cotangent)
    for ours, theirs in zip(inputs, same):
        np.testing.assert_allclose(ours.grad.data, theirs.grad.data, atol=1e-12)


@pytest.mark.parametrize("shapes", SHAPES[:4] + LONG)
@pytest.mark.parametrize("mask", ["none", "causal", "boolean", "added", "scale"])
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-11), (np.float32, 1e-5)])
def test_values_and_gradients_are_pytorchs(torch, shapes, mask, dtype, tolerance):
    ours = leaves(shapes, dtype=dtype)
    theirs = [torch.tensor(x.data, requires_grad=True) for x in ours]
    rng = np.random.default_rng(2)
    sizes = shapes[0][-2], shapes[1][-2]
    options = {"causal": {"is_causal": True}, "scale": {"scale": 0.7}}.get(mask, {})
    if mask in ("boolean", "added"):
        array = rng.random(sizes) < 0.6 if mask == "boolean" else rng.standard_normal(sizes).astype(dtype)
        if mask == "boolean":
            array[:, 0] = True
        options = {"attn_mask": array}
    out = scaled_dot_product_attention(*ours, **options)
    cotangent = rng.standard_normal(out.shape).astype(dtype)
    out.backward(cotangent)
    if "attn_mask" in options:
        options["attn_mask"] = torch.tensor(options["attn_mask"])
    expected = torch.nn.functional.scaled_dot_product_attention(*theirs, **options)
    expected.backward(torch.tensor(cotangent))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=tolerance)
    for x, y in zip(ours, theirs):
        np.testing.assert_allclose(x.grad.data, y.grad.numpy(), atol=tolerance)
        assert x.grad.dtype == dtype


# ---- gradients


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("is_causal", [False, True])
def test_gradients_are_finite_differences(shapes, is_causal, seed):
    check_function(lambda: Attention(is_causal), *arrays(shapes, seed), None, seed=seed)  # without a mask


@pytest.mark.parametrize("shape", [(2, 3, 3, 5), (3, 1, 1), (3, 5), (5,), (1, 1, 1, 5)])
def test_an_added_mask_has_a_gradient(shape):
    query, key, value = arrays([(2, 3, 3, 4), (2, 3, 5, 4), (2, 3, 5, 6)])
    check_function(Attention, query, key, value, np.random.default_rng(3).standard_normal(shape))
    mask = Tensor(np.random.default_rng(3).standard_normal(shape), requires_grad=True)
    gradcheck(lambda mask: scaled_dot_product_attention(*map(Tensor, (query, key, value)), attn_mask=mask), mask)


@pytest.mark.parametrize("shape", [(150, 70), (150, 1), (70,), (2, 1, 150, 70), (2, 1, 1, 70)])
def test_an_added_mask_of_a_long_sequence(shape):
    inputs, same = (leaves([(2, 3, 150, 4), (2, 3, 70, 4), (2, 3, 70, 2), shape]) for _ in range(2))
    out, expected = scaled_dot_product_attention(*inputs), textbook(*same)
    np.testing.assert_allclose(out.data, expected.data, atol=1e-12)
    cotangent = np.random.default_rng(1).standard_normal(out.shape)
    out.backward(cotangent)
    expected.backward(cotangent)
    for ours, theirs in zip(inputs, same):
        np.testing.assert_allclose(ours.grad.data, theirs.grad.data, atol=1e-12)


@pytest.mark.parametrize("is_causal", [False, True])
def test_the_operation_keeps_what_it_was_given_and_what_it_weighed(is_causal):
    query, key, value = arrays([(2, 9, 4), (2, 9, 4), (2, 9, 2)])
    operation = Attention(is_causal)
    operation.forward(query, key, value)
    expected = attention_weights(Tensor(query), Tensor(key), is_causal=is_causal).data
    np.testing.assert_allclose(operation.weights, expected, atol=1e-14)
    assert operation.scale == 0.5 and operation.is_causal == is_causal and operation.dropout_p == 0.0
    assert all(np.array_equal(kept, given) for kept, given in zip(operation.inputs, (query, key, value)))


@pytest.mark.parametrize("shapes", SHAPES[:4])
def test_one_gradient_for_each_input(shapes):
    for mask in (None, np.ones((1, 1), bool), np.ones((1, 1))):
        operation = Attention()
        out = operation.forward(*arrays(shapes), mask)
        gradients = operation.backward(out)
        assert [np.shape(dx) for dx in gradients[:3]] == list(shapes) and len(gradients) == 4
        assert (gradients[3] is None) == (mask is None or mask.dtype == bool)


def test_attention_responds_to_queries_keys_and_values():
    "The first thing to check when nothing learns: the loss changes when a query does, as its gradient says."
    inputs = leaves([(2, 3, 4), (2, 5, 4), (2, 5, 6)])
    weight = np.random.default_rng(1).standard_normal((2, 3, 6))
    loss = (scaled_dot_product_attention(*inputs) * weight).sum()
    loss.backward()
    for x in inputs:
        nudged = [Tensor(y.data + 1e-6 * y.grad.data) if y is x else y for y in inputs]
        change = (scaled_dot_product_attention(*nudged) * weight).sum().item() - loss.item()
        assert change == pytest.approx(1e-6 * (x.grad.data**2).sum(), rel=1e-3)
        assert change > 1e-9


def test_strided_inputs_and_gradients_are_not_modified():
    base = np.random.default_rng(0).standard_normal((2, 5, 3, 4))  # heads as views, as in a model
    query, key, value = (base.transpose(0, 2, 1, 3)[..., ::-1] for _ in range(3))
    kept = base.copy()
    operation = Attention(is_causal=True)
    out = operation.forward(query, key, value)
    grad = np.random.default_rng(1).standard_normal(out.shape)
    saved = grad.copy()
    first = operation.backward(grad)
    second = operation.backward(grad)
    np.testing.assert_array_equal(base, kept)
    np.testing.assert_array_equal(grad, saved)
    for x, y in zip(first, second):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"scale": np.float64(0.3)}, {"dropout_p": 0.3},
                                     {"attn_mask": np.ones((3, 5), bool)}, {"attn_mask": np.ones((3, 5))}])
def test_float32_stays_float32(options):
    inputs = leaves([(2, 3, 4), (2, 5, 4), (2, 5, 6)], dtype=np.float32)
    out = scaled_dot_product_attention(*inputs, **options)
    out.backward(np.ones(out.shape, np.float32))
    assert out.dtype == np.float32
    assert all(x.grad.dtype == np.float32 for x in inputs)


# ---- masks


def test_causal_mask():
    np.testing.assert_array_equal(causal_mask(3).data, [[True, False, False], [True, True, False], [True] * 3])
    inputs = leaves([(2, 5, 4), (2, 5, 4), (2, 5, 6)])
    np.testing.assert_array_equal(scaled_dot_product_attention(*inputs, attn_mask=causal_mask(5)).data,
                                  scaled_dot_product_attention(*inputs, is_causal=True).data)


def test_true_means_may_attend():
    query, key, value = leaves([(1, 4), (3, 4), (3, 2)])
    only_the_second = Tensor([[False, True, False]])
    out = scaled_dot_product_attention(query, key, value, attn_mask=only_the_second)
    np.testing.assert_array_equal(out.data[0], value.data[1])
    np.testing.assert_array_equal(attention_weights(query, key, only_the_second).data, [[0, 1, 0]])


def test_a_later_token_changes_nothing_before_it_not_one_bit():
    for scale in (1.0, 1e4, -1e4):  # also where a future score is huge: it must not shift the softmax of the past
        query, key, value = arrays([(2, 3, 9, 4)] * 3, dtype=np.float32)
        before = Attention(is_causal=True).forward(query, key, value)
        changed = [x.copy() for x in (query, key, value)]
        for x in changed:
            x[..., 5:, :] = scale * np.random.default_rng(7).standard_normal((2, 3, 4, 4))
        after = Attention(is_causal=True).forward(*changed)
        assert np.array_equal(before[..., :5, :], after[..., :5, :])
        assert not np.allclose(before[..., 5:, :], after[..., 5:, :])
        assert np.isfinite(after).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_ten_thousand_stay_finite(dtype):
    inputs = leaves([(2, 3, 4), (2, 5, 4), (2, 5, 6)], dtype=dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        out = scaled_dot_product_attention(inputs[0] * 1e2, inputs[1] * 1e2, inputs[2], is_causal=True)
        out.sum().backward()
    assert np.isfinite(out.data).all()
    assert all(np.isfinite(x.grad.data).all() for x in inputs)


def test_a_fully_masked_row_gives_zeros_and_no_gradient():
    allowed = np.array([[True, False, True, True, True], [False] * 5, [True] * 5])
    for mask in (allowed, np.where(allowed, 0.0, -np.inf)):
        query, key, value = leaves([(2, 3, 4), (2, 5, 4), (2, 5, 6)])
        with np.errstate(all="raise"):
            out = scaled_dot_product_attention(query, key, value, attn_mask=mask)
            out.backward(np.random.default_rng(0).standard_normal(out.shape))
        assert np.all(out.data[:, 1] == 0) and np.all(query.grad.data[:, 1] == 0)
        assert np.all(out.data[:, [0, 2]] != 0) and np.all(query.grad.data[:, [0, 2]] != 0)
        assert np.isfinite(key.grad.data).all() and np.isfinite(value.grad.data).all()
        weights = attention_weights(query, key, mask)
        np.testing.assert_allclose(weights.data.sum(-1), [[1, 0, 1]] * 2)
        weights.backward(np.random.default_rng(0).standard_normal(weights.shape))
        assert np.isfinite(query.grad.data).all()


def test_padding_mask_is_equal_to_leaving_the_padding_out():
    query, key, value = leaves([(2, 2, 3, 4), (2, 2, 6, 4), (2, 2, 6, 5)])
    real = np.array([[True] * 4 + [False] * 2, [True] * 6])  # (B, T_key)
    out = scaled_dot_product_attention(query, key, value, attn_mask=real[:, None, None, :])
    shorter = scaled_dot_product_attention(query[0], key[0, :, :4], value[0, :, :4])
    np.testing.assert_allclose(out.data[0], shorter.data, atol=1e-14)
    out.sum().backward()
    assert np.all(value.grad.data[0, :, 4:] == 0) and np.all(value.grad.data[0, :, :4] != 0)


@pytest.mark.parametrize("mask, error, says", [
    (np.ones((3, 5), np.int64), TypeError, "int64"),
    (np.ones((3, 5), np.uint8), TypeError, "uint8"),
    (np.ones((3, 4), bool), ValueError, r"\(3, 4\).*\(2, 3, 5\)"),
    (np.ones((4, 2, 3, 5), bool), ValueError, r"\(4, 2, 3, 5\)"),
])
def test_masks_that_are_refused(mask, error, says):
    query, key, value = leaves([(2, 3, 4), (2, 5, 4), (2, 5, 6)])
    with pytest.raises(error, match=says):
        scaled_dot_product_attention(query, key, value, attn_mask=mask)
    with pytest.raises(error, match=says):
        attention_weights(query, key, mask)


def test_errors_name_what_they_got():
    query, key, value = leaves([(2, 3, 4), (2, 5, 4), (2, 5, 6)])
    with pytest.raises(ValueError, match="attn_mask.*is_causal"):
        scaled_dot_product_attention(query, key, value, attn_mask=np.ones((3, 5), bool), is_causal=True)
    with pytest.raises(ValueError, match=r"\(2, 3, 4\).*\(2, 5, 6\)"):
        scaled_dot_product_attention(query, value, value)
    with pytest.raises(ValueError, match=r"\(2, 5, 4\).*\(2, 4, 6\)"):
        scaled_dot_product_attention(query, key, value[:, :4])
    with pytest.raises(ValueError, match="1.5"):
        scaled_dot_product_attention(query, key, value, dropout_p=1.5)


def test_nothing_to_attend_to_is_like_everything_masked():
    out = scaled_dot_product_attention(*(Tensor(np.ones(shape)) for shape in ((2, 3, 4), (2, 0, 4), (2, 0, 5))))
    np.testing.assert_array_equal(out.data, np.zeros((2, 3, 5)))
    empty = scaled_dot_product_attention(*(Tensor(np.ones((0, 3, 4))) for _ in range(3)))
    assert empty.shape == (0, 3, 4)


# ---- dropout


def test_dropout_is_seeded_and_keeps_the_mean():
    query, key, value = leaves([(1, 4), (20, 4), (20, 2)])
    whole = scaled_dot_product_attention(query, key, value).data
    tinytorch.manual_seed(1)
    first = scaled_dot_product_attention(query, key, value, dropout_p=0.4).data
    second = scaled_dot_product_attention(query, key, value, dropout_p=0.4).data
    tinytorch.manual_seed(1)
    again = scaled_dot_product_attention(query, key, value, dropout_p=0.4).data
    assert np.array_equal(first, again) and not np.allclose(first, second)
    many = [scaled_dot_product_attention(query, key, value, dropout_p=0.4).data for _ in range(4000)]
    np.testing.assert_allclose(np.mean(many, axis=0), whole, atol=0.03)
    nothing = scaled_dot_product_attention(query, key, value, dropout_p=1.0)
    np.testing.assert_array_equal(nothing.data, np.zeros((1, 2)))


@pytest.mark.parametrize("seed", range(3))
def test_gradients_through_dropout(seed):
    def seeded():
        tinytorch.manual_seed(seed)  # the same weights are dropped every time
        return Attention(is_causal=True, dropout_p=0.4)

    check_function(seeded, *arrays([(2, 6, 4), (2, 6, 4), (2, 6, 3)], seed), None)
    check_function(seeded, *arrays([(67, 2), (67, 2), (67, 1)], seed), None)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_float_mask_has_a_gradient_only_if_it_wants_one(wanted):
    query, mask = tinytorch.randn(2, 3, 4, requires_grad=True), tinytorch.zeros(3, 3, requires_grad=wanted)
    out = scaled_dot_product_attention(query, query, query, attn_mask=mask)
    gradients = out.grad_fn.backward(np.ones(out.shape, np.float32))
    assert (gradients[3] is not None) == wanted, "an array as large as the scores, for nobody"
