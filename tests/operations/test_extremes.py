"""Ties, zeros, infinities and what overflows: values and gradients are PyTorch's there too."""
import numpy as np
import pytest
from operations import checks
from operations.extremes import EXTREMES

import tinytorch
from tinytorch import Tensor
from tinytorch.nn import functional as F


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:.*degrees of freedom")
@pytest.mark.parametrize("case, dtype", [pytest.param(case, np.dtype(dtype), id=f"{case.id} {np.dtype(dtype)}")
                                         for case in EXTREMES for dtype in case.dtypes])
def test_as_in_pytorch(case, dtype, ours, theirs):
    arrays = case.arrays(dtype)
    got, expected = checks.evaluate(ours, case, arrays), checks.evaluate(theirs, case, arrays)
    checks.assert_same_results(case.id, got, expected, checks.TOLERANCE[dtype])


def test_a_mask_that_hides_all_keys_gives_zeros_and_no_gradient():
    "where softmax would divide 0 by 0; documented, and finite"
    query = Tensor(np.random.default_rng(0).standard_normal((3, 4)), requires_grad=True)
    mask = Tensor([[True, False, False], [False, False, False], [True, True, True]])
    out = F.scaled_dot_product_attention(query, query.detach(), query.detach(), attn_mask=mask)
    out.backward(np.ones(out.shape))
    assert np.all(out.data[1] == 0) and np.all(query.grad.data[1] == 0)
    assert np.isfinite(out.data).all() and np.any(query.grad.data[2] != 0)


def test_sigmoid_keeps_its_digits_far_out():
    "relative precision: log(sigmoid(-40)) is -40, not -inf"
    assert np.allclose(np.log(Tensor([-20.0, -40.0, -80.0]).sigmoid().data), [-20, -40, -80], rtol=1e-5)


@pytest.mark.parametrize("other", [Tensor([1, 2]), np.array([1, 2]), Tensor([True, False]), 2, 2.0, np.float64(2),
    np.int64(2)],
                         ids=lambda other: type(other).__name__)
@pytest.mark.parametrize("operation", ["__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__",
    "__truediv__",
                                       "__pow__", "__rpow__", "maximum", "minimum"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_float32_stays_float32_beside(operation, other):
    "integers, booleans and Python numbers do not turn float32 into float64, neither the value nor the gradient"
    leaf = Tensor([1.5, 2.5], requires_grad=True)
    middle = leaf * 2.0
    out = getattr(middle, operation)(other)
    assert out.dtype == np.float32
    out.backward(np.ones(2))
    assert leaf.grad.dtype == np.float32


@pytest.mark.parametrize("default", [np.float32, np.float64])
def test_integers_become_floats_where_they_must(default):
    "floats of the default dtype, or of the one that was asked for"
    before, x = tinytorch.get_default_dtype(), Tensor([1, 2, 4])
    tinytorch.set_default_dtype(default)
    try:
        assert [out.dtype for out in (x / 2, x * 0.5, x.exp(), x / x)] == [default] * 4
        assert x.double().dtype == x.to(np.float64).dtype == np.float64 and x.float().dtype == np.float32
        assert (x * 2).dtype == (x + x).dtype == x.sum().dtype == np.int64
    finally:
        tinytorch.set_default_dtype(before)


def test_a_cast_brings_the_gradient_back_in_the_old_dtype():
    x = Tensor([1.0, 2.0], requires_grad=True)
    (x.double() * np.array([0.1, 0.2])).sum().backward()
    assert x.grad.dtype == np.float32 and np.allclose(x.grad, [0.1, 0.2])
    y = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (y.float() * 3.0).sum().backward()
    assert y.grad.dtype == np.float64 and np.allclose(y.grad, [3, 3])


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64, np.uint8])
def test_any_integers_index(index_dtype):
    x = Tensor(np.arange(12.0).reshape(4, 3), requires_grad=True)
    index = Tensor(np.array([3, 0, 3], index_dtype))
    (x[index].sum() + x.index_select(0, index).sum() + F.embedding(index, x).sum()).backward()
    assert np.array_equal(x.grad, [[3] * 3, [0] * 3, [0] * 3, [6] * 3])
