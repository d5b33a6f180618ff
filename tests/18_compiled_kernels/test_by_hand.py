"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import math

import numpy as np
from by_hand import expect

from tinytorch.fast.kernels import norm_backward, tanh_gelu

F = np.float32


def test_gelu_value_and_slope():
    x = np.array([0.5, -1.0, 2.0], F)
    value, slope = np.zeros(3, F), np.zeros(3, F)
    tanh_gelu(x, value, slope)
    linear, cubic = math.sqrt(2 / math.pi), 0.044715 * math.sqrt(2 / math.pi)
    p = 1 / (1 + np.exp(-2 * (linear * x + cubic * x**3)))
    rest, inner = x * p * (1 - p), 2 * (linear + 3 * cubic * x * x)
    expect(
        "gelu, value", value, x * p, {"sigmoid of 2 u, not of u": x / (1 + np.exp(-(linear * x + cubic * x**3)))}
    )
    expect(
        "gelu, slope",
        slope,
        p + rest * inner,
        {
            "a term is missing: x changes, and p does, too": p,
            "a factor 2 is missing: u' is doubled": p + rest * inner / 2,
            "the slope of cubic x^3 is 3 cubic x^2": p + rest * 2 * (linear + cubic * x * x),
        },
    )


def norm(centered):
    "(what was got, what is right): dx, dweight, dbias of two rows"
    xhat, grad = np.array([[1.0, -1.0], [0.5, -0.5]], F), np.array([[1.0, 3.0], [2.0, 5.0]], F)
    scale, weight = np.array([[2.0], [1.0]], F), np.array([1.0, 10.0], F)
    dx, dweight, dbias = np.zeros((2, 2), F), np.zeros(2, F), np.zeros(2, F)
    norm_backward(grad, xhat, scale, weight, centered, dx, dweight, dbias)
    return (dx, dweight, dbias), (xhat, grad, scale, weight)


def test_the_way_back_of_norms():
    for centered in (True, False):
        (dx, dweight, dbias), (xhat, grad, scale, weight) = norm(centered)
        g = grad * weight
        mean, overlap = g.mean(1, keepdims=True) * centered, (g * xhat).mean(1, keepdims=True)
        expect(
            "norms, gradient of the weight",
            dweight,
            (grad * xhat).sum(0),
            {
                "assigned where it should be added: every row counts": (grad * xhat)[-1],
                "that is the bias's": grad.sum(0),
            },
        )
        expect("norms, gradient of the bias", dbias, grad.sum(0), {"assigned where it should be added": grad[-1]})
        what = "LayerNorm" if centered else "RMSNorm"
        expect(
            f"{what}, gradient of x",
            dx,
            (g - mean - xhat * overlap) * scale,
            {
                "a term is missing: the scale depends on x": (g - mean) * scale,
                "the scale is missing": g - mean - xhat * overlap,
                "a term is missing: the mean depends on x": (g - xhat * overlap) * scale,
                "RMSNorm subtracts no mean": (g - g.mean(1, keepdims=True) - xhat * overlap) * scale,
                "means over the row, not sums": (g - 2 * mean - xhat * 2 * overlap) * scale,
                "the weight is missing": (
                    grad - grad.mean(1, keepdims=True) - xhat * (grad * xhat).mean(1, keepdims=True)
                )
                * scale,
            },
        )
