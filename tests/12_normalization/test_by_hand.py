"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.normalization import LayerNorm, LayerNormFunction, RMSNorm, RMSNormFunction, normalize, rms_norm

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


def test_layer_norm_gradient():
    operation = LayerNormFunction(eps=EPS)
    xhat = operation.forward(X)
    with likely("backward returns one gradient for each of x, weight and bias, None for what is absent"):
        dx, dweight, dbias = operation.backward(GRAD)
    assert dweight is None and dbias is None, "there is no weight and no bias: their gradients are None"
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


def test_weight_and_bias():
    x, weight, bias = np.concatenate([X, -2 * X]), np.array([1.0, 2.0, -1.0]), np.array([0.5, 0.0, 1.0])
    xhat, grad = LayerNormFunction(eps=EPS).forward(x), np.array([[1.0, 0.0, 2.0], [3.0, 1.0, 0.0]])
    operation = LayerNormFunction(eps=EPS)
    with likely("forward takes x, weight and bias"):
        out = operation.forward(x, weight, bias)
    mistakes = {"the bias is missing": xhat * weight, "the weight is missing": xhat + bias}
    expect("xhat * weight + bias", out, xhat * weight + bias, mistakes)
    with likely("backward returns three gradients"):
        dx, dweight, dbias = operation.backward(grad)
    mistakes = {"the sum over the rows is missing": grad * xhat, "a sum over rows, not a mean": (grad * xhat).mean(0)}
    mistakes["it is grad times xhat, not times x"] = (grad * x).sum(0)
    expect("gradient of the weight", dweight, (grad * xhat).sum(0), mistakes)
    expect("gradient of the bias", dbias, grad.sum(0), {"a sum over rows, not a mean": grad.mean(0)})
    plain = LayerNormFunction(eps=EPS)
    plain.forward(x)
    without = plain.backward(grad)[0]
    expect("gradient of x", dx, plain.backward(grad * weight)[0], {"the weight is missing in backward": without})


def test_rows_far_from_zero():
    x = np.array([[1e4, 1e4 + 1, 1e4 + 5]] * 200, np.float32)
    got = LayerNormFunction(eps=EPS).forward(x)
    expect("rows near 10,000", got[0], (CENTERED / np.sqrt(STD**2 + EPS))[0], {})
    level = LayerNormFunction().forward(np.full((2, 7), 0.1))
    assert not level.any(), "a constant row has no deviation, exactly 0: subtract one of its numbers before the mean"


def test_modules():
    norm = LayerNorm(2)
    assert norm.normalized_shape == (2,), f"normalized_shape is a tuple, also for an int; got {norm.normalized_shape}"
    expect("a new weight", norm.weight.data, [1, 1], {"the weight starts at 1, the bias at 0": [0, 0]})
    expect("a new bias", norm.bias.data, [0, 0], {"the weight starts at 1, the bias at 0": [1, 1]})
    norm.weight.data[:], norm.bias.data[:] = 2, 3
    expect("the module's output", norm(Tensor([[-1.0, 1.0]])).data, [[1, 5]], {"without weight and bias": [[-1, 1]]})
    assert LayerNorm(2, elementwise_affine=False).bias is None, "without elementwise_affine there is no bias either"
    rms = RMSNorm(2, eps=12.0)
    rms.weight.data[:] = 2
    expect("RMSNorm of 2, 2 with eps 12", rms(Tensor([[2.0, 2.0]])).data, [[1, 1]], {"its eps is forgotten": [[2, 2]]})
    small, epsilons = np.array([[1e-7, 1e-7]]), {}
    for dtype in (np.float32, np.float64):
        epsilons[dtype] = small / np.sqrt(small**2 + float(np.finfo(dtype).eps))
    expect(
        "two numbers of 1e-7 in float64, eps=None",
        rms_norm(Tensor(small), 2).data,
        epsilons[np.float64],
        {
            "eps=None is the machine epsilon of x's dtype, float64": epsilons[np.float32],
            "eps=None is the machine epsilon, not 1e-5": small / np.sqrt(small**2 + 1e-5),
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
    assert np.isfinite(x.grad.data).all(), (
        "the gradient of a vector of zeros is nan: the root has no slope at 0, so zeros must not get there"
    )
