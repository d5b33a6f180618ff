"""Every case of the table through every check. One operation alone: pytest tests/operations -k softmax"""
import numpy as np
import pytest
from operations import checks
from operations.rows import CASES, LARGE_CASES

from tinytorch import gradcheck, no_grad

# the table holds reductions of nothing, means of none among them
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore:.*degrees of freedom",
                                        "ignore:.*padding='same'")
DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


def over(cases, *second):
    "parameters of a test: each case, with each of `second`"
    if not second:
        return pytest.mark.parametrize("case", cases, ids=lambda case: case.id)
    name, values = second
    pairs = [pytest.param(case, value, id=f"{case.id}@{value}") for case in cases for value in values]
    return pytest.mark.parametrize(f"case,{name}", pairs)


@over([case for case in CASES if case.row.slope])
def test_gradient_is_the_slope(case, ours):
    "float64: every gradient, for a random cotangent, is that of central differences (where values are finite)"
    leaves = checks.leaves_of(ours, case, case.arrays())
    out = checks.joined(ours, checks.outputs_of(ours, case, leaves))
    if out is not None and np.isfinite(out.data).all():
        gradcheck.gradcheck(lambda *xs: checks.joined(ours, checks.outputs_of(ours, case, xs)), *leaves)


@over([case for case in CASES if case.row.parity], "dtype", DTYPES)
def test_agrees_with_pytorch(case, dtype, ours, theirs):
    arrays = case.arrays(dtype)
    expected = checks.evaluate(theirs, case, arrays)
    checks.assert_same_results(case.id, checks.evaluate(ours, case, arrays), expected, checks.TOLERANCE[dtype])


@over(LARGE_CASES)
def test_agrees_with_pytorch_on_large_inputs(case, ours, theirs):
    "tens of thousands of float32 numbers: past the block sizes of the fused kernels"
    arrays = case.arrays(np.float32)
    expected = checks.evaluate(theirs, case, arrays)
    checks.assert_same_results(case.id, checks.evaluate(ours, case, arrays), expected, 1e-4)


@over(CASES)
def test_layout_makes_no_difference(case, ours):
    "inputs and incoming gradients that are not contiguous give what contiguous ones give"
    arrays = case.arrays()
    expected = checks.evaluate(ours, case, arrays)
    for lay in (checks.transposed, checks.strided, checks.reversed_order):
        got = checks.evaluate(ours, case, [lay(a) for a in arrays], lay)
        checks.assert_same_results(f"{case.id}, {lay.__name__}", got, expected, 1e-12)


@over(CASES)
def test_gradient_may_come_in_as_one_repeated_number(case, ours):
    "what a sum hands back: a view with strides of 0 that nobody may write to"
    def repeated(array):
        return np.broadcast_to(array.dtype.type(0.7), array.shape)
    arrays = case.arrays()
    expected = checks.evaluate(ours, case, arrays, lambda a: np.full_like(a, 0.7))
    checks.assert_same_results(case.id, checks.evaluate(ours, case, arrays, repeated), expected, 1e-12)


@over(CASES, "dtype", DTYPES)
def test_dtype_is_kept_and_nothing_is_changed(case, dtype, ours):
    "the dtype goes in and comes out, in values and in gradients; no operation changes its inputs or what it saved"
    arrays = [checks.frozen(a) for a in case.arrays(dtype)]
    copies = [a.copy() for a in arrays]
    leaves = checks.leaves_of(ours, case, arrays)
    outputs = checks.outputs_of(ours, case, leaves)
    for out in outputs:
        if out.requires_grad:
            assert out.dtype == (case.row.out_dtype or dtype)
    root = checks.joined(ours, outputs)
    if root is not None:
        cotangent = np.random.default_rng(2).standard_normal(root.shape).astype(root.dtype)
        if root.grad_fn is not None:
            checks.walk_with_care(root, cotangent, arrays)
        root.backward(cotangent, retain_graph=True)
        first = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        root.backward(cotangent)
        for leaf, gradient in zip(leaves, first):
            if leaf.requires_grad:
                assert leaf.grad.dtype == dtype and leaf.grad.shape == leaf.shape
                assert np.array_equal(leaf.grad, gradient, equal_nan=True), "the second walk found other numbers"
    for array, copy in zip(arrays, copies):
        assert np.array_equal(array, copy)


@over(CASES)
def test_no_grad_records_nothing(case, ours):
    leaves = checks.leaves_of(ours, case, case.arrays())
    expected = checks.outputs_of(ours, case, leaves)
    with no_grad():
        outputs = checks.outputs_of(ours, case, leaves)
    for out, reference in zip(outputs, expected):
        assert out is leaves[0] or (out.grad_fn is None and not out.requires_grad)
        checks.assert_agree(case.id, out.data, reference.data, 1e-12)
