"""Tensor: what it holds, how it counts and compares, how it is indexed, and what it refuses."""
import numpy as np
import pytest
from said import said

import tinytorch
from tinytorch import Tensor, set_default_dtype
from tinytorch.gradcheck import gradcheck


def leaf(shape, seed=0):
    return Tensor(np.random.default_rng(seed).uniform(0.5, 2.0, shape), requires_grad=True)


@pytest.fixture
def float64_by_default():
    set_default_dtype(np.float64)
    yield
    set_default_dtype(np.float32)


# ---- what it holds

@pytest.mark.parametrize("data, dtype, shape", [
    (1.0, np.float32, ()), ([1.0, 2.0], np.float32, (2,)), ([[1, 2, 3]], np.int64, (1, 3)),
        ([True, False], np.bool_, (2,)), (3, np.int64, ()),
    (np.ones(2), np.float64, (2,)), (np.ones(2, np.float32), np.float32, (2,)), (np.ones(2, np.int32), np.int32, (2,)),
        ([], np.float32, (0,)),
], ids=str)
def test_dtype_and_shape(data, dtype, shape):
    x = Tensor(data)
    assert x.dtype == dtype and x.shape == x.size() == shape
    assert x.ndim == x.dim() == len(shape) and x.numel() == np.size(data)


def test_python_floats_follow_the_default_dtype(float64_by_default):
    assert Tensor([1.0]).dtype == np.float64 and tinytorch.zeros(2).dtype == np.float64
    assert (Tensor([1, 2]) / 2).dtype == np.float64
    with pytest.raises(TypeError, match="float32"):
        set_default_dtype(np.int64)


def test_data_is_copied():
    array = np.ones(3)
    x = Tensor(array)
    array[0] = 5
    assert np.array_equal(x.data, [1, 1, 1])
    y = Tensor(x)
    assert not np.shares_memory(x.data, y.data)


def test_to_python_and_numpy():
    x = Tensor([[1.5, 2.5]])
    assert x.tolist() == [[1.5, 2.5]] and x.numpy() is x.data and np.array_equal(np.asarray(x), x.data)
    assert Tensor(2.5).item() == 2.5 and float(Tensor([2.5])) == 2.5
    assert int(Tensor(3)) == 3 and bool(Tensor(0.0)) is False
    assert [t.item() for t in Tensor([1, 2, 3])] == [1, 2, 3] and len(x) == 1
    with pytest.raises(ValueError, match=r"\(1, 2\)"):
        x.item()
    with pytest.raises(RuntimeError):
        leaf(2).numpy()
    with pytest.raises(TypeError):
        len(Tensor(1.0))


def test_it_prints_like_pytorch():
    assert repr(Tensor([1.0, 2.5])).replace(" ", "") == "tensor([1.,2.5])"
    assert "requires_grad=True" in repr(leaf(2)) and "grad_fn=Mul" in repr(leaf(2) * 2) and "float64" in repr(leaf(2))


def test_words_and_objects_are_refused():
    for data in (["a"], [None], {"a": 1}, [1j]):
        with pytest.raises(TypeError):
            Tensor(data)


@pytest.mark.parametrize("data", [[1, 2], [True], np.arange(3)], ids=str)
def test_integers_have_no_gradient(data):
    with pytest.raises(TypeError):
        Tensor(data, requires_grad=True)
    x = Tensor(data)
    with pytest.raises(TypeError, match=str(x.dtype)):
        x.requires_grad_()
    with pytest.raises(TypeError):
        x.requires_grad = True
    assert not x.requires_grad


# ---- arithmetic

@pytest.mark.parametrize("call, derivative", [
    (lambda x: 2 * x, lambda x: 2), (lambda x: x * 2, lambda x: 2), (lambda x: 1 - x, lambda x: -1),
        (lambda x: x - 1, lambda x: 1),
    (lambda x: 1 + x, lambda x: 1), (lambda x: 3 / x, lambda x: -3 / x ** 2), (lambda x: x / 4, lambda x: 0.25),
    (lambda x: x ** 2, lambda x: 2 * x), (lambda x: x ** -1, lambda x: -x ** -2.0),
        (lambda x: 2 ** x, lambda x: 2 ** x * np.log(2)),
    (lambda x: -x, lambda x: -1), (lambda x: abs(-x), lambda x: 1), (lambda x: np.float64(2) * x, lambda x: 2),
    (lambda x: np.full(3, 2.0) * x, lambda x: 2), (lambda x: x + np.full(3, 2.0), lambda x: 1),
        (lambda x: np.full(3, 2.0) - x, lambda x: -1),
    (lambda x: np.full(3, 2.0) / x, lambda x: -2 / x ** 2), (lambda x: [1.0, 2.0, 3.0] * x, lambda x: [1, 2, 3]),
])
def test_operators_with_numbers_and_arrays_on_either_side(call, derivative):
    x = leaf(3)
    out = call(x)
    assert isinstance(out, Tensor) and np.allclose(out.data,
        call(x.data) if not isinstance(call(x.data), list) else out.data)
    out.sum().backward()
    assert np.allclose(x.grad, derivative(x.data))
    gradcheck(call, x)


def test_matrix_products_with_an_array_on_either_side():
    x = leaf((2, 3))
    gradcheck(lambda x: np.ones((4, 2)) @ x, x)
    gradcheck(lambda x: x @ np.ones((3, 4)), x)
    assert isinstance(np.ones((4, 2)) @ x, Tensor)


def test_float32_stays_float32_whatever_stands_beside_it():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for other in (2, 2.0, np.float64(2), np.int64(2), True, Tensor([1, 2]), Tensor([True, False])):
        for out in (x * other, other * x, x + other, other - x, x.maximum(other)):
            assert out.dtype == np.float32, f"{other!r}"
    (2.0 ** x * Tensor([3, 4])).sum().backward()
    assert x.grad.dtype == np.float32


def test_comparisons_are_booleans_without_a_graph():
    x = leaf(3)
    for out in (x > 1, x >= 1.0, x < x, x <= x, x == x, x != np.ones(3), 1 < x, ~(x > 1), (x > 1) & (x < 2),
        (x > 1) | (x < 2)):
        assert out.dtype == bool and not out.requires_grad
    assert (x == x).data.all() and not (x != x).data.any()


def test_argmax_and_the_like_are_integers_without_a_graph():
    x = leaf((2, 3))
    for out in (x.argmax(), x.argmin(dim=1), x.max(dim=0).indices, x.long(), x.bool()):
        assert not out.requires_grad and out.grad_fn is None and out.dtype.kind in "ib"


def test_max_along_a_dim_sends_the_gradient_to_the_one_it_chose():
    x = Tensor([[1.0, 5.0, 5.0], [7.0, 2.0, 7.0]], requires_grad=True)
    values, indices = x.max(dim=1)
    assert np.array_equal(values.data, [5, 7]) and np.array_equal(indices.data, [1, 0])
    values.sum().backward()
    assert np.array_equal(x.grad, [[0, 1, 0], [1, 0, 0]])
    x.grad = None
    x.min(1, keepdim=True).values.sum().backward()
    assert np.array_equal(x.grad, [[1, 0, 0], [0, 1, 0]])


# ---- shapes

def test_sizes_come_one_by_one_or_as_a_tuple():
    x = leaf((2, 3, 4))
    for shape in ((4, 6), (-1, 8)):
        assert x.reshape(*shape).shape == x.reshape(shape).shape == x.view(list(shape)).shape
    assert x.permute(2, 0, 1).shape == x.permute((2, 0, 1)).shape == (4, 2, 3)
    assert x.T.shape == (4, 3, 2) and x.mT.shape == (2, 4, 3) and x.transpose(0, -1).shape == (4, 3, 2)
    assert Tensor(1.0).transpose(0, -1).shape == Tensor(1.0).T.shape == ()  # a single number has nothing to swap
    assert tinytorch.zeros(2, 3).shape == tinytorch.zeros((2, 3)).shape == (2, 3)


SHAPED = {
    "squeeze": (lambda x: x.unsqueeze(0).unsqueeze(-1).squeeze(), (2, 3, 4)),
    "squeeze a dim": (lambda x: x.unsqueeze(1).squeeze(1).squeeze(0), (2, 3, 4)),
    "unsqueeze": (lambda x: x.unsqueeze(-2), (2, 3, 1, 4)),
    "flatten": (lambda x: x.flatten(1), (2, 12)),
    "flatten some": (lambda x: x.flatten(0, 1), (6, 4)),
    "repeat": (lambda x: x.repeat(2, 1, 1, 3), (2, 2, 3, 12)),
    "split": (lambda x: x.split(3, dim=-1)[0], (2, 3, 3)),
    "split, the rest": (lambda x: x.split(3, dim=-1)[1], (2, 3, 1)),
    "split by sizes": (lambda x: x.split([1, 2], dim=1)[1], (2, 2, 4)),
    "chunk": (lambda x: x.chunk(2, dim=1)[1], (2, 1, 4)),
    "index_select": (lambda x: x.index_select(1, Tensor([2, 0, 2])), (2, 3, 4)),
    "index_select of too few": (lambda x: x.index_select(-1, [0]), (2, 3, 1)),
    "masked_fill": (lambda x: x.masked_fill(x > 1, 0.0), (2, 3, 4)),
    "where": (lambda x: x.where(x > 1, x * x), (2, 3, 4)),
    "stack": (lambda x: tinytorch.stack([x, x * 2], dim=1), (2, 2, 3, 4)),
    "cat": (lambda x: tinytorch.cat([x, x * 2, x[:, :0]], dim=1), (2, 6, 4)),
    "outer": (lambda x: x[0, 0].outer(x[1, :, 0]), (4, 3)),
    "einsum": (lambda x: tinytorch.einsum("ijk,ijk->j", x, x), (3,)),
}


@pytest.mark.parametrize("name", SHAPED)
def test_shape_and_gradient(name):
    call, shape = SHAPED[name]
    assert call(leaf((2, 3, 4))).shape == shape
    gradcheck(call, leaf((2, 3, 4)))


def given(key):
    "The key with Tensors in place of arrays: they are made when the test runs, not when it is collected."
    if isinstance(key, tuple):
        return tuple(given(part) for part in key)
    return Tensor(key) if isinstance(key, np.ndarray) else key


@pytest.mark.parametrize("key", [
    0, (slice(None), -1), (..., None, 0), np.array([1, 1, 0]), [1, 1, 0], ([0, 1], [2, 2]), [],
    (slice(None), np.array([[0, 0], [2, 1]])), np.array([True, False]), [False, True],
], ids=repr)
def test_indexing_with_whatever_pytorch_takes(key):
    x = leaf((2, 3, 4))
    expected = x.data[np.zeros(0, int) if key == [] else key] if isinstance(key, list) else x.data[key]
    assert np.array_equal(x[given(key)].data, expected)
    gradcheck(lambda x: x[given(key)], x)
    if isinstance(key, np.ndarray):
        gradcheck(lambda x: x[key], x)


def test_an_integer_tensor_can_stand_where_a_number_is_counted():
    x = leaf((4, 3))
    assert x[Tensor(2)].shape == (3,) and x[:Tensor(2)].shape == (2, 3) and list(range(Tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError, match="float32"):
        range(Tensor(2.0))


@pytest.mark.parametrize("key", [1.0, np.array([0.0, 1.0]), [0.5], np.ones(2), (0, np.array(1.0))], ids=repr)
def test_floats_do_not_index(key):
    for each in (key, given(key)):
        with pytest.raises(IndexError):
            leaf((3, 3))[each]


# ---- errors name the operation and the shapes

@pytest.mark.parametrize("call, words", [
    (lambda x: x + Tensor(np.ones((4, 5))), ["add", "(2, 3)", "(4, 5)"]),
    (lambda x: x @ x, ["matmul", "(2, 3)"]),
    (lambda x: x.reshape(4, 2), ["reshape", "(2, 3)"]),
    (lambda x: x.sum(dim=2), ["sum", "dim 2", "(2, 3)"]),
    (lambda x: x.transpose(0, 3), ["transpose", "dim 3"]),
    (lambda x: x.expand(4, 3), ["expand", "(2, 3)"]),
    (lambda x: x[5], ["index", "5", "(2, 3)"]),
    (lambda x: tinytorch.cat([x, x.T]), ["cat", "(2, 3)", "(3, 2)"]),
    (lambda x: x.mm(x[0]), ["mm", "(2, 3)", "(3,)"]),
    (lambda x: x.split([1, 1], dim=1), ["split", "(2, 3)", "2"]),
], ids=lambda value: value[0] if isinstance(value, list) else "")
def test_errors_name_the_operation_and_the_shapes(call, words):
    x = leaf((2, 3))
    before = x.data.copy()
    with pytest.raises((ValueError, IndexError)) as raised:
        call(x)
    assert all(word in said(raised.value).lower() for word in words), said(raised.value)
    assert np.array_equal(x.data, before) and x.grad is None and x.requires_grad


# ---- making tensors

def test_what_creation_creates():
    assert np.array_equal(tinytorch.ones(2, 1).data, [[1], [1]]) and tinytorch.ones(2).dtype == np.float32
    assert np.array_equal(tinytorch.arange(5).data, range(5)) and tinytorch.arange(5).dtype == np.int64
    assert np.allclose(tinytorch.arange(0, 1, 0.25).data, [0, 0.25, 0.5, 0.75]) and tinytorch.arange(0, 1,
        0.25).dtype == np.float32
    assert np.array_equal(tinytorch.eye(2).data, np.eye(2)) and tinytorch.full((2, 2), 7).dtype == np.int64
    assert np.array_equal(tinytorch.full((2,), 0.5).data,
        [0.5, 0.5]) and tinytorch.zeros_like(tinytorch.arange(3)).dtype == np.int64
    assert tinytorch.ones_like(Tensor(np.ones(2))).dtype == np.float64 and tinytorch.tensor([1, 2]).shape == (2,)
    assert tinytorch.zeros(2, requires_grad=True).requires_grad


def test_manual_seed_brings_the_same_numbers_back():
    def draw():
        return [tinytorch.rand(3).data, tinytorch.randn(2, 2).data, tinytorch.randint(0, 9, (4,)).data]

    tinytorch.manual_seed(3)
    first = draw()
    other = draw()
    tinytorch.manual_seed(3)
    again = draw()
    assert all(np.array_equal(a, b) for a, b in zip(first, again))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other))


def test_random_numbers_lie_where_they_should():
    uniform, normal = tinytorch.rand(10_000).data, tinytorch.randn(10_000).data
    integers = tinytorch.randint(2, 5, (1000,)).data
    assert 0 <= uniform.min() and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.02
    assert abs(normal.mean()) < 0.05 and abs(normal.std() - 1) < 0.05 and normal.dtype == np.float32
    assert set(integers.tolist()) == {2, 3, 4}


# ---- the gradient is a Tensor, around the array that the backward pass collects

def test_the_gradient_is_a_tensor_of_its_own_dtype_and_no_graph():
    x = Tensor([3.0, 4.0], requires_grad=True)
    (x * x).sum().backward()
    grad = x.grad
    assert isinstance(grad, Tensor) and grad.tolist() == [6, 8] and grad.dtype == np.float32 and not grad.requires_grad
    (x * 2).sum().backward()
    assert x.grad is grad and grad.tolist() == [8, 10], "the next one adds to the same Tensor"


def test_a_gradient_that_does_not_fit_is_refused():
    x = Tensor([3.0, 4.0], requires_grad=True)
    x.grad = kept = Tensor([1.0, 2.0])
    for wrong, error, words in ((3.0, TypeError, "float"), ("a", TypeError, "str"), ([1.0, 2.0], TypeError, "list"),
                                (Tensor([1.0]), RuntimeError, r"\(1,\)"), (np.ones(2), RuntimeError, "float64")):
        with pytest.raises(error, match=words):
            x.grad = wrong
    assert x.grad is kept
    array = np.ones(2, np.float32)
    x.grad = array
    assert x.grad.data is array, "an array is wrapped"
    x.grad = None
    assert x.grad is None


def test_squeeze_takes_the_dims_that_are_named_and_no_others():
    x = Tensor(np.ones((1, 3, 1)))
    assert x.squeeze(0).shape == (3, 1) and x.squeeze(-1).shape == (1, 3) and x.squeeze((0, 2)).shape == (3,)
