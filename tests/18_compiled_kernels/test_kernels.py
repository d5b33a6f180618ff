"""The loops: an exponential that is right to a digit, and what the operations made of them must do at the edges."""
import math

import numpy as np
import pytest

from tinytorch.fast.kernels import (
    adam,
    add_rows,
    cross_entropy_backward,
    cross_entropy_sums,
    erf_gelu,
    exp_all,
    largest,
    layer_norm,
    log_softmax,
    log_softmax_backward,
    masked_softmax,
    norm_backward,
    relu_squared,
    rms_norm,
    rotate_rows,
    silu,
    softmax,
    softmax_backward,
    tanh_gelu,
)

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")  # plain Python warns of what overflows
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def numbers(*shape, seed=0, scale=2.0):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def filled(loop, *inputs, outputs):
    "What `loop` writes into arrays of the shapes `outputs`."
    arrays = [np.zeros(shape, np.float32) for shape in outputs]
    loop(*inputs, *arrays)
    return arrays


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


FORMULAS = {
    "tanh_gelu": (tanh_gelu, lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "erf_gelu": (erf_gelu, lambda x: x / 2 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
    "silu": (silu, lambda x: x / (1 + np.exp(-x))),
    "relu_squared": (relu_squared, lambda x: np.maximum(x, 0) ** 2),
}


@pytest.mark.parametrize("loop, formula", FORMULAS.values(), ids=FORMULAS)
def test_an_activation_and_its_slope(loop, formula):
    x = numbers(200, scale=3)
    value, slope = filled(loop, x, outputs=[200, 200])
    exact, h = x.astype(np.float64), 1e-6
    assert np.allclose(value, formula(exact), **CLOSE)
    assert np.allclose(slope, (formula(exact + h) - formula(exact - h)) / (2 * h), **CLOSE)


@pytest.mark.parametrize("loop, centered", [(layer_norm, True), (rms_norm, False)])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 130])
def test_a_norm_and_its_gradients(loop, centered, count):
    rows, grad, (weight, bias) = numbers(count, 5), numbers(count, 5, seed=1), numbers(2, 5, seed=2)
    xhat, scale, y = filled(loop, rows, weight, bias, 1e-5, outputs=[(count, 5), (count, 1), (count, 5)])
    shift = rows.mean(1, keepdims=True) if centered else 0
    s = 1 / np.sqrt(((rows - shift) ** 2).mean(1, keepdims=True) + 1e-5)
    assert np.allclose(xhat, (rows - shift) * s, **CLOSE) and np.allclose(scale, s, **CLOSE)
    assert np.allclose(y, xhat * weight + bias, **CLOSE)
    dx, dweight, dbias = filled(norm_backward, grad, xhat, scale, weight, centered, outputs=[(count, 5), 5, 5])
    g = grad * weight
    expected = s * (g - (g.mean(1, keepdims=True) if centered else 0) - xhat * (g * xhat).mean(1, keepdims=True))
    assert np.allclose(dx, expected, **CLOSE)
    assert np.allclose(dweight, (grad * xhat).sum(0), atol=1e-4) and np.allclose(dbias, grad.sum(0), atol=1e-4)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 100])
def test_the_largest_of_a_row(size):
    row = numbers(size)
    for place in range(size):
        some = row.copy()
        some[place] = 100
        assert largest(some, np.empty(32, np.float32)) == 100
    assert largest(row, np.empty(32, np.float32)) == row.max(initial=-np.inf)


@pytest.mark.parametrize("width", [1, 5, 32, 70])
def test_softmax_and_its_logarithm(width):
    rows, grad = numbers(3, width, scale=10), numbers(3, width, seed=1)
    shares = np.exp(rows - rows.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    out, = filled(softmax, rows, outputs=[(3, width)])
    assert np.allclose(out, shares, **CLOSE)
    dx, = filled(softmax_backward, grad, out, outputs=[(3, width)])
    assert np.allclose(dx, shares * (grad - (grad * shares).sum(1, keepdims=True)), **CLOSE)
    out, = filled(log_softmax, rows, outputs=[(3, width)])
    assert np.allclose(np.exp(out), shares, **CLOSE)
    dx, = filled(log_softmax_backward, grad, out, outputs=[(3, width)])
    assert np.allclose(dx, grad - shares * grad.sum(1, keepdims=True), **CLOSE)


@pytest.mark.parametrize("smoothing", [False, True])
def test_cross_entropy(smoothing):
    x, target, weight = numbers(4, 40), np.array([3, 0, 39, 3]), numbers(40, seed=1)
    shift, z, picked, spread = filled(cross_entropy_sums, x, target, weight, smoothing, outputs=[4] * 4)
    assert np.array_equal(shift, x.max(1)) and np.allclose(z, np.exp(x - x.max(1, keepdims=True)).sum(1), **CLOSE)
    assert np.allclose(picked, x[np.arange(4), target] - x.max(1), **CLOSE)
    expected = ((x - x.max(1, keepdims=True)) * weight).sum(1) if smoothing else np.zeros(4)
    assert np.allclose(spread, expected, atol=1e-3)
    factor, chosen, less = numbers(3, 4, seed=2)
    dx, = filled(cross_entropy_backward, x, target, weight, shift, factor, chosen, less, outputs=[(4, 40)])
    expected = np.exp(x - shift[:, None]) * factor[:, None] - less[:, None] * weight
    expected[np.arange(4), target] -= chosen
    assert np.allclose(dx, expected, **CLOSE)


def test_a_masked_softmax_over_keys():
    scores, bias = numbers(2, 4, 3), np.zeros((2, 3), np.float32)
    bias[:, 0] = -np.inf  # of the last two keys, for query 0
    expected = scores.copy()
    expected[:, 2:] += bias
    expected = np.exp(expected - expected.max(1, keepdims=True))
    masked_softmax(scores, bias)
    assert np.allclose(scores, expected / expected.sum(1, keepdims=True), **CLOSE)
    nothing = np.full((1, 2, 2), -np.inf, np.float32)
    masked_softmax(nothing, np.zeros((0, 2), np.float32))
    assert not nothing.any()


def test_adam():
    x, m, v, grad = numbers(9), np.zeros(9, np.float32), np.zeros(9, np.float32), numbers(9, seed=1)
    expected_m, expected_v = 0.1 * (grad + 0.5 * x), 0.01 * (grad + 0.5 * x) ** 2
    expected = 0.9 * x - 0.3 * expected_m / (np.sqrt(expected_v) + 1e-3)
    adam(x, grad, m, v, 0.9, 0.5, 0.9, 0.99, 0.3, 1e-3)
    assert np.allclose(x, expected, **CLOSE) and np.allclose(m, expected_m, **CLOSE) and np.allclose(v, expected_v)


def test_rows_are_added_and_rotated():
    table = np.ones((3, 2), np.float32)
    add_rows(np.array([[1, 2], [10, 20], [100, 200]], np.float32), np.array([2, 0, 2]), table)
    assert table.tolist() == [[11, 21], [1, 1], [102, 203]]
    angle = np.float32(0.3)
    cos, sin = np.full((1, 2), np.cos(angle)), np.array([[-np.sin(angle), np.sin(angle)]])
    turned, = filled(rotate_rows, np.array([[[1, 0]]], np.float32), cos.astype(np.float32), sin.astype(np.float32),
                     outputs=[(1, 1, 2)])
    assert np.allclose(turned, [[[np.cos(angle), np.sin(angle)]]])
