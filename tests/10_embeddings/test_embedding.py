"""Tokens: rows of a table, whose gradients add up."""
import re

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.gradcheck import GradientError, check_function
from tinytorch.nn.embedding import Embedding, EmbeddingFunction, embedding, scatter_add_rows


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rows, count, dim", [(1, 1, 1), (40, 7, 3), (500, 30, 5), (6, 1000, 4)])
def test_scatter_add_is_the_sum_over_every_use(rows, count, dim, seed):
    rng = np.random.default_rng(seed)
    values, indices = rng.standard_normal((rows, dim)), rng.integers(0, count, rows)
    expected = np.zeros((count, dim))
    for value, index in zip(values, indices):
        expected[index] += value
    np.testing.assert_allclose(scatter_add_rows(values, indices, count), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_scatter_add_takes_any_integers(dtype):
    got = scatter_add_rows(np.ones((4, 2), np.float32), np.array([2, 0, 2, 2], dtype), 4)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [[1, 1], [0, 0], [3, 3], [0, 0]])


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3), (0,), (2, 0)])
def test_values_and_gradient_for_ids_of_any_shape(shape):
    rng = np.random.default_rng(0)
    ids, table = rng.integers(0, 5, shape), rng.standard_normal((5, 3))
    out = embedding(Tensor(ids), Tensor(table))
    assert out.shape == (*shape, 3)
    np.testing.assert_array_equal(out.numpy(), table[ids])
    check_function(EmbeddingFunction, ids, table)


def test_a_gradient_assigned_instead_of_added_is_rejected():
    class Assigned(EmbeddingFunction):
        def forward(self, indices, weight):
            self.ids, self.shape = indices, weight.shape
            return super().forward(indices, weight)

        def backward(self, grad):
            dweight = np.zeros(self.shape)
            dweight[self.ids] = grad  # the last use of a row wins
            return None, dweight

    table = np.random.default_rng(0).standard_normal((5, 3))
    check_function(Assigned, np.array([4, 0, 1]), table)  # without repeats it looks right
    with pytest.raises(GradientError, match="Assigned: gradient of input 1"):
        check_function(Assigned, np.array([4, 0, 4]), table)


def test_agrees_with_indexing_and_with_a_one_hot_product():
    rng = np.random.default_rng(1)
    ids, table, cotangent = rng.integers(0, 6, (4, 5)), rng.standard_normal((6, 3)), rng.standard_normal((4, 5, 3))
    gradients = []
    for look_up in (lambda w: embedding(ids, w), lambda w: w[ids], lambda w: Tensor(np.eye(6)[ids]) @ w):
        weight = Tensor(table, requires_grad=True)
        look_up(weight).backward(cotangent)
        gradients.append(weight.grad.data)
    assert np.abs(gradients[0]).max() > 1
    np.testing.assert_allclose(gradients[0], gradients[1], atol=1e-12)
    np.testing.assert_allclose(gradients[0], gradients[2], atol=1e-12)


@pytest.mark.parametrize("padding_idx", [0, 3, -1])
def test_padding_starts_at_zero_and_gets_no_gradient(padding_idx):
    layer = Embedding(5, 3, padding_idx=padding_idx)
    assert not layer.weight.data[padding_idx].any()
    layer(Tensor([[0, 1, 2], [3, 4, 4]])).sum().backward()
    expected = np.array([1, 1, 1, 1, 2.0])
    expected[padding_idx] = 0
    np.testing.assert_array_equal(layer.weight.grad.data, np.repeat(expected[:, None], 3, axis=1))


@pytest.mark.parametrize("ids, error, words", [
    ([[1, 2], [3, 12]], IndexError, [r"\b12\b", r"\(1, 1\)", r"\b1[01]\b"]),  # 0 to 10, or 11 rows
    ([0, -1], IndexError, [r"-1\b", r"\(1,\)", r"\b1[01]\b"]),
    (12, IndexError, [r"\b12\b", r"\(\)", r"\b1[01]\b"]),
    ([[0.5, 1.0]], TypeError, ["float32", r"\b1[01]\b"]),
    ([True, False], TypeError, ["bool"]),
])
def test_wrong_ids_say_which_where_and_what_was_expected(ids, error, words):
    layer = Embedding(11, 4)
    before = layer.weight.data.copy()
    with pytest.raises(error) as raised:
        layer(Tensor(ids))
    assert all(re.search(word, str(raised.value)) for word in words), str(raised.value)
    np.testing.assert_array_equal(layer.weight.data, before)
    assert layer.weight.grad is None


@pytest.mark.parametrize("padding_idx", [5, -6])
def test_padding_outside_the_vocabulary_is_refused(padding_idx):
    with pytest.raises(IndexError, match=f"{padding_idx}.*5"):
        Embedding(5, 3, padding_idx=padding_idx)
    with pytest.raises(IndexError, match=f"{padding_idx}.*5"):
        embedding([1, 2], Tensor(np.ones((5, 3))), padding_idx)


def test_module():
    layer = Embedding(5, 3, padding_idx=-1)
    assert repr(layer) == "Embedding(5, 3, padding_idx=4)"
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    assert layer.weight.dtype == np.float32
    with no_grad():
        assert not layer(Tensor([1, 2])).requires_grad
    assert layer([1, 2]).requires_grad, "lists of ids work too"
    assert 0.9 < Embedding(100, 100).weight.data.std() < 1.1


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_like_pytorch(torch, padding_idx):
    rng = np.random.default_rng(2)
    ids, table = rng.integers(0, 7, (3, 8)), rng.standard_normal((7, 4))
    cotangent = rng.standard_normal((3, 8, 4))
    ours, theirs = Tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
    out = embedding(ids, ours, padding_idx)
    expected = torch.nn.functional.embedding(torch.tensor(ids), theirs, padding_idx)
    out.backward(cotangent)
    expected.backward(torch.tensor(cotangent))
    np.testing.assert_array_equal(out.detach().numpy(), expected.detach().numpy())
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), atol=1e-12)
