"""Each compiled twin computes what its NumPy kernel computes.

In a plain run of the suite the loops run in Python, uncompiled; test_extra.py runs this file again, compiled.
"""
import functools
import inspect

import numpy as np
import pytest

from tinytorch.compiled import Extra
from tinytorch.kernels import exp_all
from tinytorch.nn import attention, embedding
from tinytorch.nn.activations import ErfGelu, ReluSquared, SiLUFunction, TanhGelu
from tinytorch.nn.losses import CrossEntropyFunction
from tinytorch.nn.normalization import LayerNormFunction, RMSNormFunction
from tinytorch.ops.reductions import LogSoftmax, Softmax
from tinytorch.optim import Adam, AdamW
from tinytorch.tensor import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # plain Python warns of what overflows
SHAPES = [(), (1,), (1, 1), (3, 5), (2, 3, 33), (70, 4), (2, 0), (0, 3)]
CLOSE = {"rtol": 1e-5, "atol": 1e-5, "equal_nan": True}


def numbers(*shape, seed=0, scale=2.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def with_numpy(operation):
    "`operation` with NumPy's kernels, whether the extra is in use or not"
    for name, method in inspect.getmembers(type(operation), inspect.isfunction):
        if hasattr(method, "__wrapped__"):
            setattr(operation, name, functools.partial(inspect.unwrap(method), operation))
    return operation


def with_twins(operation):
    "`operation` with each kernel replaced that has a twin; NumPy's where the twin declines"
    with_numpy(operation)
    names = [name for name in Extra.twins if name.startswith(type(operation).__name__ + ".")]
    assert names, f"{type(operation).__name__} has no twin"
    for name in names:
        method = name.partition(".")[2]
        plain = functools.partial(inspect.unwrap(getattr(type(operation), method)), operation)
        setattr(operation, method, replaced(functools.partial(Extra.twins[name], operation), plain))
    return operation


def replaced(twin, plain):
    def call(*args):
        result = twin(*args)
        return plain(*args) if result is NotImplemented else result
    return call


def assert_same(got, expected):
    assert len(got) == len(expected)
    for a, b in zip(got, expected):
        if b is None:
            assert a is None
            continue
        assert a.shape == b.shape and a.dtype == b.dtype
        assert np.allclose(a, b, **CLOSE), f"differs by {np.nanmax(np.abs(a - b)):.2g}"


def check_both(make, *arrays, seed=1):
    "outputs and gradients of make() with NumPy's kernels and with the twins"
    kept = [a.copy() for a in arrays]
    numpys, twins = with_numpy(make()), with_twins(make())
    expected, got = numpys.forward(*arrays), twins.forward(*arrays)
    grad = np.asarray(np.random.default_rng(seed).standard_normal(np.shape(expected)), expected.dtype)
    assert_same([got], [expected])
    gradients = twins.backward(grad)
    assert_same(gradients, numpys.backward(grad))
    assert_same(twins.backward(grad), gradients)  # a graph may be walked again
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(arrays, kept)), "an input was written to"


def test_exp_is_right_to_a_unit_in_the_last_place():
    x = np.linspace(-87, 88, 2000, dtype=np.float32)
    out = np.empty_like(x)
    exp_all(x, out)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(out - exact) / np.spacing(exact.astype(np.float32))).max() < 1.5


def test_exp_at_the_ends():
    x = np.array([np.inf, -np.inf, np.nan, 0, -0.0, 89, -104, 1e30, -1e30], np.float32)
    out = np.empty_like(x)
    exp_all(x, out)
    assert np.array_equal(out, np.exp(x), equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [TanhGelu, ErfGelu, SiLUFunction, ReluSquared])
def test_activation(make, shape):
    check_both(make, np.asarray(numbers(*shape, scale=4)))


@pytest.mark.parametrize("make", [TanhGelu, ErfGelu, SiLUFunction, ReluSquared])
def test_activation_of_what_is_not_finite(make):
    check_both(make, np.array([np.nan, 0, -0.0, 100, -100, 1e-30], np.float32))
    value = with_twins(make()).forward(np.array([np.inf, np.nan], np.float32))
    assert value[0] == np.inf and np.isnan(value[1])


@pytest.mark.parametrize("make", [TanhGelu, SiLUFunction])
@pytest.mark.parametrize("lay", [lambda x: x.T, lambda x: x[::2, ::-1], lambda x: np.broadcast_to(x[0], (4, 6))])
def test_activation_of_any_layout(make, lay):
    x = lay(numbers(8, 6))
    assert not x.flags.c_contiguous
    check_both(make, x)


def test_without_a_gradient_no_slope_is_kept():
    operation = with_twins(TanhGelu())
    operation.needs_grad = (False,)
    operation.forward(numbers(3))
    assert not hasattr(operation, "derivative")


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_other_dtypes_stay_with_numpy(dtype):
    x = numbers(3, 4).astype(dtype)
    assert Extra.twins["TanhGelu.forward"](TanhGelu(), x) is NotImplemented
    assert Extra.twins["Softmax.forward"](Softmax(-1), x) is NotImplemented
    check_both(TanhGelu, x)


@pytest.mark.parametrize("Norm", [LayerNormFunction, RMSNormFunction])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 3, 33), (130, 4), (2, 0), (0, 3)])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_norm(Norm, shape, count):
    if Norm is RMSNormFunction and count == 2:
        return  # it has no bias
    check_both(Norm, numbers(*shape), *numbers(2, shape[-1], seed=1)[:count])


@pytest.mark.parametrize("Norm", [LayerNormFunction, RMSNormFunction])
def test_norm_over_two_dims_of_a_strided_array(Norm):
    check_both(lambda: Norm(2), numbers(4, 3, 5).transpose(1, 2, 0), numbers(5, 4, seed=1))


def test_layer_norm_far_from_zero():
    check_both(LayerNormFunction, numbers(3, 64, scale=1) + np.float32(3000), numbers(64, seed=1))


def test_norm_of_many_rows_adds_them_up_exactly():
    x, grad = numbers(5000, 3), numbers(5000, 3, seed=1) + 1
    operation = with_twins(RMSNormFunction())
    operation.forward(x, np.ones(3, np.float32))
    dweight = operation.backward(grad)[1]
    exact = (grad.astype(np.float64) * operation.xhat).sum(0)
    assert np.allclose(dweight, exact, rtol=3e-6)


@pytest.mark.parametrize("make", [Softmax, LogSoftmax])
@pytest.mark.parametrize("shape, dim", [((3, 5), -1), ((2, 3, 70), 2), ((3, 5), 0), ((4,), 0), ((), -1), ((), 0),
                                        ((2, 0), -1), ((0, 2), 1)])
def test_softmax(make, shape, dim):
    check_both(lambda: make(dim), np.asarray(numbers(*shape, scale=10)))


@pytest.mark.parametrize("make", [Softmax, LogSoftmax])
def test_softmax_with_masks_and_worse(make):
    rows = np.array([[0, -np.inf, 3], [-np.inf] * 3, [np.nan, 0, 1], [np.inf, 0, 1], [1e30, -1e30, 0]], np.float32)
    with np.errstate(all="ignore"):
        assert_same([with_twins(make(-1)).forward(rows)], [with_numpy(make(-1)).forward(rows)])


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 1), (6, 3), (5, 70)])
def test_cross_entropy(shape, smoothing, reduction):
    dice = np.random.default_rng(0)
    target = dice.integers(0, shape[1], shape[0])
    if shape[0] > 1:
        target[1] = -100
    for weight in (None, dice.random(shape[1]).astype(np.float32)):
        make = functools.partial(CrossEntropyFunction, weight, -100, smoothing, reduction)
        check_both(make, numbers(*shape, scale=10), target)
        check_both(make, np.asfortranarray(numbers(*shape)), target.astype(np.int32))


def test_cross_entropy_of_confident_and_of_masked_logits():
    x = np.array([[1e4, -1e4, 0], [-np.inf, 0, 1], [0, np.nan, 1]], np.float32)
    check_both(CrossEntropyFunction, x, np.array([1, 2, 0]))


def biases(keys, queries):
    yield None
    yield np.tril(np.full((keys, queries), -np.inf, np.float32), -1)
    yield numbers(keys // 2, queries, seed=3)  # for the last keys only
    yield numbers(2, 1, keys, queries, seed=4)
    nothing = numbers(keys, queries, seed=5)
    nothing[:, 0] = -np.inf  # a query that may attend to nothing
    yield nothing


@pytest.mark.parametrize("keys, queries", [(1, 1), (5, 5), (3, 20), (4, 2)])
def test_masked_softmax(keys, queries):
    numpys = inspect.unwrap(attention.softmax_over_keys)
    for bias in biases(keys, queries):
        scores = numbers(2, 3, keys, queries, scale=5)
        got, expected = Extra.twins["softmax_over_keys"](scores.copy(), bias), numpys(scores.copy(), bias)
        assert_same([got], [expected])
        dscores, average = numbers(2, 3, keys, queries, seed=1), numbers(2, 3, queries, seed=2)
        assert_same([Extra.twins["softmax_over_keys_backward"](dscores.copy(), got, average)],
                    [inspect.unwrap(attention.softmax_over_keys_backward)(dscores.copy(), got, average)])


@pytest.mark.parametrize("Optimizer", [Adam, AdamW])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
def test_adam(Optimizer, weight_decay):
    optimizer = Optimizer([Tensor([1.0], requires_grad=True)], lr=0.01, weight_decay=weight_decay)
    group = optimizer.param_groups[0]
    found = []
    for wrap in (with_numpy, with_twins):
        arrays = [numbers(37), np.zeros(37, np.float32), np.zeros(37, np.float32)]
        update = wrap(Optimizer([Tensor([1.0], requires_grad=True)])).update
        for step in range(1, 4):
            update(arrays[0], numbers(37, seed=step), arrays[1:], step, group)
        found.append(arrays)
    assert_same(*found)
    assert not np.allclose(found[0][0], numbers(37))


@pytest.mark.parametrize("size, count, width", [(7, 3, 4), (1, 1, 1), (0, 2, 3), (200, 5, 2)])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_scatter_add(size, count, width, dtype):
    indices = np.random.default_rng(0).integers(0, count, size).astype(dtype)
    rows, numpys = numbers(size, 2 * width)[:, ::2], inspect.unwrap(embedding.scatter_add_rows)
    got = Extra.twins["scatter_add_rows"](rows, indices, count)
    assert_same([numpys(rows, indices, count) if got is NotImplemented else got], [numpys(rows, indices, count)])


def test_rotate():
    x, cos, sin = numbers(2, 5, 3, 8).swapaxes(1, 2), *numbers(2, 5, 8, seed=1)
    assert_same([Extra.twins["rotate"](x, cos, sin)], [inspect.unwrap(embedding.rotate)(x, cos, sin)])


def test_every_twin_replaces_a_kernel_that_is_marked():
    "a twin whose kernel was renamed would never be called, and nobody would notice"
    homes = [attention, embedding]
    classes = {c.__name__: c for c in (TanhGelu, ErfGelu, SiLUFunction, ReluSquared, LayerNormFunction, RMSNormFunction,
                                       CrossEntropyFunction, Softmax, LogSoftmax, Adam, AdamW)}
    for name in Extra.twins:
        owner, _, method = name.rpartition(".")
        if owner:
            kernel = getattr(classes[owner], method)
        else:
            kernel = next(getattr(home, name) for home in homes if hasattr(home, name))
        source = inspect.getsource(inspect.unwrap(kernel))
        assert "@compilable" in source, f"{name} has a twin, but its kernel is not marked @compilable"
