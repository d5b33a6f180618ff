"""Sums, means, extremes, softmax: over one dim, several or all, kept or not."""
import numpy as np
import pytest

from tinytorch.gradcheck import check_function
from tinytorch.ops.reductions import (
    Amax,
    Amin,
    CumSum,
    LogSoftmax,
    LogSumExp,
    Mean,
    Prod,
    Reduction,
    Softmax,
    Std,
    Sum,
    Var,
    positive_dims,
)


def untied(shape, seed=0):
    "numbers that all differ, so that there is one largest"
    size = int(np.prod(shape))
    return (0.37 * np.random.default_rng(seed).permutation(size) - 0.17 * size + 0.05).reshape(shape)


def given(operation, array):
    "the output, and the gradient for a gradient of ones"
    out = operation.forward(np.array(array))
    return out, operation.backward(np.ones_like(out))[0]


DIMS = [None, 0, 1, -1, (0, 2), (-1, 0), (0, 1, 2)]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("operation, reference", [
    (Sum, np.sum), (Mean, np.mean), (Amax, np.max), (Amin, np.min), (Prod, np.prod),
    (Var, lambda x, **o: np.var(x, ddof=1, **o)), (Std, lambda x, **o: np.std(x, ddof=1, **o)),
    (LogSumExp, lambda x, **o: np.log(np.sum(np.exp(x), **o))),
], ids=lambda value: value.__name__ if isinstance(value, type) else "")
def test_value_and_gradient(operation, reference, dim, keepdim):
    x = untied((2, 3, 4)) / 3
    out = operation(dim, keepdim).forward(x)
    assert np.allclose(out, reference(x, axis=dim, keepdims=keepdim))
    assert np.shape(out) == np.shape(reference(x, axis=dim, keepdims=keepdim))
    check_function(lambda: operation(dim, keepdim), x)


@pytest.mark.parametrize("operation", [Sum, Mean, Amax, Amin, Prod, LogSumExp])
def test_a_number_is_its_own_reduction(operation):
    for dim in (None, 0, -1):
        out, gradient = given(operation(dim), 3.0)
        assert np.allclose([out, gradient], [3, 1])


def test_an_empty_tuple_of_dims_means_all():
    assert Sum(()).forward(np.ones((2, 3))) == 6


def test_what_nothing_sums_to():
    for operation, value in (Sum(1), 0), (Prod(1), 1), (LogSumExp(1), -np.inf):
        out, gradient = given(operation, np.zeros((3, 0)))
        assert np.array_equal(out, np.full(3, value)) and gradient.shape == (3, 0)
    for operation in (Amax, Amin):
        assert operation(1).forward(np.zeros((0, 3))).shape == (0,)
        with pytest.raises(ValueError, match=r"\(3, 0\)"):
            operation(1).forward(np.zeros((3, 0)))


def test_dims_are_counted_from_the_front_and_checked():
    assert positive_dims(None, 3) == (0, 1, 2) and positive_dims(-1, 3) == (2,) and positive_dims((2, -3), 3) == (0, 2)
    assert positive_dims((), 2) == positive_dims([1, 0], 2) == (0, 1)
    assert positive_dims(None, 0) == positive_dims(0, 0) == positive_dims(-1, 0) == ()
    for dim, ndim in [(3, 3), (-4, 3), ((0, 2), 2), (1, 0), (-2, 0)]:
        with pytest.raises(IndexError):
            positive_dims(dim, ndim)
    for dim in [(0, -3), (1, 1)]:
        with pytest.raises(ValueError):
            positive_dims(dim, 3)


def test_what_a_reduction_remembers_of_its_input():
    for dim, keepdim, axes, count in [(1, False, (1,), 3), ((0, -1), False, (0, 2), 8), (None, True, (0, 1, 2), 24)]:
        reduction = Reduction(dim, keepdim)
        assert (reduction.dim, reduction.keepdim) == (dim, keepdim)
        assert reduction.axes_of(np.zeros((2, 3, 4))) == reduction.axes == axes
        assert reduction.count == count and reduction.shape == (2, 3, 4)
        kept = np.sum(untied((2, 3, 4)), axis=axes, keepdims=True)
        lost = kept if keepdim else np.squeeze(kept, axes)
        assert np.array_equal(reduction.restore(lost), kept) and reduction.restore(lost).shape == kept.shape


def test_options_are_kept_under_their_names():
    var = Var(1, True, correction=0)
    assert (var.dim, var.keepdim, var.correction) == (1, True, 0)
    assert Softmax(1).dim == LogSoftmax(1).dim == CumSum(1).dim == 1


@pytest.mark.parametrize("operation", [Softmax(0), LogSoftmax(0), LogSumExp(0)], ids=lambda operation: operation.name)
def test_floats_only(operation):
    with pytest.raises(TypeError, match="int64"):
        operation.forward(np.array([1, 2], np.int64))
    with pytest.raises(TypeError, match="bool"):
        operation.forward(np.array([True]))


def test_variance_is_divided_by_n_minus_correction():
    x = np.array([1.0, 2.0, 4.0, 9.0])
    for correction in (0, 1, 2):
        assert np.isclose(Var(correction=correction).forward(x), ((x - 4) ** 2).sum() / (4 - correction))
        check_function(lambda correction=correction: Var(correction=correction), x)


def test_the_deviation_of_constants_is_0_and_so_is_its_gradient():
    out, gradient = given(Std(), [2.0, 2.0, 2.0])
    assert out == 0 and np.array_equal(gradient, [0, 0, 0])


def test_elements_that_tie_share_the_gradient():
    for operation in (Amax, Amin):
        _, gradient = given(operation(1), [[5.0, 5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0]])
        assert np.array_equal(gradient, np.full((2, 4), 0.25))
    _, gradient = given(Amax(), [[1.0, 7.0], [7.0, 2.0]])
    assert np.array_equal(gradient, [[0, 0.5], [0.5, 0]])


@pytest.mark.parametrize("zeros", [1, 2])
def test_a_product_with_zeros_has_the_right_gradient(zeros):
    x = untied((2, 3, 2))
    x[0, :zeros, 0] = 0
    check_function(lambda: Prod(1), x)
    check_function(lambda: Prod((0, 1)), x)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_running_sums(dim):
    x = untied((2, 3, 4))
    assert np.allclose(CumSum(dim).forward(x), np.cumsum(x, axis=dim))
    check_function(lambda: CumSum(dim), x)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("operation", [Softmax, LogSoftmax])
def test_gradient_of_softmax(operation, dim):
    check_function(lambda: operation(dim), untied((2, 3, 4)))


def test_softmax_sums_to_1_and_log_softmax_is_its_log():
    x = untied((4, 5))
    assert np.allclose(Softmax(1).forward(x).sum(1), 1)
    assert np.allclose(np.exp(LogSoftmax(0).forward(x)), Softmax(0).forward(x))


def test_adding_a_constant_changes_no_softmax_however_large():
    x = untied((3, 4))
    for operation in (Softmax(1), LogSoftmax(1)):
        near, far = operation.forward(x), operation.forward(x + 1e4)
        assert np.isfinite(far).all() and np.allclose(near, far)
    assert np.allclose(LogSumExp(1).forward(x + 1e4), LogSumExp(1).forward(x) + 1e4)


def test_minus_infinity_takes_no_share():
    out, gradient = given(Softmax(0), [-np.inf, 0.0, 0.0])
    assert np.array_equal(out, [0, 0.5, 0.5]) and np.isfinite(gradient).all()
    assert np.array_equal(LogSoftmax(0).forward(np.array([-np.inf, 0.0])), [-np.inf, 0])


@pytest.mark.parametrize("far", [900.0, -900.0, -np.inf])
def test_one_score_far_from_the_others_changes_no_other_row_of_softmax(far):
    x = untied((3, 4))
    x[1, 2] = far
    expected = np.exp(x - x.max(1, keepdims=True))
    assert np.allclose(Softmax(1).forward(x), expected / expected.sum(1, keepdims=True), rtol=1e-12)


def test_nan_stays_in_its_row_of_softmax():
    x = untied((3, 4))
    x[1, 2] = np.nan
    out = Softmax(1).forward(x)
    assert np.isnan(out[1]).all() and np.allclose(out[::2], Softmax(1).forward(x[::2]), rtol=1e-12)


@pytest.mark.parametrize("operation", [Softmax, LogSoftmax])
def test_an_empty_dim_and_a_number(operation):
    assert operation(1).forward(np.zeros((3, 0))).shape == (3, 0)
    out, gradient = given(operation(-1), 3.0)
    assert np.isclose(out, operation(0).forward(np.array([3.0]))[0]) and np.isclose(gradient, 0)


def test_log_softmax_keeps_shares_that_softmax_rounds_to_0():
    assert np.array_equal(LogSoftmax(0).forward(np.array([0.0, 5000.0])), [-5000, 0])
    assert np.allclose(LogSumExp(0).forward(np.array([np.inf, 1.0])), np.inf)


def test_softmax_of_float32_is_exact_to_a_few_units_in_the_last_place():
    rows = 15 * np.random.default_rng(0).random((200, 60))
    exact, got = Softmax(1).forward(rows.astype(np.float32).astype(float)), Softmax(1).forward(rows.astype(np.float32))
    assert np.abs(got / exact - 1).max() < 2e-6


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make", [Sum, Mean, Var, Std, Amax, Amin, Prod, lambda: CumSum(0), LogSumExp,
    lambda: Softmax(0),
                                  lambda: LogSoftmax(1)], ids=lambda make: make.__name__)
def test_the_dtype_stays_and_nothing_is_written_to(make, dtype):
    x = untied((3, 4)).astype(dtype)
    copy, operation = x.copy(), make()
    out = operation.forward(x)
    grad = np.ones_like(out)
    (gradient,) = operation.backward(grad)
    assert out.dtype == dtype and gradient.dtype == dtype and gradient.shape == x.shape
    assert np.array_equal(x, copy) and np.array_equal(grad, np.ones_like(out)) and not np.shares_memory(gradient, x)
