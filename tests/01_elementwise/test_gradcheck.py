"""The check that checks all others must itself go red: wrong gradients, one at a time."""
import numpy as np
import pytest

from tinytorch.gradcheck import GradientError, check_function, numerical_gradient
from tinytorch.ops.elementwise import Add, Exp, Mul, Tanh

X, Y = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]]), np.array([0.2, 1.1, -0.4])


def wrong(operation, change):
    "`operation`, but its gradients are `change`d on the way out"
    class Wrong(operation):
        def backward(self, grad):
            return change(*super().backward(grad))
    return Wrong


def test_right_gradients_pass_and_the_difference_is_told():
    assert 0 < check_function(Tanh, X) < 1e-6
    assert check_function(Mul, X, Y) < 1e-6


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("change, words", [
    (lambda g: (g * 1.001,), "ratio 1.001"),
    (lambda g: (g + 1e-3,), "ratio differs"),
    (lambda g: (-g,), "sign"),
    (lambda g: (2 * g,), "factor of 2 too much"),
    (lambda g: (g / 2,), "factor of 2 is missing"),
    (lambda g: (g / 3,), "mean"),
    (lambda g: (g * 0,), "all zeros"),
    (lambda g: (g.T,), "expected shape (2, 3), got (3, 2)"),
    (lambda g: (None,), "no gradient"),
    (lambda g: (g[0],), "expected shape (2, 3), got (3,)"),
], ids=["off by a thousandth", "a thousandth added", "sign", "twice", "half", "a mean", "zeros", "transposed", "none",
    "a row"])
def test_a_wrong_gradient_is_refused_and_the_message_guesses_why(change, words, seed):
    with pytest.raises(GradientError) as raised:
        check_function(wrong(Exp, change), X, seed=seed)
    message = str(raised.value)
    assert words in message and "Wrong" in message and "input 0" in message


def test_the_message_says_where_and_how_much():
    def spoil(dx, dy):
        dx = dx.copy()
        dx[1, 2] += 5
        return dx, dy

    with pytest.raises(GradientError, match=r"input 0 is wrong at 1 of 6 places, most at \(1, 2\): expected .*, got "):
        check_function(wrong(Add, spoil), X, Y)


def test_a_square_gradient_that_is_transposed_is_recognised():
    with pytest.raises(GradientError, match="transpose of expected"):
        check_function(wrong(Exp, lambda g: (g.T,)), np.array([[0.1, 0.5], [-0.3, 0.9]]))


def test_the_second_input_is_checked_too():
    with pytest.raises(GradientError, match="input 1"):
        check_function(wrong(Mul, lambda dx, dy: (dx, dy * 0.9)), X, Y)


def test_a_gradient_that_was_not_summed_over_the_broadcast_axis_is_refused():
    class Forgetful(Mul):
        def backward(self, grad):
            return grad * self.y, grad * self.x

    with pytest.raises(GradientError, match=r"input 1: expected shape \(3,\), got \(2, 3\)"):
        check_function(Forgetful, X, Y)


def test_the_numbers_are_put_back():
    x = X.copy()
    slope = numerical_gradient(lambda: x * x, x, np.ones_like(x))
    assert np.array_equal(x, X) and np.allclose(slope, 2 * X)
    check_function(Exp, x)
    assert np.array_equal(x, X)
