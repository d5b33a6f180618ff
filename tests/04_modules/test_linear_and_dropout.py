"""Linear in one product, and dropout."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, manual_seed, randn
from tinytorch.gradcheck import GradientError, check_function, gradcheck
from tinytorch.nn.layers import Dropout, Flatten, Identity, Linear, LinearFunction, dropout, dropout_mask, linear


def arrays(*shapes, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


# ---- linear


@pytest.mark.parametrize("lead", [(), (3,), (2, 3), (2, 1, 3), (0,), (2, 0)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_agrees_with_the_composed_form_in_value_and_gradient(lead, bias):
    inputs = [Tensor(a, requires_grad=True) for a in arrays((*lead, 4), (5, 4), (5,))[:3 if bias else 2]]
    results = []
    for f in (linear, lambda x, w, b=0.0: x @ w.T + b):
        for t in inputs:
            t.grad = None
        out = f(*inputs)
        out.sin().sum().backward()
        results.append([out.data, *(t.grad.data for t in inputs)])
    for one, other in zip(*results):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=1e-12)
    if 0 not in lead:
        assert all(np.abs(gradient).max() > 1e-3 for gradient in results[0][1:])


@pytest.mark.parametrize("seed", range(3))
def test_linear_against_finite_differences(seed):
    check_function(LinearFunction, *arrays((2, 3, 4), (5, 4), (5,), seed=seed), seed=seed)
    check_function(LinearFunction, *arrays((7, 1), (2, 1), seed=seed), None, seed=seed)


def test_the_check_rejects_a_gradient_that_forgets_the_rows():
    class OneRow(LinearFunction):
        def backward(self, grad):
            dx, dweight, dbias = super().backward(grad)
            return dx, dweight, dbias / 3

    with pytest.raises(GradientError, match="input 2"):
        check_function(OneRow, *arrays((3, 4), (5, 4), (5,)))


def test_linear_takes_strided_inputs_and_modifies_nothing():
    x, w, b = arrays((4, 3, 2), (10, 4), (10,))
    x, w = x.T, w[::2]
    b = b[::2]
    copies = [a.copy() for a in (x, w, b)]
    operation = LinearFunction()
    out = operation.forward(x, w, b)
    gradient = np.ones_like(out)
    first = operation.backward(gradient)
    np.testing.assert_allclose(out, x @ w.T + b, atol=1e-12)
    for one, other in zip(first, operation.backward(gradient)):
        np.testing.assert_array_equal(one, other)
    for array, kept in zip((x, w, b), copies):
        np.testing.assert_array_equal(array, kept)
    assert (gradient == 1).all()


def test_linear_computes_only_the_gradients_asked_for():
    x, w, b = (Tensor(a) for a in arrays((3, 4), (5, 4), (5,)))
    w.requires_grad = True
    linear(x, w, b).sum().backward()
    assert x.grad is None and b.grad is None and np.abs(w.grad.data).max() > 0
    b.requires_grad, w.requires_grad, w.grad = True, False, None  # fine-tuning of biases alone
    linear(x, w, b).sum().backward()
    assert w.grad is None and b.grad.tolist() == [3] * 5


def test_an_absent_bias_is_an_input_and_gets_no_gradient():
    x, w = arrays((3, 4), (5, 4))
    operation = LinearFunction()
    np.testing.assert_allclose(operation.forward(x, w, None), x @ w.T, atol=1e-12)
    dx, dweight, dbias = operation.backward(np.ones((3, 5)))
    assert dbias is None and dx.shape == x.shape and dweight.shape == w.shape


def test_float32_stays_float32():
    layer = Linear(4, 3)
    x = randn(2, 4, requires_grad=True)
    out = layer(x)
    out.sum().backward()
    assert {t.dtype for t in (out, x.grad, layer.weight.grad, layer.bias.grad)} == {np.dtype(np.float32)}
    tinytorch.set_default_dtype(np.float64)
    try:
        assert Linear(4, 3).weight.dtype == np.float64
    finally:
        tinytorch.set_default_dtype(np.float32)


@pytest.mark.parametrize("x, w, b", [
    ((2, 5), (3, 4), (3,)), ((), (3, 4), (3,)), ((2, 4), (3, 4), (4,)), ((2, 4), (3, 4), (1,)), ((2, 4), (4,), None)])
def test_linear_errors(x, w, b):
    with pytest.raises(ValueError) as raised:
        linear(randn(*x), randn(*w), None if b is None else randn(*b))
    message = "\n".join([str(raised.value), *getattr(raised.value, "__notes__", [])])
    assert [shape for shape in (x, w, b) if shape is not None and str(shape) not in message] == []


def test_linear_refuses_integers():
    with pytest.raises(TypeError, match="int64"):
        Linear(2, 3)(Tensor(np.ones((4, 2), np.int64)))


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_linear_is_pytorchs(torch, dtype, tolerance):
    x, w, b, g = arrays((2, 3, 4), (5, 4), (5,), (2, 3, 5), dtype=dtype)
    ours = [Tensor(a, requires_grad=True) for a in (x, w, b)]
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, w, b)]
    out, expected = linear(*ours), torch.nn.functional.linear(*theirs)
    out.backward(g)
    expected.backward(torch.tensor(g))
    np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=tolerance)
    for one, other in zip(ours, theirs):
        np.testing.assert_allclose(one.grad.data, other.grad.numpy(), atol=tolerance)


# ---- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_dropout_keeps_the_expected_value_and_passes_the_gradient_where_it_kept(p, seed):
    manual_seed(seed)
    x = Tensor(np.full((300, 200), 2.0, np.float32), requires_grad=True)
    y = Dropout(p)(x)
    y.backward(np.full(y.shape, 3.0))
    assert np.mean(y.data == 0) == pytest.approx(p, abs=0.02)
    assert y.data.mean() == pytest.approx(2, rel=0.1)
    np.testing.assert_allclose(np.unique(y.data), [0, 2 / (1 - p)], rtol=1e-6)
    np.testing.assert_allclose(x.grad.data, y.data * 1.5, rtol=1e-6)
    assert y.dtype == x.grad.dtype == np.float32


def test_dropout_against_finite_differences():
    def repeatable(x):
        manual_seed(1)
        return dropout(x, 0.4)

    gradcheck(repeatable, Tensor(arrays((4, 5))[0], requires_grad=True))


def test_dropout_is_the_identity_in_eval_mode_and_for_p_0():
    x = randn(3, 4)
    assert Dropout(0.5).eval()(x) is x and Dropout(0.0)(x) is x and dropout(x, 0.5, training=False) is x


def test_dropout_of_everything():
    x = randn(3, 4, requires_grad=True)
    y = dropout(x, 1.0)
    y.sum().backward()
    assert not y.data.any() and not x.grad.any() and np.isfinite(x.grad.data).all()


def test_the_seed_repeats_dropout_and_two_calls_differ():
    x = randn(20, 20)
    manual_seed(5)
    one, other = dropout(x).data, dropout(x).data
    manual_seed(5)
    np.testing.assert_array_equal(dropout(x).data, one)
    assert (one != other).any()


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_a_bad_probability_is_refused(p):
    with pytest.raises(ValueError, match=str(p)):
        Dropout(p)
    with pytest.raises(ValueError, match=str(p)):
        dropout(randn(2), p)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_dropout_mask(p, dtype):
    mask = dropout_mask((200, 300), p, dtype)
    assert mask.shape == (200, 300) and mask.dtype == dtype
    assert np.mean(mask == 0) == pytest.approx(p, abs=0.01)
    np.testing.assert_allclose(np.unique(mask[mask != 0]), [1 / (1 - p)] if p < 1 else [], rtol=1e-6)


# ---- the small ones


def test_flatten_identity_and_what_dropout_looks_like():
    x = randn(2, 3, 4, 5)
    assert Flatten()(x).shape == (2, 60) and Flatten(0, 1)(x).shape == (6, 4, 5) and Flatten(2)(x).shape == (2, 3, 20)
    assert Identity(5, anything=True)(x) is x
    assert repr(Dropout(0.3)) == "Dropout(p=0.3, inplace=False)"


def test_the_first_weights_lie_on_both_sides_of_zero():
    manual_seed(0)
    weight = Linear(100, 50).weight.data  # within +-0.1
    assert -0.1 <= weight.min() < -0.099 and 0.099 < weight.max() <= 0.1
