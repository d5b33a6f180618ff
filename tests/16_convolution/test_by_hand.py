"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""
import numpy as np
from by_hand import expect, likely

from tinytorch import Tensor
from tinytorch.nn.convolution import (
    BatchNorm1d,
    BatchNormFunction,
    ConvFunction,
    MaxPoolFunction,
    offsets,
    output_size,
)

ROW, FILTER = np.array([[[1.0, 2.0, 4.0, 8.0]]]), np.array([[[10.0, 1.0]]])  # (N, C, L), (O, C, k)
COLUMN, EPS = np.array([[1.0], [2.0], [6.0]]), 0.5  # a batch of three, one channel


def conv(stride=1, padding=(0, 0), dilation=1):
    return ConvFunction((stride,), [padding], (dilation,))


def test_output_size():
    expect("output_size(7, kernel=3, stride=2, padding=(1, 1))", output_size(7, 3, 2, (1, 1)), 4, {
        "padding counts on both sides": 3, "the first window is missing: + 1": 3, "the stride divides": 7})
    expect("output_size(9, kernel=3, dilation=3)", output_size(9, 3, 1, (0, 0), 3), 3, {
        "dilation spreads the kernel: it covers d (k - 1) + 1 places": 7, "it covers d (k - 1) + 1 places, not d k": 1})
    expect("output_size(8, kernel=3, stride=2)", output_size(8, 3, 2), 3, {"rounded up: only ceil_mode does": 4})
    expect("output_size(8, kernel=3, stride=2, ceil_mode)", output_size(8, 3, 2, ceil_mode=True), 4, {
        "ceil_mode rounds up": 3})
    expect("output_size(4, kernel=1, stride=4, ceil_mode)", output_size(4, 1, 4, ceil_mode=True), 1, {
        "a window that starts beyond the image does not count": 2})


def test_offsets():
    x = np.arange(6.0)
    expect("kernel of 2, stride 1: place 1", x[dict(offsets((2,), (1,), (1,), (5,)))[1,]], [1, 2, 3, 4, 5])
    expect("kernel of 2, stride 3: place 1", x[dict(offsets((2,), (3,), (1,), (2,)))[1,]], [1, 4],
           {"stride and dilation are swapped": [3, 4], "the stride is missing": [1, 2]})
    expect("kernel of 2, dilation 3: place 1", x[dict(offsets((2,), (1,), (3,), (3,)))[1,]], [3, 4, 5],
           {"the dilation is missing": [1, 2, 3]})


def test_convolution():
    expect("conv", conv().forward(ROW, FILTER), [[[12, 24, 48]]],
           {"the filter is read backwards: this is a cross-correlation": [[[21, 42, 84]]]})
    expect("conv, stride 2", conv(stride=2).forward(ROW, FILTER), [[[12, 48]]])
    expect("conv, padding (1, 0)", conv(padding=(1, 0)).forward(ROW, FILTER), [[[1, 12, 24, 48]]])


def test_convolution_on_the_way_back():
    operation, grad = conv(), np.array([[[1.0, 100.0, 10000.0]]])
    operation.forward(ROW, FILTER)
    with likely("the gradients of filters and windows are products of transposed matrices: check the shapes"):
        dx, dweight, _ = operation.backward(grad)
    expect("conv, gradient of the weight", dweight, [[[40201, 80402]]],
           {"the two places of the kernel are swapped": [[[80402, 40201]]]})
    expect("conv, gradient of the input", dx, [[[10, 1001, 100100, 10000]]],
           {"assigned: a pixel that two windows saw needs the sum": [[[10, 1, 100, 10000]]],
            "assigned, in the other order": [[[10, 1000, 100000, 10000]]],
            "the filter is the wrong way around": [[[1, 110, 11000, 100000]]]})


def test_max_pooling():
    operation = MaxPoolFunction((2,), (2,), (0,), (1,))
    x = np.array([[[1.0, 5.0, 4.0, 4.0]]])
    expect("max_pool", operation.forward(x), [[[5, 4]]])
    expect("max_pool, gradient", operation.backward(np.array([[[10.0, 20.0]]]))[0], [[[0, 10, 20, 0]]],
           {"of two that tie the first receives, not the last": [[[0, 10, 0, 20]]],
            "of two that tie only the first receives": [[[0, 10, 20, 20]]],
            "those that tie do not share: the first receives all": [[[0, 10, 10, 10]]],
            "the places of the kernel are swapped": [[[10, 0, 0, 20]]]})


def test_batch_norm():
    operation, centered, variance = BatchNormFunction(EPS), COLUMN - 3, 14 / 3
    expect("batch_norm", operation.forward(COLUMN), centered / np.sqrt(variance + EPS),
           {"eps stands outside the root: it belongs inside": centered / (np.sqrt(variance) + EPS),
            "eps is missing": centered / np.sqrt(variance),
            "the variance is divided by n, not by n - 1": centered / np.sqrt(7 + EPS),
            "divide by the root": centered / (variance + EPS)})
    expect("the mean that it keeps", operation.mean, [[3]],
           {"the number that was subtracted first is missing": [[2]], "it is that of what is left, 0": [[0]]})
    expect("the variance that it keeps", operation.variance, [[variance]], {"divide by n, not by n - 1": [[7]]})


def test_batch_norm_on_the_way_back():
    operation, grad = BatchNormFunction(EPS), np.array([[1.0], [0.0], [2.0]])
    xhat = operation.forward(COLUMN, np.array([10.0])) / 10
    with likely("two means over the channel, with their dims kept"):
        dx, dweight, _ = operation.backward(grad)
    s, g = 10 / np.sqrt(14 / 3 + EPS), grad - 1
    expect("batch_norm, gradient of the weight", dweight, (grad * xhat).sum(0))
    expect("batch_norm, gradient", dx, s * (g - xhat * (grad * xhat).mean()),
           {"a term is missing: the mean depends on x, too": s * (grad - xhat * (grad * xhat).mean()),
            "a term is missing: the variance depends on x, too": s * g, "two terms are missing": s * grad,
            "the weight is missing": s / 10 * (g - xhat * (grad * xhat).mean()),
            "the scale is missing": 10 * (g - xhat * (grad * xhat).mean())})


def test_running_statistics():
    norm = BatchNorm1d(1, momentum=0.25).double()
    norm(Tensor(COLUMN))
    expect("running mean after one batch of mean 3, momentum 0.25", norm.running_mean.data, [0.75],
           {"momentum is the share that the batch gets, not what stays": [2.25], "it jumps to the batch": [3],
            "nothing moved": [0]})
    expect("running variance", norm.running_var.data, [0.75 + 0.25 * 7], {
        "the old value fades, too: r += momentum (now - r)": [1 + 0.25 * 7]})
