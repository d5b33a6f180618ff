"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.normalization import LayerNormFunction, RMSNormFunction, normalize

X, GRAD, EPS = np.array([[1.0, 2.0, 6.0]]), np.array([[1.0, 0.0, 2.0]]), 0.5
CENTERED = X - 3.0
STD = np.sqrt((4 + 1 + 9) / 3)


def test_layer_norm():
    got = LayerNormFunction(eps=EPS).forward(X)
    expect(
        "layer_norm",
        got,
        CENTERED / np.sqrt(STD**2 + EPS),
        {
            "eps stands outside the root: it belongs inside": CENTERED / (STD + EPS),
            "eps is missing": CENTERED / STD,
            "the variance is divided by D, not by D - 1": CENTERED / np.sqrt(7 + EPS),
            "the mean is not removed": X / np.sqrt((X * X).mean() + EPS),
            "divide by the root": CENTERED / (STD**2 + EPS),
        },
    )


def test_layer_norm_on_the_way_back():
    operation = LayerNormFunction(eps=EPS)
    xhat = operation.forward(X)
    with likely("standardize_backward changes grad in place"):
        (dx,) = operation.backward(GRAD)
    s, g = 1 / np.sqrt(STD**2 + EPS), GRAD - GRAD.mean()
    expect(
        "layer_norm, gradient",
        dx,
        s * (g - xhat * (GRAD * xhat).mean()),
        {
            "a term is missing: the mean depends on x, too": s * (GRAD - xhat * (GRAD * xhat).mean()),
            "a term is missing: the variance depends on x, too": s * g,
            "two terms are missing": s * GRAD,
            "the scale is missing": g - xhat * (GRAD * xhat).mean(),
        },
    )


def test_rms_norm():
    operation, s = RMSNormFunction(eps=EPS), 1 / np.sqrt((X * X).mean() + EPS)
    xhat = X * s
    expect(
        "rms_norm",
        operation.forward(X),
        xhat,
        {
            "eps stands outside the root: it belongs inside": X / (np.sqrt((X * X).mean()) + EPS),
            "no mean is removed here": CENTERED / np.sqrt(STD**2 + EPS),
        },
    )
    expect(
        "rms_norm, gradient",
        operation.backward(GRAD)[0],
        s * (GRAD - xhat * (GRAD * xhat).mean()),
        {
            "a term is missing: the scale depends on x, too": s * GRAD,
            "no mean is removed here": s * (GRAD - GRAD.mean() - xhat * (GRAD * xhat).mean()),
        },
    )


def test_vectors_of_length_one():
    x = Tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True, dtype=np.float64)
    with np.errstate(all="ignore"):
        y = normalize(x, eps=0.5)
        y.sum().backward()
    expect(
        "normalize 3, 4 and 0, 0",
        y.data,
        [[0.6, 0.8], [0, 0]],
        {
            "the root of the sum of squares": [[3 / 25, 4 / 25], [0, 0]],
            "a vector of zeros stays zeros": [[0.6, 0.8], [1, 1]],
        },
    )
    assert np.isfinite(x.grad).all(), (
        "the gradient of a vector of zeros is nan: the root has no slope at 0, so zeros must not get there"
    )
