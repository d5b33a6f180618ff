"""Operations on single elements: every backward against finite differences, and by hand where that says more."""
import numpy as np
import pytest

from tinytorch.dispatch import chosen
from tinytorch.gradcheck import check_function
from tinytorch.ops.elementwise import (
    Abs,
    Add,
    Cast,
    Clamp,
    Cos,
    Div,
    Exp,
    Expm1,
    Function,
    Log,
    Log1p,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Relu,
    Sigmoid,
    Sign,
    Sin,
    Sqrt,
    Sub,
    Tanh,
    Where,
    unbroadcast,
)

SHAPES = [(2, 3), (4,), (), (2, 1, 3), (0, 3)]


def real(shape, seed=0):
    "numbers of both signs, none of them near 0"
    rng = np.random.default_rng(seed)
    return rng.uniform(0.2, 2.0, shape) * rng.choice([-1.0, 1.0], shape)


def positive(shape, seed=0):
    return np.abs(real(shape, seed))


def given(operation, *arrays):
    "the output of one operation, and its gradients for a gradient of ones"
    out = operation.forward(*[np.array(a) for a in arrays])
    return out, operation.backward(np.ones_like(out))


# ---- one input

@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("operation", [Neg, Exp, Expm1, Abs, Sign, Sin, Cos, Tanh, Sigmoid, Relu])
def test_gradient_for_any_numbers(operation, shape):
    check_function(operation, real(shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("operation", [Log, Log1p, Sqrt])
def test_gradient_for_positive_numbers(operation, shape):
    check_function(operation, positive(shape))


@pytest.mark.parametrize("operation, x, value, slope", [
    (Exp, 0.0, 1.0, 1.0),
    (Log, 2.0, np.log(2), 0.5),
    (Sqrt, 9.0, 3.0, 1 / 6),
    (Sin, 0.0, 0.0, 1.0),
    (Cos, 0.0, 1.0, 0.0),
    (Tanh, 0.0, 0.0, 1.0),
    (Sigmoid, 0.0, 0.5, 0.25),
    (Relu, -3.0, 0.0, 0.0),
    (Relu, 3.0, 3.0, 1.0),
    (Abs, -3.0, 3.0, -1.0),
])
def test_values_and_slopes_known_by_heart(operation, x, value, slope):
    out, (gradient,) = given(operation(), x)
    assert np.isclose(out, value) and np.isclose(gradient, slope)


def test_where_there_is_no_slope_it_is_0():
    "as in PyTorch: at the corner of relu, abs and sign"
    for operation in (Relu(), Abs(), Sign()):
        _, (gradient,) = given(operation, [0.0, -0.0])
        assert np.array_equal(gradient, [0, 0])


def test_expm1_and_log1p_are_exact_for_small_numbers():
    for operation in (Expm1(), Log1p()):
        assert np.isclose(given(operation, 1e-12)[0], 1e-12, rtol=1e-9, atol=0)


def test_sigmoid_of_huge_numbers_is_0_or_1_without_a_warning():
    with np.errstate(all="raise", under="ignore"):
        out, (gradient,) = given(Sigmoid(), np.array([-1000.0, 1000.0]))
    assert np.allclose(out, [0, 1]) and np.allclose(gradient, 0)


# ---- two inputs, broadcast

PAIRS = [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (4,)), ((), (2, 3)), ((2, 3), ()), ((4, 1, 2), (3, 1)),
    ((1, 3), (0, 1))]


@pytest.mark.parametrize("left, right", PAIRS, ids=str)
@pytest.mark.parametrize("operation", [Add, Sub, Mul, Div, Maximum, Minimum])
def test_gradients_of_both_inputs_have_their_shapes(operation, left, right):
    check_function(operation, real(left), real(right, seed=1))


@pytest.mark.parametrize("left, right", PAIRS, ids=str)
def test_gradient_of_a_power(left, right):
    check_function(Pow, positive(left), real(right, seed=1))


@pytest.mark.parametrize("exponent", [-2, 0, 1, 2, 3, 5, 0.5])
def test_a_number_as_exponent_gets_no_gradient_and_gives_the_right_one(exponent):
    operation = Pow()
    operation.needs_grad = (True, False)
    x = positive((2, 3))
    assert np.allclose(operation.forward(x, exponent), x ** exponent)
    dx, dy = operation.backward(np.ones((2, 3)))
    assert np.allclose(dx, exponent * x ** (exponent - 1.0)) and dy is None


@pytest.mark.parametrize("x, exponent", [(1e20, -0.5), (1e-12, -0.5), (1e15, -1), (1e-15, -1), (1e-30, 0.5)])
def test_powers_of_float32_stay_finite_on_the_way(x, exponent):
    operation = Pow()
    operation.needs_grad = (True, False)
    assert np.allclose(operation.forward(np.float32([x]), exponent), x ** exponent, rtol=1e-5, atol=0)
    (got, _) = operation.backward(np.ones(1, np.float32))
    assert np.allclose(got, exponent * x ** (exponent - 1), rtol=1e-5, atol=0) and got.dtype == np.float32


def test_powers_of_0():
    _, (dx, dy) = given(Pow(), [0.0, 0.0, 0.0], [0.0, 1.0, 2.0])
    assert np.array_equal(dx, [0, 1, 0]) and np.array_equal(dy, [0, 0, 0])


def test_unbroadcast_sums_what_was_stretched():
    grad = np.arange(24.0).reshape(2, 3, 4)
    assert unbroadcast(grad, (2, 3, 4)) is grad
    assert np.array_equal(unbroadcast(grad, (4,)), grad.sum((0, 1)))
    assert np.array_equal(unbroadcast(grad, (3, 1)), grad.sum(0).sum(1, keepdims=True))
    assert np.array_equal(unbroadcast(grad, (1, 3, 4)), grad.sum(0, keepdims=True))
    assert unbroadcast(grad, ()) == grad.sum()
    assert unbroadcast(np.ones((0, 3)), (1, 3)).shape == (1, 3)


def test_equal_numbers_share_the_gradient_of_a_maximum():
    for operation in (Maximum(), Minimum()):
        _, (dx, dy) = given(operation, [1.0, 5.0, 2.0], [1.0, 5.0, 2.0])
        assert np.array_equal(dx, [0.5] * 3) and np.array_equal(dy, [0.5] * 3)


def test_where_sends_each_gradient_to_the_side_that_was_taken():
    check_function(Where, np.array([[True], [False]]), real((2, 3)), real((3,), seed=1))
    _, (dcondition, dx, dy) = given(Where(), [True, False, True], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert dcondition is None and np.array_equal(dx, [1, 0, 1]) and np.array_equal(dy, [0, 1, 0])


@pytest.mark.parametrize("low, high", [(-0.5, 0.7), (None, 0.7), (-0.5, None)])
def test_gradient_of_clamp(low, high):
    check_function(lambda: Clamp(low, high), real((5, 4)))


def test_clamp_passes_the_gradient_at_its_ends():
    out, (gradient,) = given(Clamp(-1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0])
    assert np.array_equal(out, [-1, -1, 0, 1, 1]) and np.array_equal(gradient, [0, 1, 1, 1, 0])


# ---- what all of them promise

ALL = [(Neg, 1), (Exp, 1), (Expm1, 1), (Log, 1), (Log1p, 1), (Sqrt, 1), (Abs, 1),
    (Sign, 1), (Sin, 1),
       (Cos, 1), (Tanh, 1), (Sigmoid, 1), (Relu, 1), (lambda: Clamp(0.5, 1), 1), (Add, 2), (Sub, 2), (Mul, 2),
           (Div, 2), (Pow, 2),
       (Maximum, 2), (Minimum, 2)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("make, count", ALL, ids=lambda value: getattr(value, "__name__", None))
def test_the_dtype_stays_and_nothing_is_written_to(make, count, dtype):
    arrays = [positive((2, 3), seed).astype(dtype) for seed in range(count)]
    grad = real((2, 3), seed=9).astype(dtype)
    copies = [a.copy() for a in (*arrays, grad)]
    operation = make()
    out = operation.forward(*arrays)
    gradients = operation.backward(grad)
    assert out.dtype == dtype and len(gradients) == count
    for gradient in gradients:
        assert gradient.dtype == dtype and not any(np.shares_memory(gradient, a) for a in (*arrays, out))
    assert all(np.array_equal(a, copy) for a, copy in zip((*arrays, grad), copies))


@pytest.mark.parametrize("operation", [Add, Sub, Mul, Div, Pow])
@pytest.mark.parametrize("left, right", [(2.0, np.float32(3)), (np.float32(3), 2)], ids=["number left", "number right"])
def test_a_python_number_leaves_float32_alone(operation, left, right):
    operation = operation()
    arrays = [np.full(3, x, np.float32) if isinstance(x, np.float32) else x for x in (left, right)]
    operation.needs_grad = tuple(isinstance(x, np.ndarray) for x in arrays)
    out = operation.forward(*arrays)
    assert out.dtype == np.float32
    assert [g.dtype for g in operation.backward(np.ones_like(out)) if g is not None] == [np.float32]


def test_cast_returns_the_gradient_in_the_dtype_it_came_from():
    operation = Cast(np.float64)
    assert operation.forward(np.ones(2, np.float32)).dtype == np.float64
    assert operation.backward(np.ones(2))[0].dtype == np.float32


@pytest.mark.parametrize("operation", [Add, Sub, Mul, Div, Pow, Maximum, Minimum])
def test_only_wanted_gradients_are_computed(operation):
    for wanted in (0, 1):
        operation_now = operation()
        operation_now.needs_grad = (wanted == 0, wanted == 1)
        operation_now.forward(positive((2, 3)), positive((3,), seed=1))
        gradients = operation_now.backward(np.ones((2, 3)))
        assert gradients[1 - wanted] is None and gradients[wanted].shape == [(2, 3), (3,)][wanted]


@pytest.mark.parametrize("wanted", [1, 2])
def test_where_computes_only_the_wanted_gradient(wanted):
    operation = Where()
    operation.needs_grad = (False, wanted == 1, wanted == 2)
    operation.forward(np.array([True, False]), real((3, 2)), 0.0 if wanted == 1 else real((2,)))
    gradients = operation.backward(np.ones((3, 2)))
    assert [gradient is None for gradient in gradients] == [True, wanted == 2, wanted == 1]


def test_where_wants_booleans():
    with pytest.raises(TypeError, match="int64"):
        Where().forward(np.array([0, 1], np.int64), np.ones(2), np.zeros(2))


def test_clamp_needs_an_end():
    with pytest.raises(ValueError):
        Clamp().forward(np.ones(2))


def test_options_are_kept_under_their_names():
    assert (Clamp(0, 2).low, Clamp(0, 2).high, Cast("float32").dtype) == (0, 2, np.float32)


def test_quotients_of_tiny_numbers():
    "y * y is 0 in float32 long before y is"
    operation = Div()
    operation.forward(np.float32([1e-30]), np.float32([1e-25]))
    assert all(np.isfinite(gradient).all() for gradient in operation.backward(np.ones(1, np.float32)))


@pytest.mark.parametrize("operation, x", [(Sqrt, 1e30), (Sigmoid, -80.0)])
def test_slopes_of_float32_stay_finite_on_the_way(operation, x):
    operation = operation()
    operation.forward(np.float32([x]))
    (got,) = operation.backward(np.ones(1, np.float32))
    assert np.isfinite(got).all() and got.dtype == np.float32 and got != 0


def test_a_function_without_halves_says_what_is_missing():
    class Nothing(Function):
        pass

    with pytest.raises(NotImplementedError, match="Nothing.*forward"):
        Nothing().forward(1.0)
    with pytest.raises(NotImplementedError, match="Nothing.*backward"):
        Nothing().backward(1.0)


def test_a_faster_form_is_made_where_one_is_chosen_and_has_the_same_name():
    class Plain(Neg):
        pass

    class Faster(Plain):
        plain = Plain

    try:
        chosen[Plain] = Faster
        assert type(Plain()) is Faster and type(Faster()) is Faster and Plain().name == "Plain"
    finally:
        del chosen[Plain]
    assert type(Plain()) is Plain and Plain().name == "Plain"


def test_before_it_is_recorded_an_operation_has_no_parents_and_needs_all_gradients():
    operation = Neg()
    assert operation.parents is None and operation.plain is None and all(operation.needs_grad)
