"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch.gradcheck import check_function
from tinytorch.ops.elementwise import Add, Div, Mul, Relu, Sigmoid, Tanh, Where, unbroadcast

GRAD = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
X, Y = np.array([[2.0], [3.0]]), np.array([1.0, 10.0, 100.0])


def gradients(operation, *arrays, grad=GRAD):
    operation.forward(*arrays)
    return operation.backward(grad)


def test_unbroadcast_sums_over_the_stretched_axes():
    means = "a mean where it should be a sum: every number that was used twice has twice the influence"
    expect(
        "unbroadcast to (3,)",
        unbroadcast(GRAD, (3,)),
        [5, 7, 9],
        {means: GRAD.mean(0), "one row is not enough": GRAD[0]},
    )
    expect(
        "unbroadcast to (2, 1)",
        unbroadcast(GRAD, (2, 1)),
        [[6], [15]],
        {means: GRAD.mean(1, keepdims=True), "keepdims is missing": GRAD.sum(1)},
    )


def test_a_product_with_stretched_inputs():
    dx, dy = gradients(Mul(), X, Y)
    expect(
        "x * y, gradient of x",
        dx,
        [[321], [654]],
        {"unbroadcast is missing": GRAD * Y, "each slope is the other input": unbroadcast(GRAD * X, X.shape)},
    )
    expect("x * y, gradient of y", dy, [14, 19, 24], {"unbroadcast is missing": GRAD * X})


def test_a_quotient():
    dx, dy = gradients(Div(), 6.0, 2.0, grad=np.array(1.0))
    expect("6 / 2, gradient of 6", dx, 0.5, {"one divides by y, not by x": 1 / 6})
    expect("6 / 2, gradient of 2", dy, -1.5, {"divide by y twice": -3.0, "the slope is -x / y^2": -0.25})


def test_where_gives_the_gradient_to_the_one_that_was_taken():
    condition, grad = np.array([True, False, True]), np.array([1.0, 10.0, 100.0])
    nothing, dx, dy = gradients(Where(), condition, np.zeros(3), np.ones(3), grad=grad)
    expect(
        "where, gradient of x", dx, [1, 0, 100], {"the mask is inverted": [0, 10, 0], "the mask is missing": grad}
    )
    expect(
        "where, gradient of y", dy, [0, 10, 0], {"the mask is inverted": [1, 0, 100], "the mask is missing": grad}
    )


def test_functions_of_one_number():
    grad = np.array([1.0, 10.0])
    expect(
        "relu, gradient",
        gradients(Relu(), np.array([-1.0, 2.0]), grad=grad)[0],
        [0, 10],
        {"the mask is missing: no gradient where x was negative": grad, "the mask is inverted": [1, 0]},
    )
    expect(
        "tanh, gradient at 1",
        gradients(Tanh(), np.array([1.0]), grad=np.ones(1))[0],
        [1 - np.tanh(1) ** 2],
        {"the slope is 1 - y^2, with the output y": [1 - np.tanh(1)], "use the output, not the input": [0]},
    )
    y = 1 / (1 + np.exp(-1))
    expect(
        "sigmoid, gradient at 1",
        gradients(Sigmoid(), np.array([1.0]), grad=np.ones(1))[0],
        [y * (1 - y)],
        {"the slope is y (1 - y), with the output y": [1 - y], "use the output, not the input": [0]},
    )


def test_the_check_looks_at_every_input():
    with likely("check_function measures each float input, with a new operation each time"):
        assert check_function(Add, X, Y) < 1e-6, "check_function returns the largest difference that it saw"
