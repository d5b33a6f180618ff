"""Small numbers, worked by hand; a failure names the mistake that would give what it got."""

import numpy as np
from by_hand import expect, likely

from tinytorch.gradcheck import GradientError, check_function, compare_gradients, numerical_gradient
from tinytorch.ops.elementwise import (
    Abs,
    Add,
    Clamp,
    Cos,
    Div,
    Exp,
    Log,
    Maximum,
    Mul,
    Neg,
    Pow,
    Relu,
    Sigmoid,
    Sqrt,
    Sub,
    Tanh,
    Where,
    unbroadcast,
)

GRAD = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
X, Y = np.array([[2.0], [3.0]]), np.array([1.0, 10.0, 100.0])


def gradients(operation, *arrays, grad=GRAD):
    operation.forward(*arrays)
    return operation.backward(grad)


def test_the_slope_that_is_measured():
    x = np.array([1.0, 3.0])
    expect(
        "numerical_gradient of x * x, weighted by 1 and 10",
        numerical_gradient(lambda: x * x, x, np.array([1.0, 10.0]), eps=0.5),
        [2, 60],
        {
            "nudge both ways, not one": [2.5, 65],
            "only one way, and over 2 eps": [1.25, 32.5],
            "divide by the distance of the two points, 2 eps": [2 * 0.5, 60 * 0.5],
            "the cotangent is missing": [2, 6],
        },
    )
    expect("x, after it was measured", x, [1, 3], {"put each number back before the next": x.copy()})
    expect(
        "numerical_gradient where f returns x itself",
        numerical_gradient(lambda: x, x, np.ones(2)),
        [1, 1],
        {
            "both outputs are one array: copy the first before x moves again": [0, 0],
            "copy each: one of both outputs is one array with x, which moves on": [0.5, 0.5],
        },
    )


def refused(expected, got):
    try:
        compare_gradients("Exp", 0, np.array(expected), np.array(got))
    except GradientError as error:
        return str(error)
    return ""


def test_what_a_comparison_refuses():
    assert refused([1.0, 2.0], [1.0, 2.1]), "2.1 for 2 must be refused"
    assert refused([1.0, 2.0], [1.0, np.nan]), "nan must be refused: it compares as False with everything"
    assert refused([1.0, -2.0], [1.0, -2.1]), "compare absolute values: -2.1 for -2 must be refused"
    assert not refused([1000.0, 2.0], [1000.0, 2.00009]), "the tolerance grows with the largest expected number"
    assert "(1,)" in refused([9.0, 2.0, 1.0], [9.0, 5.0, 1.5]), "the worst place is where the difference is largest"


def test_slopes_that_need_no_number():
    grad = np.array([1.0, 10.0])
    expect("-x, gradient", gradients(Neg(), grad, grad=grad)[0], -grad, {"the slope of -x is -1": grad})
    expect(
        "e^x at 0 and log 2, gradient",
        gradients(Exp(), np.log([1.0, 2.0]), grad=grad)[0],
        [1, 20],
        {"the slope is the output, not the gradient's exponential": grad * np.exp(grad), "grad is missing": [1, 2]},
    )


def test_a_difference():
    dx, dy = gradients(Sub(), X, Y)
    expect("x - y, gradient of x", dx, [[6], [15]], {"unbroadcast is missing": GRAD})
    expect("x - y, gradient of y", dy, [-5, -7, -9], {"y is subtracted: the sign is wrong": [5, 7, 9]})


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
        {means: GRAD.mean(1, keepdims=True), "keepdims is missing": GRAD.sum(1), "axes of size 1 are not summed": GRAD},
    )
    expect("unbroadcast to ()", unbroadcast(GRAD, ()), 21, {means: GRAD.mean()})


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

    class SecondIsWrong(Add):
        def backward(self, grad):
            dx, dy = super().backward(grad)
            return dx, 2 * dy

    try:
        check_function(SecondIsWrong, X, Y)
    except GradientError:
        return
    raise AssertionError("the gradient of the second input is wrong, and went through: compare every input of floats")


def test_powers():
    dx, dy = gradients(Pow(), np.array([3.0, 0.0, 0.0]), np.array([2.0, 0.0, 2.0]), grad=np.array([1.0, 1.0, 1.0]))
    nan = np.nan
    expect(
        "x ** y at 3^2, 0^0 and 0^2, gradient of x",
        dx,
        [6, 0, 0],
        {"the exponent goes down by one": [18, 0, 0], "at y = 0 the slope is 0, also where x = 0": [6, nan, 0]},
    )
    expect(
        "x ** y at 3^2, 0^0 and 0^2, gradient of y",
        dy,
        [9 * np.log(3), 0, 0],
        {
            "at x = 0 the slope is 0: 0 * log(0) is not a number": [9 * np.log(3), -np.inf, nan],
            "the result is missing: x ** y * log(x)": [np.log(3), 0, 0],
        },
    )


def test_logarithms_and_roots():
    one = np.ones(1)
    for operation, slope, mistakes in [
        (Log(), 0.25, {"the slope of log is 1 / x, with the input x": 1 / np.log(4)}),
        (Sqrt(), 0.25, {"a factor of 2 is missing below": 0.5, "use the output, not the input": 0.125}),
    ]:
        (got,) = gradients(operation, np.array([4.0]), grad=one)
        expect(f"{operation.name} at 4, gradient", got, [slope], {text: [value] for text, value in mistakes.items()})


def test_absolute_values_and_waves():
    expect(
        "|x| at -3, 0, 2, gradient",
        gradients(Abs(), np.array([-3.0, 0.0, 2.0]), grad=np.ones(3))[0],
        [-1, 0, 1],
        {"left of 0 the slope is -1": [1, 1, 1], "at 0 the gradient is 0": [-1, 1, 1]},
    )
    expect("cos at pi / 2, gradient", gradients(Cos(), np.array([np.pi / 2]), grad=np.ones(1))[0], [-1])


def test_clamp_and_maximum():
    expect(
        "clamp to -1 and 1 of -2, 1, 3, gradient",
        gradients(Clamp(-1, 1), np.array([-2.0, 1.0, 3.0]), grad=np.ones(3))[0],
        [0, 1, 0],
        {"the mask is missing: no gradient from outside": [1, 1, 1], "the ends count as inside": [0, 0, 0]},
    )
    dx, dy = gradients(Maximum(), np.array([1.0, 5.0]), np.array([1.0, 2.0]), grad=np.ones(2))
    expect("maximum of 1, 5 and 1, 2, gradient of x", dx, [0.5, 1], {"where they tie, each gets half": [1, 1]})
    expect("maximum of 1, 5 and 1, 2, gradient of y", dy, [0.5, 0], {"where they tie, each gets half": [0, 0]})
