"""The instrument that checks all others: it measures right whatever it is given, and a wrong gradient turns it red."""
import itertools

import numpy as np
import pytest

from tinytorch.gradcheck import (
    GradientError,
    check_function,
    compare_gradients,
    gradcheck,
    numerical_gradient,
    random_cotangent,
)
from tinytorch.ops.elementwise import Add, Exp, Function, Mul, Tanh, unbroadcast

X, Y = np.array([[0.5, -1.0, 2.0], [1.5, 0.3, -0.7]]), np.array([0.2, 1.1, -0.4])


# ---- numerical_gradient

class Buffer:
    "Writes every output into one and the same array."
    def __init__(self, f):
        self.f, self.out = f, None

    def __call__(self):
        out = self.f()
        self.out = np.empty(np.shape(out)) if self.out is None else self.out
        self.out[...] = out
        return self.out


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3), (0, 3)], ids=str)
@pytest.mark.parametrize("seed", range(2))
def test_the_slopes_of_known_functions(shape, seed):
    x, c = (np.array(numbers) for numbers in np.random.default_rng(seed).standard_normal((2, *shape)))
    for f, expected in [(lambda: x * x, 2 * x * c), (lambda: np.sin(x), np.cos(x) * c), (lambda: 3 * x, 3 * c),
                        (lambda: np.zeros(shape), 0 * c)]:
        for measured in (f, Buffer(f)):
            got = numerical_gradient(measured, x, c)
            assert np.shape(got) == shape and np.allclose(got, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("view", [lambda x: x, lambda x: x.T, lambda x: x[::-1], lambda x: x[None], lambda x: x.ravel(),
                                  lambda x: np.broadcast_to(x, (5, 2, 3)), lambda x: x[1:]],
                         ids=["x", "transposed", "reversed", "one more dim", "flat", "stretched", "part"])
def test_the_output_may_be_x_itself_or_a_view_of_it(view):
    "Whoever does not copy the first output compares one array with itself, and measures 0."
    x = X.copy()
    c = np.random.default_rng(0).standard_normal(view(x).shape)
    expected = np.zeros_like(X)
    for place in np.ndindex(X.shape):
        one = np.zeros_like(X)
        one[place] = 1
        expected[place] = np.sum(c * view(one))
    assert np.allclose(numerical_gradient(lambda: view(x), x, c), expected, atol=1e-8)


def test_outputs_depend_on_all_of_x():
    x, c = X.copy(), np.random.default_rng(1).standard_normal((3, 3))
    assert np.allclose(numerical_gradient(lambda: x.T @ x, x, c), x @ (c + c.T), atol=1e-8)
    assert np.allclose(numerical_gradient(lambda: x.sum(), x, np.array(2.0)), 2, atol=1e-8)


def test_the_numbers_are_put_back_and_only_one_at_a_time_is_moved():
    x, c, seen = X.copy(), np.ones_like(X), []
    numerical_gradient(lambda: seen.append(x.copy()) or x * x, x, c, eps=0.25)
    assert np.array_equal(x, X) and np.array_equal(c, np.ones_like(X))
    moved = [seen_x - X for seen_x in seen]
    assert all(np.count_nonzero(change) <= 1 for change in moved)
    for sign in (1, -1):
        ups = [change for change in moved if change.sum() * sign > 0]
        assert len(ups) == X.size and np.allclose(sum(ups), sign * 0.25), "every number goes up and down by eps"


def test_the_difference_is_central():
    "One-sided, it would be off by eps times half the second derivative."
    x = np.array([1.0])
    slope = numerical_gradient(lambda: x ** 2, x, np.ones(1), eps=0.5)
    assert np.isclose(slope, 2)
    assert abs(numerical_gradient(lambda: np.exp(x), x, np.ones(1), eps=1e-3)[0] - np.e) < 1e-6


@pytest.mark.parametrize("lay", [lambda x: np.zeros((4, 6))[::2, ::2], np.asfortranarray, lambda x: x.copy()[::-1]],
                         ids=["strided", "by columns", "reversed"])
def test_x_may_lie_in_memory_as_it_likes(lay):
    x = lay(X)
    x[...] = X
    assert np.allclose(numerical_gradient(lambda: x * x, x, Y), 2 * X * Y, atol=1e-8)
    assert np.array_equal(x, X)


# ---- compare_gradients

@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 2)], ids=str)
def test_equal_gradients_pass_and_the_largest_difference_is_told(shape):
    expected = np.random.default_rng(0).standard_normal(shape)
    assert compare_gradients("Exp", 0, expected, expected.copy()) == 0
    got = expected.copy()
    if got.size:
        got.flat[-1] += 5e-8
        assert np.isclose(compare_gradients("Exp", 0, expected, got), 5e-8, rtol=1e-3)


@pytest.mark.parametrize("expected, got, right", [
    ([1000.0, 1.0], [1000.009, 1.0], True),  # rtol of the number itself
    ([1000.0, 1.0], [1000.011, 1.0], False),
    ([1000.0, 0.0], [1000.0, 9e-5], True),  # atol times the largest
    ([1000.0, 0.0], [1000.0, 1.1e-4], False),
    ([1e-3, 0.0], [1e-3, 9e-8], True),  # and times 1 at least
    ([1e-3, 0.0], [1e-3, 1.1e-7], False),
    ([1.0, 2.0], [1.0, np.nan], False),
    ([1.0, 2.0], [1.0, np.inf], False),
    ([-1.0, 2.0], [1.0, 2.0], False),
], ids=str)
def test_how_far_off_a_number_may_be(expected, got, right):
    if right:
        compare_gradients("Exp", 0, np.array(expected), np.array(got))
    else:
        with pytest.raises(GradientError):
            compare_gradients("Exp", 0, np.array(expected), np.array(got))


def test_tolerances_can_be_chosen():
    compare_gradients("Exp", 0, np.ones(2), np.full(2, 1.05), rtol=0.1)
    with pytest.raises(GradientError):
        compare_gradients("Exp", 0, np.ones(2), np.full(2, 1 + 1e-6), rtol=1e-8, atol=0)


@pytest.mark.parametrize("got", [None, np.ones((3, 2)), np.ones(3), np.ones((2, 3, 1)), np.array(1.0)],
                         ids=["none", "transposed", "a row", "one dim too many", "a number"])
def test_another_shape_is_refused_and_told(got):
    with pytest.raises(GradientError) as raised:
        compare_gradients("Maximum", 1, np.ones((2, 3)), got)
    message = str(raised.value)
    assert message.startswith("Maximum: gradient of input 1") and "(2, 3)" in message
    assert got is None or str(np.shape(got)) in message


def test_the_error_tells_the_worst_place_and_both_numbers_there():
    expected, got = np.zeros((2, 3)), np.zeros((2, 3))
    expected[1, 2], got[1, 2] = 2.5, -7.25
    got[0, 1] = 8.0
    with pytest.raises(GradientError) as raised:
        compare_gradients("Maximum", 1, expected, got)
    message = str(raised.value)
    assert all(fact in message for fact in ("Maximum: gradient of input 1", "1, 2", "2.5", "-7.25")), message


# ---- check_function

def wrong(operation, change):
    "`operation`, but its gradients are `change`d on the way out"
    class Wrong(operation):
        def backward(self, grad):
            return change(*super().backward(grad))
    return Wrong


def test_right_gradients_pass_and_the_largest_difference_is_returned():
    assert 0 < check_function(Tanh, X) < 1e-6
    assert 0 < check_function(Mul, X, Y) < 1e-6
    nearly = wrong(Add, lambda dx, dy: (dx, dy + 1e-7))  # right at 1e-5, and 1e-7 off
    assert np.isclose(check_function(nearly, X, 100 + Y), 1e-7, rtol=0.2)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("change", [
    lambda g: (g * 1.001,), lambda g: (g + 1e-3,), lambda g: (-g,), lambda g: (2 * g,), lambda g: (g / 3,),
    lambda g: (g * 0,), lambda g: (g.T,), lambda g: (None,), lambda g: (g[0],), lambda g: (g[::-1],),
    lambda g: (np.where(np.arange(6).reshape(2, 3) == 4, np.nan, g),),
], ids=["off by a thousandth", "a thousandth added", "sign", "twice", "a mean", "zeros", "transposed", "none", "a row",
        "rows exchanged", "one nan"])
def test_a_wrong_gradient_is_refused(change, seed):
    with pytest.raises(GradientError) as raised:
        check_function(wrong(Exp, change), X, seed=seed)
    assert str(raised.value).startswith("Wrong: gradient of input 0")


@pytest.mark.parametrize("place", list(np.ndindex(2, 3)), ids=str)
def test_a_single_wrong_place_is_found(place):
    def spoil(dx, dy):
        dx = dx.copy()
        dx[place] += 5
        return dx, dy

    with pytest.raises(GradientError, match=", ".join(map(str, place))):
        check_function(wrong(Add, spoil), X, X)


def test_the_second_input_is_checked_too():
    with pytest.raises(GradientError, match="input 1"):
        check_function(wrong(Mul, lambda dx, dy: (dx, dy * 0.9)), X, Y)


def test_a_gradient_that_was_not_summed_over_the_broadcast_axis_is_refused():
    class Forgetful(Function):
        def forward(self, x, y):
            self.x, self.y = x, y
            return x * y

        def backward(self, grad):
            return grad * self.y, grad * self.x

    with pytest.raises(GradientError) as raised:
        check_function(Forgetful, X, Y)
    assert all(fact in str(raised.value) for fact in ("Forgetful: gradient of input 1", "(3,)", "(2, 3)"))


@pytest.mark.parametrize("change", [lambda dx, dy: dx, lambda dx, dy: (dx,), lambda dx, dy: [dx, dy],
                                    lambda dx, dy: None],
                         ids=["no tuple", "one of two", "a list", "nothing"])
def test_backward_must_return_a_tuple_of_one_gradient_per_input(change):
    with pytest.raises(GradientError, match="Wrong"):
        check_function(wrong(Add, change), X, X)


def test_integers_booleans_and_none_have_no_gradient():
    class Chosen(Function):
        def forward(self, x, mask, shift, nothing):
            assert mask.dtype == bool and shift.dtype.kind == "i" and nothing is None
            self.mask = mask
            return np.where(mask, 2 * x + shift, 0)

        def backward(self, grad):
            return np.where(self.mask, 2 * grad, 0), None, None, None

    check_function(Chosen, X, X > 0, np.arange(3), None)


def test_every_measurement_runs_a_new_operation_on_copies():
    class Once(Exp):
        def __init__(self):
            self.runs = 0

        def forward(self, x):
            self.runs += 1
            assert self.runs == 1, "an operation remembers what it saw: make a new one"
            return super().forward(x)

    x = X.copy()
    x.flags.writeable = False
    assert 0 < check_function(Once, x) < 1e-6


def test_an_operation_may_return_its_input_or_one_array_for_all():
    shared = np.zeros((2, 3))

    class Same(Function):
        def forward(self, x):
            return x

        def backward(self, grad):
            return (grad,)

    class Shared(Same):
        def forward(self, x):
            shared[...] = x
            return shared

    for operation in (Same, Shared):
        check_function(operation, X)
        with pytest.raises(GradientError):
            check_function(wrong(operation, lambda g: (0 * g,)), X)


@pytest.mark.parametrize("seed", range(3))
def test_the_cotangent_is_random_and_known(seed):
    given = []

    class Listening(Exp):
        def backward(self, grad):
            given.append(grad)
            return super().backward(grad)

    check_function(Listening, X, seed=seed)
    assert np.array_equal(given[0], random_cotangent((2, 3), seed))


def test_random_cotangents():
    for shape in [(), (3,), (2, 3), (0, 2)]:
        assert np.shape(random_cotangent(shape, 0)) == shape
        assert np.array_equal(random_cotangent(shape, 0), random_cotangent(shape, 0)), "the same for the same seed"
    first, second = random_cotangent((50,), 0), random_cotangent((50,), 1)
    assert len(set(first)) == 50 and not np.isclose(first, second).any()
    for seed in range(3):
        same = np.isclose(random_cotangent((50,), seed), np.random.default_rng(seed).standard_normal(50))
        assert not same.any(), "inputs are drawn like this; a cotangent equal to an input hides mistakes"


# ---- gradcheck: of what looks like a Tensor

class Toy:
    "A value that may want a gradient, and for a result: what its backward pass does."
    def __init__(self, data, backward=None, requires_grad=True, dtype=float):
        self.data, self.backward, self.requires_grad = np.array(data, dtype), backward, requires_grad
        self.grad = self.grad_fn = None

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)


def product(factor=1.0, skip=False):
    "x * y; the gradient of y is multiplied by `factor`, or not written at all"
    def f(x, y):
        def backward(grad):
            x.grad = unbroadcast(grad * y.data, x.shape)
            if not skip:
                y.grad = factor * unbroadcast(grad * x.data, y.shape)
        return Toy(x.data * y.data, backward)
    return f


def test_expressions_are_checked():
    x, y = Toy(X), Toy(Y)
    assert 0 < gradcheck(product(), x, y) < 1e-6
    assert np.array_equal(x.data, X) and np.array_equal(y.data, Y)
    c = random_cotangent((2, 3), 0)
    assert np.allclose(x.grad, c * Y) and np.allclose(y.grad, (c * X).sum(0)), "of sum(c * out), for seed 0"
    gradcheck(product(), x, y, seed=1)
    assert np.allclose(x.grad, random_cotangent((2, 3), 1) * Y)


@pytest.mark.parametrize("factor", [2.0, -1.0, 1.001, 0.0])
def test_a_wrong_gradient_of_an_expression_is_refused(factor):
    with pytest.raises(GradientError, match="1"):
        gradcheck(product(factor), Toy(X), Toy(Y))


def test_an_old_gradient_does_not_count():
    y = Toy(Y)
    gradcheck(product(), Toy(X), y)
    assert y.grad is not None
    with pytest.raises(GradientError):
        gradcheck(product(skip=True), Toy(X), y)


def test_only_gradients_that_are_wanted_are_checked():
    gradcheck(product(factor=5.0), Toy(X), Toy(Y, requires_grad=False))
    gradcheck(product(factor=5.0), Toy(X), Toy(np.arange(3), requires_grad=False, dtype=int))


def test_float32_is_refused():
    with pytest.raises(TypeError, match="float32"):
        gradcheck(product(), Toy(X), Toy(Y, dtype=np.float32))


def test_an_expression_may_return_the_very_data_of_its_input():
    def same(x, factor=1.0):
        def backward(grad):
            x.grad = factor * grad
        out = Toy(0.0, backward)
        out.data = x.data
        return out

    gradcheck(same, Toy(X))
    with pytest.raises(GradientError):
        gradcheck(lambda x: same(x, factor=0.0), Toy(X))


# ---- unbroadcast, on which every gradient of two inputs relies

SIZES = list(itertools.product([0, 1, 2, 3], repeat=2))
SHAPES = [(), (1,), (3,), (0,), *SIZES, (2, 1, 3), (1, 1, 3), (2, 2, 1), (1, 1, 1), (2, 1, 1, 3)]


def stretches():
    "(shape, the shape it is stretched to), for all pairs that broadcast"
    for shape, grown in itertools.product(SHAPES, repeat=2):
        try:
            if np.broadcast_shapes(shape, grown) == grown:
                yield shape, grown
        except ValueError:
            pass


@pytest.mark.parametrize("shape, grown", list(stretches()), ids=str)
def test_unbroadcast_adds_up_what_each_number_was_used_for(shape, grown):
    grad = np.random.default_rng(0).standard_normal(grown)
    kept = grad.copy()
    got = unbroadcast(grad, shape)
    users = np.broadcast_to(np.arange(np.prod(shape, dtype=int)).reshape(shape), grown)
    expected = np.bincount(users.ravel(), grad.ravel(), minlength=int(np.prod(shape))).reshape(shape)
    assert np.shape(got) == shape and np.allclose(got, expected)
    assert np.array_equal(grad, kept), "grad belongs to others"
    assert unbroadcast(grad.astype(np.float32), shape).dtype == np.float32
    if shape == grown:
        assert got is grad


def test_the_place_that_is_named_is_the_worst_of_the_wrong_ones():
    with pytest.raises(GradientError, match=r"\(1,\)"):  # at (0,) 5 more, of a million, is allowed
        compare_gradients("Exp", 0, np.array([1e6, 1e-3]), np.array([1e6 + 5, 1.0]))
